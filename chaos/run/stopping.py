"""Evaluates stop conditions several times a second while the method lasts, and ends it.

A thread of its own, so that a request that hangs does not delay it: it makes the run's clock raise
`RunAborted` in whatever waits. The stop file of the run is always looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from chaos.errors import HostError
from chaos.model.ledger import LostSoFar
from chaos.run.interrupt import InterruptibleClock
from chaos.run.journal import Journal
from chaos.run.live import Asked, LiveRun, Tail
from chaos.safety.stops import Alarm, LostWrites, Stop, every, stop_file_says

STOP_FILE = "stop"
_EVERY_S = 0.2
_LEDGER_EVERY_S = 1.0
_ALARMS_EVERY_S = 5.0
_JOIN_S = 15.0


class Stopping:
    """The stop conditions of one run; a context manager around its method."""

    def __init__(
        self,
        conditions: tuple[Stop, ...],
        folder: Path,
        journal: Journal,
        clock: InterruptibleClock,
        *,
        ledger: Callable[[], LostSoFar],
        alarms: Callable[[tuple[str, ...]], Mapping[str, str]],
        quiet_until: Callable[[], int] = lambda: 0,
    ) -> None:
        """Take the conditions, any of which ends the method, and what two kinds of them ask."""
        self._conditions = conditions
        self._folder = folder
        self._journal = journal
        self._clock = clock
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stop conditions", daemon=True)
        self._bug: Exception | None = None
        leaves = every(conditions)
        names = tuple(sorted({one.alarm for one in leaves if isinstance(one, Alarm)}))
        looked_for = any(isinstance(one, LostWrites) for one in leaves)
        self._live = LiveRun(
            tail=Tail(folder / "operations"),
            clock=clock,
            method_since_ns=clock.now_ns(),
            quiet_until=quiet_until,
            ledger=Asked("ledger so far", ledger, _LEDGER_EVERY_S, clock) if looked_for else None,
            alarms=(
                Asked("alarms", lambda: alarms(names), _ALARMS_EVERY_S, clock) if names else None
            ),
        )

    def __enter__(self) -> None:
        """Begin to watch."""
        self._live.method_since_ns = self._clock.now_ns()
        for asked in (self._live.ledger, self._live.alarms):
            if asked is not None:
                asked.start()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Watch no more."""
        self._done.set()
        self._thread.join(_JOIN_S)
        for asked in (self._live.ledger, self._live.alarms):
            if asked is not None:
                asked.stop(_JOIN_S)

    def check(self) -> None:
        """Raise `HostError` if the conditions are not evaluated any more."""
        if self._bug is not None:
            raise HostError(
                f"stop conditions could not be evaluated ({type(self._bug).__name__}: {self._bug}); "
                "the run was ended, since nothing guarded it"
            ) from self._bug

    def why(self) -> tuple[str, str] | None:
        """Return which condition holds now and what it tells, or None."""
        said = stop_file_says(self._folder / STOP_FILE, "stopped on request")
        if said:
            return "stop-file", said
        for condition in self._conditions:
            told = condition.why(self._live, self._clock.now_ns())
            if told:
                return condition.stop, told
        return None

    def _run(self) -> None:
        try:
            while not self._done.wait(_EVERY_S):
                found = self.why()
                if found:
                    condition, told = found
                    with suppress(HostError):  # A full disk must not keep the run from ending.
                        self._journal.event("stop", condition=condition, why=told)
                    self._clock.stop(told)
                    return
        except Exception as bug:  # noqa: BLE001 - raised by check() in the runner's thread
            self._bug = bug
