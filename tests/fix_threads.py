"""A virtual clock for steps in threads: the same run every time, however threads are scheduled.

One participant runs at a time, and time moves when all of them sleep: to the earliest wake-up, of
several at one instant to the first by name. Participants are the thread that made the clock and
those whose name begins with `step`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from fix_rds import FakeRds, VirtualClock

from chaos.clock import NS

_LOOK_S = 0.002
_STUCK_S = 60.0


@dataclass
class ThreadClock(VirtualClock):
    """Sleeping waits for this participant's turn; `stop` makes every later sleep raise."""

    sleeping: dict[str, int] = field(default_factory=dict)
    turn: str | None = None
    stopped: Callable[[], Exception] | None = None

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.maker = threading.current_thread().name
        self.turn = self.maker

    def stop(self, error: Callable[[], Exception]) -> None:
        """End every sleep, as a signal or a stop condition does."""
        with self.changed:
            self.stopped = error
            self.changed.notify_all()

    def sleep(self, duration_s: float) -> None:
        me = threading.current_thread().name
        with self.changed:
            self.sleeping[me] = self.now + max(1, int(duration_s * NS))
            if self.turn == me:
                self.turn = None
            waited_s = 0.0
            while self.turn != me and self.stopped is None:
                self._let_the_next_run()
                if self.turn != me and not self.changed.wait(_LOOK_S):
                    waited_s += _LOOK_S
                    assert waited_s < _STUCK_S, f"{me} waits for {self.participants()}"
            self.sleeping.pop(me, None)
            if self.stopped is not None:
                raise self.stopped()

    def participants(self) -> set[str]:
        """Everybody who may still sleep, awake or not."""
        steps = {t.name for t in threading.enumerate() if t.name.startswith("step ")}
        return {self.maker, *steps}

    def _let_the_next_run(self) -> None:
        """Give the turn to whoever wakes first, once nobody is awake."""
        present = self.participants()
        if self.turn is not None and self.turn not in present:
            self.turn = None  # It ended without sleeping again.
        if self.turn is not None or not present <= set(self.sleeping):
            return
        wakes = {name: at for name, at in self.sleeping.items() if name in present}
        who = min(wakes, key=lambda name: (wakes[name], name))
        self._advance(wakes[who])
        self.turn = who
        self.changed.notify_all()

    def _advance(self, until: int) -> None:
        for when, action in sorted(self.due, key=lambda entry: entry[0]):
            if when <= until:
                self.due.remove((when, action))
                self.now = max(self.now, when)
                action()
        self.now = max(self.now, until)


@pytest.fixture
def threads() -> ThreadClock:
    return ThreadClock()


@pytest.fixture
def shared_rds(threads: ThreadClock) -> FakeRds:
    """A cluster in memory that steps in threads disturb."""
    return FakeRds(threads)
