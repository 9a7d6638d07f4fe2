"""Operations in columns: what a plot of any length needs, without dropping a failure or a gap.

Time is cut into columns, fine around the faults and coarse elsewhere. A column counts its operations
by intended start and keeps the smallest, the median and the largest latency (from the intended start)
of those that succeeded. A stretch in which nothing was sent is a gap: missing, never zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaos.clock import NS
from chaos.model import bulk
from chaos.model.history import Records
from chaos.model.operation import Outcome

_MISSED = " Missed"
_GAP_ARRIVALS = 6.0
_GAP_S_MIN = 0.25
_EVEN_S = 0.25
"""Columns as narrow as this need no finer ones anywhere."""

_ROWS_MAX = 500_000
"""Operations that are reduced at once."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How many operations of each outcome lie in each column; n columns have n + 1 edges."""

    edges_s: Floats
    ok: Counts
    late: Counts
    failed: Counts
    unknown: Counts

    @property
    def total(self) -> Counts:
        """All operations of each column."""
        return np.asarray(self.ok + self.late + self.failed + self.unknown)

    def per_second(self, over_s: float) -> Floats:
        """Return the rate at each column, over `over_s` around it or the column if that is wider.

        A column of a few operations holds one more or one less by chance; its rate should not.
        """
        so_far = np.concatenate(([0], np.cumsum(self.total)))
        there = np.flatnonzero(self.total)
        if not len(there):
            return np.zeros(len(self.total))
        low, high = self.edges_s[:-1], self.edges_s[1:]
        wider = np.maximum(over_s - (high - low), 0) / 2
        # Before its first and after its last operation a stream has no rate to be averaged with.
        low = np.minimum(np.maximum(low - wider, self.edges_s[there[0]]), low)
        high = np.maximum(np.minimum(high + wider, self.edges_s[there[-1] + 1]), high)
        counted = np.interp(high, self.edges_s, so_far) - np.interp(low, self.edges_s, so_far)
        return np.asarray(counted / (high - low), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Latency of the successes of each column in seconds, NaN where there were none.

    `error_max` is the longest time that a client waited for an error.
    """

    edges_s: Floats
    smallest: Floats
    median: Floats
    largest: Floats
    error_max: Floats


def edges(
    start_s: float, end_s: float, focus: Sequence[Span], *, columns_max: int, least_s: float
) -> Floats:
    """Cut a recording into about `columns_max` columns, none under `least_s`, most in `focus`."""
    inside = _merged(focus, start_s, end_s)
    length = sum(b - a for a, b in inside)
    outside = (end_s - start_s) - length
    even = nice_step(max((end_s - start_s) / columns_max, least_s))
    if not inside or outside <= length or even <= _EVEN_S:
        return _steps(start_s, end_s, even)
    fine = nice_step(max(length / (columns_max * 2 / 3), least_s))
    coarse = nice_step(outside / (columns_max / 3))
    cuts = [start_s]
    for a, b in inside:
        cuts += [*_steps(cuts[-1], a, coarse)[1:], *_steps(a, b, fine)[1:]]
    cuts += [*_steps(cuts[-1], end_s, coarse)[1:]]
    return np.unique(np.asarray(cuts, dtype=np.float64))


def nice_step(at_least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `at_least`."""
    power = 10.0 ** np.floor(np.log10(max(at_least, 1e-6)))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= at_least * (1 - 1e-9)))


def sent(records: Records, names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which operations were sent: a turn that a probe missed says nothing."""
    missed = [number for number, name in enumerate(names) if _MISSED in name]
    return ~np.isin(records["error"], missed)


def outcomes(records: Records, origin_ns: int, edges_s: Floats, *, late_s: float) -> Outcomes:
    """Count operations into columns."""
    ok, late, failed, unknown = np.zeros((4, len(edges_s) - 1), dtype=np.int64)
    for part in bulk.pieces(len(records)):
        some = records[part]
        where = _columns(some, origin_ns, edges_s)
        slow = _latency_s(some) > late_s
        good = some["outcome"] == Outcome.OK
        for counts, mask in (
            (ok, good & ~slow),
            (late, good & slow),
            (failed, some["outcome"] == Outcome.FAILED),
            (unknown, some["outcome"] == Outcome.UNKNOWN),
        ):
            np.add(counts, np.bincount(where[mask], minlength=len(counts)), out=counts)
    return Outcomes(edges_s=edges_s, ok=ok, late=late, failed=failed, unknown=unknown)


def latencies(records: Records, origin_ns: int, edges_s: Floats) -> Latencies:
    """Reduce the latencies of operations, which are in the order of intended starts, to columns."""
    columns = len(edges_s) - 1
    smallest, median, largest, error_max = np.full((4, columns), np.nan)
    for rows in _pieces(records, origin_ns, edges_s):
        some = records[rows]
        ok = some["outcome"] == Outcome.OK
        where, latency = _columns(some, origin_ns, edges_s), _latency_s(some)
        least, middle, most = _reduced(where[ok], latency[ok], columns)
        _, _, waited = _reduced(where[~ok], latency[~ok], columns)
        for whole, found in (
            (smallest, least),
            (median, middle),
            (largest, most),
            (error_max, waited),
        ):
            # Each column is in one piece whole.
            np.copyto(whole, found, where=~np.isnan(found))
    return Latencies(
        edges_s=edges_s, smallest=smallest, median=median, largest=largest, error_max=error_max
    )


def _pieces(records: Records, origin_ns: int, edges_s: Floats) -> Iterator[slice]:
    """Yield slices of operations that hold whole columns, and few of them."""
    due_s = bulk.made(len(records), np.float64, lambda part: _seconds(records[part], origin_ns))
    start = 0
    for end in np.searchsorted(due_s, edges_s[1:-1]).tolist():
        if end - start > _ROWS_MAX:
            yield slice(start, end)
            start = end
    yield slice(start, len(records))


def gaps(records: Records, origin_ns: int, start_s: float, end_s: float) -> tuple[Span, ...]:
    """Return the stretches of a recording in which no operation was intended."""
    if not len(records):
        return ((start_s, end_s),)
    cuts = bulk.room(len(records) + 2, np.float64)
    cuts[0], cuts[-1] = start_s, end_s
    for part in bulk.pieces(len(records)):
        cuts[part.start + 1 : part.stop + 1] = _seconds(records[part], origin_ns)
    earlier, later = cuts[1:-2], cuts[2:-1]
    between = bulk.made(len(later), np.float64, lambda part: later[part] - earlier[part])
    usual = float(np.median(between, overwrite_input=True)) if len(between) else 0.0
    threshold = max(_GAP_ARRIVALS * usual, _GAP_S_MIN)
    before, after = cuts[:-1], cuts[1:]
    wide = bulk.where(len(after), lambda part: after[part] - before[part] > threshold)
    return tuple((float(cuts[i]), float(cuts[i + 1])) for i in wide)


def _merged(focus: Sequence[Span], start_s: float, end_s: float) -> list[Span]:
    merged: list[Span] = []
    for a, b in sorted((max(a, start_s), min(b, end_s)) for a, b in focus):
        if b <= a:
            continue
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], b))
        else:
            merged.append((a, b))
    return merged


def _steps(start_s: float, end_s: float, step_s: float) -> Floats:
    count = max(int(np.ceil((end_s - start_s) / step_s - 1e-9)), 1)
    cuts = start_s + step_s * np.arange(count + 1)
    cuts[-1] = end_s
    return np.asarray(cuts, dtype=np.float64)


def _seconds(records: Records, origin_ns: int) -> Floats:
    return np.asarray((records["intended_ns"] - origin_ns) / NS, dtype=np.float64)


def _latency_s(records: Records) -> Floats:
    return np.asarray((records["ended_ns"] - records["intended_ns"]) / NS, dtype=np.float64)


def _columns(records: Records, origin_ns: int, edges_s: Floats) -> NDArray[np.int64]:
    """Return the column of each operation; what lies beyond the edges counts to the outermost."""
    where = np.searchsorted(edges_s, _seconds(records, origin_ns), side="right") - 1
    return np.clip(where, 0, len(edges_s) - 2)


def _reduced(
    where: NDArray[np.int64], values: Floats, columns: int
) -> tuple[Floats, Floats, Floats]:
    """Return smallest, median and largest value of each column, NaN where it holds none."""
    order = np.lexsort((values, where))
    ordered = np.append(values[order], np.nan)
    cuts = np.searchsorted(where[order], np.arange(columns + 1))
    first, last = cuts[:-1], cuts[1:] - 1
    empty = last < first
    chosen = (first, (first + last) // 2, (first + last + 1) // 2, last)
    low, before, after, high = (ordered[np.where(empty, len(values), at)] for at in chosen)
    return low, (before + after) / 2, high
