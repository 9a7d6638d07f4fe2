"""Interruption windows: from recorded operations to intervals with bounds on both sides.

A window holds bad operations (chaos.checks.evidence) that no stable stretch separates: `stable_s`
in which every operation that was due was good. Its bounds are instants that the stream proves:

`from`      the start of the last success that had returned before the first bad operation was due.
            It was served at or after that start, so the outage began no earlier.
`to`        the first return of a success that began no earlier than the last bad operation was due,
            or of a late one: nothing returns during an outage, so it was over by then. Where every
            bad operation returned only after that (they all hung), a success could in theory have
            slipped in before an outage that began later. Such an outage fits between two successes;
            should the widest of those gaps be longer, it is the window. Where the recording ends
            before a stable stretch has passed, no recovery was recorded and there is no `to`.
`measured`  `to - from`: never below the time for which the client was not served.
`first_success`, `stable_success`
            the first operation that was served after the first bad one was due, and the first of
            the stable stretch. Between them the service came and went, for some or for all. Each
            was served between the start of its last attempt and its return.
`lower_s`   the time between the earliest and the latest instant at which the client certainly was
            not served. The truth lies in [`lower_s`, `measured_s`], `uncertainty_s` wide.

Where workers of other machines sent the traffic each instant may be wrong by the error of their
clocks: every bound is moved outwards by it.

What no client noticed leaves no window: an outage shorter than `slow_s` that patient clients sat
out, or one that fell between two operations (`longest_silence` bounds that).

Truth is the client's: a pool that hands out connections to a demoted writer is interrupted for as
long as it does, whatever the cluster says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chaos.checks.evidence import NEVER, NOTHING_PROVEN, Trace
from chaos.clock import NS
from chaos.model import bulk

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One interruption of one stream, in monotonic nanoseconds; see the module for the bounds."""

    from_ns: int
    to_ns: int | None
    """None: the recording ended before a whole stable stretch had followed."""
    until_ns: int
    """End of the recording."""
    lower_ns: int
    first_bad_ns: int
    """Intended start of the first bad operation: the window's start as its definition says it."""
    last_bad_ns: int
    bad: int
    preceded: bool
    """A success came before it, or nobody asked; else `from_ns` is only where the recording begins."""
    shown_ns: int
    """When it had certainly begun: by then its client had not been served."""
    first_success: Span | None = None
    """Between which instants the first success was served; None: nothing succeeded any more."""
    stable_success: Span | None = None
    """The same of the first success of the stable stretch, which returned at `to_ns`."""

    def rows(self, trace: Trace, since_ns: int, until_ns: int) -> slice:
        """Return the rows that were due from its first bad operation to its last, in an interval."""
        return trace.within(max(self.first_bad_ns, since_ns), min(self.last_bad_ns + 1, until_ns))

    def blurred(self, error_ns: int) -> Window:
        """Return it with bounds that hold though each instant may be wrong by so much."""
        if not error_ns:
            return self
        return replace(
            self,
            from_ns=self.from_ns - error_ns,
            to_ns=None if self.to_ns is None else self.to_ns + error_ns,
            lower_ns=max(0, self.lower_ns - 2 * error_ns),
            shown_ns=self.shown_ns + error_ns,
            first_success=_wider(self.first_success, error_ns),
            stable_success=_wider(self.stable_success, error_ns),
        )

    @property
    def reached_ns(self) -> int:
        """Where it ends, or the recording did."""
        return self.until_ns if self.to_ns is None else self.to_ns

    @property
    def measured_s(self) -> float:
        """The upper bound; of an open window, what had passed when the recording ended."""
        return (self.reached_ns - self.from_ns) / NS

    @property
    def lower_s(self) -> float:
        """The lower bound."""
        return self.lower_ns / NS

    @property
    def uncertainty_s(self) -> float:
        """The width of the interval in which the truth lies."""
        return self.measured_s - self.lower_s


def find_windows(
    trace: Trace, *, stable_s: float, until_ns: int, since_ns: int | None = None
) -> tuple[Window, ...]:
    """Return the interruption windows of a stream in order.

    `until_ns` is the end of the recording. With `since_ns` nobody asked anything before that instant:
    what was not served from the start on is measured from there. Time and memory grow with the number
    of operations (n log n) and of windows; an hour at 5000 operations a second takes seconds.
    """
    bad = np.flatnonzero(trace.bad)
    if not len(bad):
        return ()
    served = _Served.of(trace)
    stable_ns = round(stable_s * NS)
    due = trace.intended[bad]
    back = served.first_return(due)
    # Where no success came after an operation, back is NEVER: subtract, so that nothing overflows.
    apart = due[1:] - stable_ns >= back[:-1]
    firsts = np.concatenate([[0], np.flatnonzero(apart) + 1])
    lasts = np.concatenate([np.flatnonzero(apart), [len(bad) - 1]])
    return tuple(
        _window(
            trace,
            served,
            bad=bad[first : last + 1],
            back_ns=int(back[last]),
            stable_ns=stable_ns,
            until_ns=until_ns,
            since_ns=since_ns,
        ).blurred(trace.log.clock_error_ns)
        for first, last in zip(firsts, lasts, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Served:
    """The successes of a stream, arranged for questions about when service was back."""

    started: NDArray[np.int64]
    """Starts, ascending."""
    next_return: NDArray[np.int64]
    """The earliest return among the successes that began at this start or later, then NEVER."""
    ended: NDArray[np.int64]
    """Returns, ascending."""
    latest_start: NDArray[np.int64]
    """The latest start among the successes that had returned by this return."""
    late_ended: NDArray[np.int64]
    """Returns of those that were served late, ascending."""
    start_of: NDArray[np.int64]
    """When the attempt that succeeded began at the earliest, in the order of `ended`."""

    @classmethod
    def of(cls, trace: Trace) -> _Served:
        started = bulk.kept(trace.started, trace.succeeded)
        ended = bulk.kept(trace.ended, trace.succeeded)
        late = bulk.where(len(ended), lambda part: ended[part] - started[part] > trace.slow_ns)
        late_ended = np.sort(ended[late])
        next_return = bulk.room(len(ended) + 1, np.int64)
        next_return[-1] = NEVER
        next_return[:-1] = ended
        if not bulk.ascending(started):
            by_start = np.argsort(started, kind="stable")
            next_return[:-1] = bulk.taken(ended, by_start)
            sorted_started = bulk.taken(started, by_start)
            del by_start
        else:
            sorted_started = started
        np.minimum.accumulate(next_return[::-1], out=next_return[::-1])
        by_end = np.argsort(ended, kind="stable")
        latest_start = bulk.taken(started, by_end)
        np.maximum.accumulate(latest_start, out=latest_start)
        return cls(
            started=sorted_started,
            next_return=next_return,
            ended=bulk.taken(ended, by_end),
            latest_start=latest_start,
            late_ended=late_ended,
            start_of=bulk.taken(bulk.kept(trace.last_try, trace.succeeded), by_end),
        )

    def first_return(self, after: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when each client is known to be served again after an instant; else NEVER."""
        began_later = self.next_return[np.searchsorted(self.started, after)]
        late = np.append(self.late_ended, NEVER)[np.searchsorted(self.late_ended, after)]
        return np.asarray(np.minimum(began_later, late))

    def span(self, returned: int, after: int) -> Span | None:
        """Return between which instants a success was served that returned then; None: NEVER."""
        if returned == NEVER:
            return None
        place = int(np.searchsorted(self.ended, returned))
        return max(int(self.start_of[place]), after), returned

    def last_start(self, before: int) -> int | None:
        """Return the latest start of a success that had returned by `before`."""
        count = int(np.searchsorted(self.ended, before, side="right"))
        return int(self.latest_start[count - 1]) if count else None

    def widest_gap(self, since: int, until: int) -> tuple[int, int]:
        """Return the longest stretch without service that begins between two instants."""
        low, high = np.searchsorted(self.started, (since, until), side="left")
        begins, ends = self.started[low:high], self.next_return[low + 1 : high + 1]
        closed = ends != NEVER
        if not closed.any():
            return 0, 0
        begins, ends = begins[closed], ends[closed]
        widest = int(np.argmax(ends - begins))
        return int(begins[widest]), int(ends[widest])


def _window(
    trace: Trace,
    served: _Served,
    *,
    bad: NDArray[np.intp],
    back_ns: int,
    stable_ns: int,
    until_ns: int,
    since_ns: int | None,
) -> Window:
    first_due, last_due = int(trace.intended[bad[0]]), int(trace.intended[bad[-1]])
    before = served.last_start(first_due)
    before = since_ns if before is None else before
    from_ns = int(trace.intended[0]) if before is None else before
    to_ns = None if back_ns == NEVER else back_ns
    if to_ns is not None:
        returned = int(trace.ended[bad].min(where=~trace.dropped[bad], initial=NEVER))
        if to_ns < returned != NEVER:
            gap_from, gap_to = served.widest_gap(to_ns, returned)
            if gap_to - gap_from > to_ns - from_ns:
                from_ns, to_ns = gap_from, gap_to
    first_back = int(served.first_return(np.array([first_due]))[0])
    first_success = served.span(first_back, first_due)
    if first_success is not None and first_back < from_ns:  # another gap was the window
        first_success = served.span(NEVER if to_ns is None else to_ns, from_ns)
    if to_ns is not None and until_ns - to_ns < stable_ns:
        to_ns = None
    upper_ns = (until_ns if to_ns is None else to_ns) - from_ns
    not_before, not_after = trace.proof(
        int(bad[0]),
        until_ns if to_ns is None else to_ns,
        first_back,
    )
    lower_ns = 0
    if not_before != NOTHING_PROVEN and not_after != NEVER:
        lower_ns = min(max(0, not_before - not_after), upper_ns)
    return Window(
        from_ns=from_ns,
        to_ns=to_ns,
        until_ns=until_ns,
        lower_ns=lower_ns,
        first_bad_ns=first_due,
        last_bad_ns=last_due,
        bad=len(bad),
        preceded=before is not None,
        shown_ns=max(first_due, not_after) if not_after != NEVER else first_due,
        first_success=first_success,
        stable_success=served.span(NEVER if to_ns is None else to_ns, first_due),
    )


def _wider(span: Span | None, error_ns: int) -> Span | None:
    return span and (span[0] - error_ns, span[1] + error_ns)


def longest_silence(trace: Trace, since_ns: int, until_ns: int) -> tuple[int, int]:
    """Return the longest stretch of an interval that may lack service, as two instants.

    Everything succeeded in time around it, so no outage longer than this was there to be seen by
    clients that fail fast; patient ones may have sat out one of `slow_s`.
    """
    # What began before the interval says no more of it than its beginning does.
    rows = bulk.where(
        len(trace.started),
        lambda part: (trace.started[part] >= since_ns) & (trace.started[part] < until_ns),
    )
    first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    served = _Served.of(trace.rows(first, last))
    begins = bulk.room(len(served.started) + 1, np.int64)
    begins[0], begins[1:] = since_ns, served.started
    begin, end = since_ns, since_ns
    for part in bulk.pieces(len(begins)):
        low = np.clip(begins[part], since_ns, until_ns)
        high = np.clip(served.next_return[part], since_ns, until_ns)
        widest = int(np.argmax(high - low))
        if int(high[widest] - low[widest]) > end - begin:
            begin, end = int(low[widest]), int(high[widest])
    error_ns = trace.log.clock_error_ns
    return begin - error_ns, end + error_ns


def silences(trace: Trace, since_ns: int, until_ns: int) -> Iterator[Span]:
    """Yield each stretch of an interval in which an outage of `slow_s` may have left no window.

    Nothing returns during an outage: there is one where no success returned for so long, and it
    began no earlier than the last one before it.
    """
    ended = bulk.kept(trace.ended, trace.succeeded)
    returns = bulk.room(len(ended) + 2, np.int64)
    returns[0], returns[-1] = since_ns, until_ns
    np.clip(ended, since_ns, until_ns, out=returns[1:-1])
    returns.sort()
    before, after = returns[:-1], returns[1:]
    rows = bulk.where(len(before), lambda part: after[part] - before[part] > trace.slow_ns)
    if not len(rows):
        return
    latest_start = np.full(len(rows) + 1, since_ns)
    started = bulk.kept(trace.started, trace.succeeded)
    begins = before[rows]
    for part in bulk.pieces(len(ended)):
        np.maximum.at(latest_start, np.searchsorted(begins, ended[part]), started[part])
    np.maximum.accumulate(latest_start, out=latest_start)
    error_ns = trace.log.clock_error_ns
    for began_ns, over_ns in zip(latest_start.tolist(), after[rows].tolist(), strict=False):
        yield began_ns - error_ns, over_ns + error_ns
