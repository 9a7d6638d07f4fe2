"""A worker's monotonic clock against the runner's: their offset, and a bound on its error.

The runner sends at `t1`, the worker receives at `t2` and replies at `t3`, the reply returns at `t4`;
`t2` and `t3` are on the worker's clock. Since no message arrives before it is sent, the offset
(worker - runner) lies between `t3 - t4` and `t2 - t1`. Its middle is NTP's estimate,
`((t2 - t1) + (t3 - t4)) / 2`, and half the width is half the round trip, also where the two ways
take different times (RFC 5905 section 8; Cristian, Probabilistic clock synchronization, 1989).

Every exchange gives such an interval. An older one is wider by what two clocks may drift apart since,
and the truth lies in all of them at once: what is kept is their intersection. A clock that left it
has jumped: the machine was suspended or moved.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

DRIFT_MAX = 1e-3
"""Seconds that two clocks may drift apart in one second: each is slewed by 500 ppm at most, which is
NTP's MAXFREQ (RFC 5905 appendix A) and the kernel's limit; crystals are ten times better."""
_KEPT_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message to the worker and its reply, in nanoseconds of the clock that each was read on."""

    sent_ns: int
    received_ns: int
    replied_ns: int
    returned_ns: int


@dataclass(frozen=True, slots=True)
class Offset:
    """What to subtract from a worker's instant, and how wrong the result may be."""

    offset_ns: int
    error_ns: int


@dataclass(frozen=True, slots=True)
class _Known:
    at_ns: int
    low_ns: int
    high_ns: int

    def after(self, at_ns: int) -> tuple[int, int]:
        """Return the interval at another instant."""
        drift_ns = round(abs(at_ns - self.at_ns) * DRIFT_MAX) + 1
        return self.low_ns - drift_ns, self.high_ns + drift_ns


class Alignment:
    """The offset of one worker's clock over the run."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: list[_Known] = []
        self.exchanges = 0
        self.jumped_ns = 0
        """The largest step that drift does not explain; 0: none."""

    def add(self, exchange: Exchange) -> None:
        """Take one exchange; they come in the order in which they returned."""
        self.exchanges += 1
        at_ns = exchange.returned_ns
        # Both ends may have drifted since they were read, by the time of the round trip at most.
        drift_ns = round((at_ns - exchange.sent_ns) * DRIFT_MAX) + 1
        low = exchange.replied_ns - exchange.returned_ns - drift_ns
        high = exchange.received_ns - exchange.sent_ns + drift_ns
        if self._known:
            before_low, before_high = self._known[-1].after(at_ns)
            if max(low, before_low) <= min(high, before_high):
                low, high = max(low, before_low), min(high, before_high)
            else:
                self.jumped_ns = max(self.jumped_ns, low - before_high, before_low - high)
        self._known.append(_Known(at_ns, low, high))
        if len(self._known) > _KEPT_MAX:
            del self._known[: _KEPT_MAX // 2]

    def latest(self) -> Offset:
        """Return the offset as last known.

        Raises:
            LookupError: nothing was exchanged yet.
        """
        last = self._last()
        return _middle(last.low_ns, last.high_ns)

    def over(self, first_ns: int, last_ns: int) -> Offset:
        """Return one offset for all instants between two of the worker's, with a bound for each.

        Raises:
            LookupError: nothing was exchanged yet.
        """
        offset_ns = self.latest().offset_ns
        since, until = first_ns - offset_ns, last_ns - offset_ns
        begin = max(0, bisect_right(self._known, since, key=lambda k: k.at_ns) - 1)
        end = bisect_left(self._known, until, key=lambda k: k.at_ns) + 1
        around = self._known[begin:end]
        known = [around[0].after(since), *((k.low_ns, k.high_ns) for k in around[1:-1])]
        known += [k.after(k.at_ns) for k in (around[0], around[-1]) if since <= k.at_ns <= until]
        known.append(around[-1].after(until))
        lows, highs = zip(*known, strict=True)
        # Between two exchanges the offset strays from the nearer one by half their distance at most.
        apart = [later.at_ns - earlier.at_ns for earlier, later in pairwise(around)]
        stray_ns = round(max(apart, default=0) / 2 * DRIFT_MAX) + 1
        return _middle(min(lows) - stray_ns, max(highs) + stray_ns)

    def _last(self) -> _Known:
        if not self._known:
            raise LookupError("no exchange with this worker yet: its clock is not aligned")
        return self._known[-1]


def _middle(low_ns: int, high_ns: int) -> Offset:
    offset_ns = (low_ns + high_ns) // 2
    return Offset(offset_ns, high_ns - offset_ns)
