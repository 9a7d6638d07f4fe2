"""The life of one fault: legal order, deadlines, journal, always recovered.

    resolve, see -> undo records on disk -> inject -> effect (watch) -> hold -> recover
    -> recovered (watch)

A fault of several stages injects, watches and holds each in turn. Only `inject` and `recover` change
the cluster. A request without effect is sent again within the
fault's budget, where that is harmless; an effect that does not show in time is recorded as
`effect: none`; the run goes on and its verdict cannot be a pass.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from chaos.clock import NS, Clock
from chaos.errors import ControlPlaneError, DatabaseError, HostError, RunAborted, WaitTimeout
from chaos.faults.base import Before, Context, Fault
from chaos.model.topology import Topology
from chaos.run.journal import Journal
from chaos.run.restore import TransientError, replay
from chaos.run.watching import watching
from chaos.safety.ports import Restorer
from chaos.wait import wait_until

_WATCH_INTERVAL_S = 0.1
_LOOK_TIMEOUT_S = 10.0
_LOOK_INTERVAL_S = 0.5
_TRANSIENT = (ControlPlaneError, DatabaseError, HostError)


def key_of(run: str, fault_id: int) -> str:
    """Return the name of an injection, different for any two of any two runs."""
    return f"gameday-{hashlib.sha256(run.encode()).hexdigest()[:12]}-{fault_id}"


def look_before(
    fault: Fault,
    context: Context,
    first: Topology | None,
    key: str,
    spared: frozenset[str] = frozenset(),
) -> Before:
    """Resolve a fault's targets in the cluster as it is now; changes nothing.

    Raises:
        GuardRefused: there is no target, or it cannot be disturbed so.
        ControlPlaneError, DatabaseError, HostError: the cluster could not be asked.
    """
    topology = context.rds.topology()
    targets = fault.resolve(topology)
    seen = fault.see(context, topology, targets)
    return Before(
        topology=topology,
        first=first or topology,
        targets=targets,
        key=key,
        seen=seen,
        spared=spared,
    )


def look_patiently(look: Callable[[], Before], clock: Clock) -> Before:
    """Return what `look` sees; for some seconds it may fail as it does where a cluster is moving.

    Raises:
        GuardRefused: as `look_before`.
        ControlPlaneError, DatabaseError, HostError: as `look_before`, for good or to the end.
    """
    failed: list[ControlPlaneError | DatabaseError] = []

    def attempt() -> Before:
        try:
            return look()
        except (ControlPlaneError, DatabaseError) as error:
            if error.permanent:
                raise
            failed.append(error)
            raise TransientError(str(error)) from error

    try:
        return wait_until(
            attempt,
            "the cluster to be looked at",
            timeout_s=_LOOK_TIMEOUT_S,
            interval_s=_LOOK_INTERVAL_S,
            errors=(TransientError,),
            clock=clock,
        )
    except WaitTimeout as error:
        raise failed[-1] from error


class UnderWay:
    """Which injections are in force now; steps that run at the same time share it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._in_force: set[int] = set()
        self.disturbed = False
        """Whether anything was ever injected."""

    @contextmanager
    def disturbing(self, fault_id: int) -> Iterator[None]:
        """Let an injection be in force for as long as the block lasts."""
        with self._lock:
            self.disturbed = True
            self._in_force.add(fault_id)
        try:
            yield
        finally:
            with self._lock:
                self._in_force.discard(fault_id)

    def others(self, but: Collection[int]) -> bool:
        """Tell whether any injection but some is in force."""
        with self._lock:
            return bool(self._in_force.difference(but))


class Meanwhile(Protocol):
    """Steps that are done while a fault recovers."""

    def begin(self) -> None:
        """Begin them, the first time: recovery is under way."""

    def join(self) -> None:
        """Return when they are done."""


class _NoSteps:
    """Stands for steps that there are not."""

    def __call__(self, before: Before) -> None: ...
    def begin(self) -> None: ...
    def join(self) -> None: ...


_NOTHING = _NoSteps()


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSession:
    """Carries one injection of one fault through its life. `fault_id` is unique in the run.

    `within` is called while the fault is in force and returns when the steps in it are done;
    `recovering` is begun once its recovery is under way, and waited for before its end.

    While other steps are under way the cluster may lack what they took away: the time for recovery
    counts from when they are undone. The `outer` ones that this one lies in are not undone before it
    has ended, so the instances that they disturb are `spared`.
    """

    fault: Fault
    fault_id: int
    step: int
    repeat: int
    run: str
    first: Topology
    context: Context
    restorer: Restorer
    journal: Journal
    clock: Clock
    place: str = ""
    within: Callable[[Before], None] = _NOTHING
    recovering: Meanwhile = _NOTHING
    under_way: UnderWay = field(default_factory=UnderWay)
    outer: frozenset[int] = frozenset()
    spared: frozenset[str] = frozenset()

    def carry_out(self) -> None:
        """Disturb, hold and recover.

        Raises:
            GuardRefused: there is no target now.
            ControlPlaneError: the request was refused.
            RunAborted: the cluster did not recover in time.
        """
        key = key_of(self.run, self.fault_id)
        before = look_patiently(
            lambda: look_before(self.fault, self.context, self.first, key, self.spared), self.clock
        )
        records = [
            self.journal.undo(record, before.topology.cluster) for record in self.fault.undo(before)
        ]
        with self.under_way.disturbing(self.fault_id):
            self._disturb(before)
            with self._verb("recover", before):
                self._undo(before, records)
        with self._verb("recovered", before):
            self.recovering.begin()
            self.recovering.join()
            self._await(self.fault.is_recovered, "have all its members available again", before)
        self.clock.sleep(self.fault.settle_s)

    def _disturb(self, before: Before) -> None:
        """Do every stage, what lies within the fault, and hold it."""
        for stage in self.fault.stages():
            replace(self, fault=stage).disturb(before, part=stage is not self.fault)
        if not self.fault.shows_later:
            self.within(before)
        with self._verb("hold", before):
            self.clock.sleep(self.fault.hold_s)
            self.fault.release(self.context, before)
            self._await(self.fault.is_released, "be let go", before)

    def _undo(self, before: Before, records: Collection[str]) -> None:
        left = replay(
            self.journal,
            self.restorer,
            self.clock,
            before.topology.cluster,
            only=records,
            timeout_s=self.fault.recovery_timeout_s,
            sent=self.recovering.begin,
        )
        if left:
            raise RunAborted("; ".join(left))

    def disturb(self, before: Before, *, part: bool) -> None:
        """Inject, and watch for the effect; one of several parts is held at once."""
        self._inject(before)
        if self.fault.shows_later:
            with watching(lambda: self.fault.meanwhile(self.context, before), _TRANSIENT):
                self.within(before)
        self._await_effect(before)
        if part:
            with self._verb("hold", before):
                self.clock.sleep(self.fault.hold_s)

    def _inject(self, before: Before) -> None:
        """Send the request. Where no answer came it may have been done: the effect will tell."""
        self._event("inject", before, state="started")
        try:
            self.fault.inject(self.context, before)
        except ControlPlaneError as error:
            answered = error.code is not None or error.permanent
            if answered or not self.fault.calls(before):
                self._event("inject", before, state="ended", error=str(error))
                raise
            self._event("inject", before, state="ended", unanswered=str(error))
        except BaseException as error:
            self._event("inject", before, state="ended", error=str(error) or repr(error))
            raise
        else:
            self._event("inject", before, state="ended")

    def _inject_again(self, before: Before) -> None:
        self._event("inject", before, state="started", again=True)
        try:
            self.fault.inject(self.context, before)
        except ControlPlaneError as error:  # The first may be under way; the effect decides.
            self._event("inject", before, state="ended", again=True, refused=str(error))
        else:
            self._event("inject", before, state="ended", again=True)

    def _await_effect(self, before: Before) -> None:
        self._event("effect", before, state="started")
        deadline_ns = self.clock.now_ns() + int(self.fault.effect_timeout_s * NS)
        requests = 1
        while True:
            remaining_s = (deadline_ns - self.clock.now_ns()) / NS
            more = self.fault.asks_again and requests < self.fault.requests_max
            timeout_s = self.fault.request_again_after_s if more else remaining_s
            try:
                actual = wait_until(
                    lambda: self.fault.took_effect(self.context, before),
                    f"{self.fault.fault} to take effect on {before.target}",
                    timeout_s=max(0.0, min(timeout_s, remaining_s)),
                    interval_s=self.fault.looks_every_s,
                    errors=_TRANSIENT,
                    clock=self.clock,
                )
            except WaitTimeout as error:
                if not more or timeout_s >= remaining_s:
                    self._no_effect(before, requests, error)
                    return
                if self._forgotten(before):
                    requests += 1
                    self._inject_again(before)
            else:
                self._event(
                    "effect",
                    before,
                    state="ended",
                    effect="taken",
                    actual_target=actual,
                    requests=requests,
                )
                return

    def _no_effect(self, before: Before, requests: int, error: WaitTimeout) -> None:
        told = f"requested {requests} times; {error}" if requests > 1 else str(error)
        try:
            why = self.fault.why_none(self.context, before)
        except _TRANSIENT as untold:
            why = f"why could not be told: {untold}"
        told = f"{told}; {why}" if why else told
        self._event("effect", before, state="ended", effect="none", error=told, requests=requests)

    def _forgotten(self, before: Before) -> bool:
        try:
            return self.fault.forgotten(self.context, before)
        except _TRANSIENT:
            return False

    def _await(self, done: Callable[[Context, Before], bool], what: str, before: Before) -> None:
        while True:
            others = self.under_way.others({self.fault_id, *self.outer})
            try:
                wait_until(
                    lambda: done(self.context, before),
                    f"{before.topology.cluster} to {what}",
                    timeout_s=self.fault.recovery_timeout_s,
                    interval_s=_WATCH_INTERVAL_S,
                    errors=_TRANSIENT,
                    clock=self.clock,
                )
            except WaitTimeout as error:
                if not others:
                    raise RunAborted(str(error)) from error
            else:
                return

    @contextmanager
    def _verb(self, verb: str, before: Before) -> Iterator[None]:
        self._event(verb, before, state="started")
        try:
            yield
        except BaseException as error:
            self._event(verb, before, state="ended", error=str(error) or repr(error))
            raise
        self._event(verb, before, state="ended")

    def _event(self, verb: str, before: Before, **data: Any) -> None:
        self.journal.event(
            "fault",
            fault_id=self.fault_id,
            fault=self.fault.fault,
            step=self.step,
            place=self.place,
            repeat=self.repeat,
            verb=verb,
            requested_target=before.target,
            parameters=self.fault.model_dump(mode="json", exclude_none=True),
            **data,
        )
