"""One clock: monotonic for every duration, one wall-clock anchor for display.

All instants that processes of one machine record are `CLOCK_MONOTONIC` nanoseconds, which those
processes share, so they need no alignment. `Anchor` ties that axis to the wall clock once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

NS = 1_000_000_000


class Clock(Protocol):
    """What code that measures or waits needs of time; tests pass a virtual one."""

    def now_ns(self) -> int:
        """Return the monotonic instant in nanoseconds."""

    def sleep(self, duration_s: float) -> None:
        """Block for `duration_s` seconds; nothing for zero or less."""


class MonotonicClock:
    """The machine's monotonic clock."""

    def now_ns(self) -> int:
        """Return `CLOCK_MONOTONIC` in nanoseconds."""
        return time.monotonic_ns()

    def sleep(self, duration_s: float) -> None:
        """Block for `duration_s` seconds; nothing for zero or less."""
        if duration_s > 0:
            time.sleep(duration_s)  # noqa: TID251 - the one place


@dataclass(frozen=True, slots=True)
class Anchor:
    """One instant read on both clocks; `uncertainty_ns` is how far apart the readings may be."""

    monotonic_ns: int
    wall_ns: int
    uncertainty_ns: int

    @classmethod
    def take(cls) -> Anchor:
        """Read the wall clock between two readings of the monotonic one."""
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        return cls((before + after) // 2, wall, after - before)

    def wall(self, monotonic_ns: int) -> datetime:
        """Return the UTC wall-clock time of a monotonic instant, for display only."""
        return datetime.fromtimestamp((self.wall_ns + monotonic_ns - self.monotonic_ns) / NS, UTC)
