"""Watches the capacity of Serverless v2 instances through CloudWatch while a run lasts.

CloudWatch has a datapoint a minute of them, which comes about a minute late; the test cluster has one a
second. Each says what the capacity was on average from its own instant to the next one's. So they are
asked for since the last that is known, placed on the run's axis by their own time of day, and recorded
where the capacity changes. What comes after the run has ended is not waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from chaos.clock import NS, Anchor
from chaos.errors import ControlPlaneError, HostError
from chaos.model.record import Observation

EVERY_S = 5.0
RESOLUTION_S = 60.0
"""How long a datapoint stands for where none is nearer to it."""
_LOOK_BACK = timedelta(minutes=3)
_SPOKEN_EVERY_S = 10.0

Points = Sequence[tuple[datetime, float]]


class Capacities:
    """Turns datapoints into observations: each change, a sign of life every 10 s, and the last."""

    def __init__(self, emit: Callable[[Observation], None], anchor: Anchor) -> None:
        """Send each observation to `emit`; `anchor` places times of day on the run's axis."""
        self._emit = emit
        self._anchor = anchor
        self._resolution_s = RESOLUTION_S
        self._last: dict[str, tuple[int, float]] = {}
        self._spoken: dict[str, int] = {}

    def add(self, instance: str, points: Points, now_ns: int) -> None:
        """Take datapoints in order of time; known and unfinished ones are passed over."""
        placed = [(self._at_ns(at), value) for at, value in points]
        apart = [(b - a) / NS for (a, _), (b, _) in pairwise(placed) if b > a]
        self._resolution_s = min([self._resolution_s, *apart])
        for at_ns, value in placed:
            known = self._last.get(instance)
            unfinished = at_ns + self._resolution_s * NS > now_ns
            if unfinished or (known is not None and at_ns <= known[0]):
                continue
            self._see(instance, at_ns, value, known)
            self._last[instance] = (at_ns, value)

    def _see(
        self, instance: str, at_ns: int, value: float, known: tuple[int, float] | None
    ) -> None:
        """Record a change, which lies between the start of the last and the end of this datapoint."""
        changed = known is None or known[1] != value
        if not changed and at_ns < self._spoken[instance] + _SPOKEN_EVERY_S * NS:
            return
        self._speak(instance, at_ns, value, None if known is None else known[0])

    def end(self) -> None:
        """Say until when the last capacity of each instance is known."""
        for instance, (at_ns, value) in self._last.items():
            if at_ns > self._spoken[instance]:
                self._speak(instance, at_ns, value, at_ns)

    def _speak(self, instance: str, at_ns: int, value: float, since_ns: int | None) -> None:
        self._spoken[instance] = at_ns
        self._emit(
            Observation(
                at_ns=at_ns + round(self._resolution_s * NS),
                since_ns=since_ns,
                kind="acu",
                subject=instance,
                value=f"{value:g}",
                detail={"resolution_s": self._resolution_s},
            )
        )

    def _at_ns(self, at: datetime) -> int:
        wall_s = at.timestamp()
        return self._anchor.monotonic_ns + round(wall_s * NS) - self._anchor.wall_ns


class CapacityWatch:
    """A thread that asks; what CloudWatch refuses is recorded once, and asked again."""

    def __init__(
        self,
        ask: Callable[[datetime], Mapping[str, Points]],
        emit: Callable[[Observation], None],
        anchor: Anchor,
        now_ns: Callable[[], int],
    ) -> None:
        """Make one; `ask` returns each instance's datapoints since an instant."""
        self._ask = ask
        self._emit = emit
        self._anchor = anchor
        self._now_ns = now_ns
        self._capacities = Capacities(emit, anchor)
        self._refused = ""
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="capacities", daemon=True)

    def start(self, timeout_s: float) -> None:  # noqa: ARG002 - nothing to wait for
        """Begin to ask."""
        self._thread.start()

    def check(self) -> None:
        """Raise `HostError` if something ended the thread."""
        if self._error:
            raise HostError(f"the watch of capacities failed: {self._error}") from self._error

    def stop(self, timeout_s: float = 30.0) -> None:
        """Ask a last time and end.

        Raises:
            HostError: it failed, or CloudWatch did not answer in time.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise HostError(f"CloudWatch did not answer the watch of capacities in {timeout_s:g} s")
        self.check()

    def _run(self) -> None:
        try:
            while True:
                last = self._stop.is_set()
                self._look()
                if last:
                    self._capacities.end()
                    return
                self._stop.wait(EVERY_S)
        except Exception as error:  # noqa: BLE001 - handed to the runner by check()
            self._error = error

    def _look(self) -> None:
        now_ns = self._now_ns()
        try:
            told = self._ask(self._anchor.wall(now_ns) - _LOOK_BACK)
        except ControlPlaneError as error:
            if str(error) != self._refused:
                self._refused = str(error)
                self._emit(
                    Observation(
                        at_ns=self._now_ns(),
                        since_ns=None,
                        kind="acu",
                        subject="",
                        value=str(error),
                    )
                )
            return
        for instance, points in told.items():
            self._capacities.add(instance, points, now_ns)
