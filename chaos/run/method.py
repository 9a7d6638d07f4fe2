"""Walks the steps of a method: which fault when, after or beside which other."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from chaos.clock import NS, Clock
from chaos.definition.places import Placed, placed
from chaos.definition.steps import Composite, Nested, Parallel, Random, Step
from chaos.errors import ControlPlaneError, GuardRefused, RunAborted
from chaos.faults.base import Before, Context, Fault
from chaos.model.topology import Topology
from chaos.run.apart import require_apart
from chaos.run.journal import Journal
from chaos.run.session import FaultSession, UnderWay, key_of, look_before, look_patiently
from chaos.run.together import Together
from chaos.safety.ports import Restorer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What a step is done under: by which clock, within which faults, which disturb what."""

    clock: Clock
    outer: frozenset[int] = frozenset()
    spared: frozenset[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class Method:
    """The steps of one run, and what they are carried out with. `seed` draws random instants."""

    steps: Sequence[Step]
    run: str
    first: Topology
    context: Context
    restorer: Restorer
    journal: Journal
    clock: Clock
    tell: Callable[[str], None]
    seed: int = 0
    _under_way: UnderWay = field(default_factory=UnderWay, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _faults: int = field(default=0, init=False)
    _done: dict[tuple[str, int], int] = field(default_factory=dict, init=False)
    """How often each step was begun: by kind and number."""

    def carry_out(self) -> None:
        """Do every step; when it ends, every thread of its steps has ended.

        Raises:
            GuardRefused: the first fault had no target, or two would change the same thing at once.
            RunAborted: a later one had none any more, or the cluster did not recover.
        """
        require_apart(
            self.steps,
            lambda fault: look_patiently(
                lambda: look_before(fault, self.context, self.first, key_of(self.run, 0)),
                self.clock,
            ),
        )
        around = _Around(clock=self.clock)
        for step in placed(self.steps):
            self._repeated(step, around)

    def _repeated(self, step: Placed, around: _Around) -> None:
        for _ in range(step.step.repeat):
            if isinstance(step.step, Nested):
                self._nested(step, step.step, around)
            elif isinstance(step.step, Parallel):
                self._at_once([(0.0, child) for child in step.within], around)
            elif isinstance(step.step, Random):
                self._at_random(step, step.step, around)
            elif isinstance(step.step, Composite):
                self._in_turn(step.within, around)
            else:
                self._fault(step, step.step, around)

    def _in_turn(self, steps: Sequence[Placed], around: _Around) -> None:
        for step in steps:
            self._repeated(step, around)

    def _at_once(self, steps: Sequence[tuple[float, Placed]], around: _Around) -> None:
        """Begin each step after its own number of seconds, in a thread of its own."""
        with Together(around.clock) as together:
            inside = replace(around, clock=together.clock)
            for number, (after_s, step) in enumerate(steps, 1):
                together.begin(
                    f"{step.place} ({number})",
                    lambda after_s=after_s, step=step: self._after(after_s, step, inside),  # type: ignore[misc]
                )

    def _after(self, delay_s: float, step: Placed, around: _Around) -> None:
        around.clock.sleep(delay_s)
        self._repeated(step, around)

    def _at_random(self, step: Placed, drawn_as: Random, around: _Around) -> None:
        drawn = draw(step, drawn_as, f"{self.seed} {step.name} {self._times(step)}")
        self.journal.event(
            "drawn",
            name=step.name,
            seed=self.seed,
            within_s=drawn_as.within_s,
            steps=[{"place": child.place, "after_s": after_s} for after_s, child in drawn],
        )
        if drawn_as.overlap:
            self._at_once(drawn, around)
            return
        begun_ns = around.clock.now_ns()
        for after_s, child in drawn:
            self._after(after_s - (around.clock.now_ns() - begun_ns) / NS, child, around)

    def _nested(self, step: Placed, nested: Nested, around: _Around) -> None:
        outer, *steps = step.within
        if nested.when == "in-force":
            self._fault(outer, nested.outer, around, within=steps)
            return
        with Together(around.clock) as together:
            inside = replace(around, clock=together.clock)
            meanwhile = _Meanwhile(
                together, f"of {step.name}", lambda: self._in_turn(steps, inside)
            )
            self._fault(outer, nested.outer, inside, recovering=meanwhile)

    def _fault(
        self,
        step: Placed,
        fault: Fault,
        around: _Around,
        *,
        within: Sequence[Placed] = (),
        recovering: _Meanwhile | None = None,
    ) -> None:
        repeat = self._times(step)
        with self._lock:
            self._faults += 1
            fault_id = self._faults
        about = ", ".join(told for told in (step.place, _ordinal(repeat)) if told)
        self.tell(f"  step {step.number}: {fault.fault}{f' ({about})' if about else ''}")

        def inside(before: Before) -> None:
            if within:
                spared = around.spared | set(before.targets) | self._changed()
                outer = around.outer | {fault_id}
                self._in_turn(within, replace(around, outer=outer, spared=spared))

        session = FaultSession(
            fault=fault,
            fault_id=fault_id,
            step=step.number,
            place=step.place,
            repeat=repeat,
            run=self.run,
            first=self.first,
            context=self.context,
            restorer=self.restorer,
            journal=self.journal,
            clock=around.clock,
            within=inside,
            under_way=self._under_way,
            outer=around.outer,
            spared=around.spared,
        )
        try:
            (replace(session, recovering=recovering) if recovering else session).carry_out()
        except GuardRefused as refusal:
            if not self._under_way.disturbed:
                raise
            raise RunAborted(f"step {step.number} had no target any more: {refusal}") from refusal

    def _changed(self) -> set[str]:
        """Return the instances that were there at first and are not, or the other way round."""
        try:
            now = self.context.rds.topology()
        except ControlPlaneError:  # The fault around may be one of the API itself.
            return set()
        return {m.id for m in now.members} ^ {m.id for m in self.first.members}

    def _times(self, step: Placed) -> int:
        """Count one more beginning of a step; return how many there were."""
        key = (step.name, step.number)
        with self._lock:
            self._done[key] = self._done.get(key, 0) + 1
            return self._done[key]


class _Meanwhile:
    """The steps that are done while a fault recovers, in a thread of their own."""

    def __init__(self, together: Together, name: str, work: Callable[[], None]) -> None:
        self._together = together
        self._name = name
        self._work = work
        self._begun = False

    def begin(self) -> None:
        """Begin them, the first time."""
        if not self._begun:
            self._begun = True
            self._together.begin(self._name, self._work)

    def join(self) -> None:
        """Return when they are done."""
        self._together.join()


def draw(step: Placed, random_: Random, seed: str) -> list[tuple[float, Placed]]:
    """Return when each step of a random composite begins, in seconds after it, in order.

    The same seed gives the same instants, in every process and on every Python.
    """
    source = random.Random(seed)
    drawn = [
        (round(source.uniform(0, random_.within_s), 3), position, child)
        for _ in range(random_.times)
        for position, child in enumerate(step.within)
    ]
    return [(after_s, child) for after_s, _, child in sorted(drawn, key=lambda one: one[:2])]


def _ordinal(repeat: int) -> str:
    return f"time {repeat}" if repeat > 1 else ""
