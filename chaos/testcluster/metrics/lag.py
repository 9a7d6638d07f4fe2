"""How far a reader's replay is behind the writer, in time; pure.

PostgreSQL tells positions in the log, and delays only while something is written. So the writer's
positions are remembered with their instants: a reader lags by the age of what it has replayed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

_REMEMBERED = 3_600  # seconds: longer lags are told as this long


class WriterTrack:
    """The positions of one writer, one a second."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=_REMEMBERED)
        self._lsn: deque[int] = deque(maxlen=_REMEMBERED)

    def note(self, at_s: float, lsn: int) -> None:
        """Remember that the writer had written up to `lsn` at `at_s`."""
        if not self._lsn or lsn >= self._lsn[-1]:
            self._at.append(at_s)
            self._lsn.append(lsn)

    def lag_s(self, at_s: float, replayed: int) -> float:
        """Return how old, at `at_s`, the first thing is that a reader has not replayed; 0 if none.

        Between two noted positions the writer is taken to have written evenly.
        """
        if not self._lsn or replayed >= self._lsn[-1]:
            return 0.0
        after = bisect_right(self._lsn, replayed)
        if after == 0:
            return max(at_s - self._at[0], 0.0)
        low, high = self._lsn[after - 1], self._lsn[after]
        share = (replayed - low) / (high - low)
        written = self._at[after - 1] + share * (self._at[after] - self._at[after - 1])
        return max(at_s - written, 0.0)
