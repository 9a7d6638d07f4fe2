"""What each arm costs and saves against the first one, under the same faults; `arms` of `verdict.json`.

Each measure of an arm is a value with an interval. An arm is better or worse than the first only where
their intervals do not overlap; else no difference was shown. Less is better in all of them. What the
intervals hold:

interruption  the bounds of the longest window after any fault; without one, from 0 to the longest
              stretch in which nothing was served: an outage in it leaves no window
counts        the count that as many operations would have on average, with 95 % confidence: Byar's
              approximation of the Poisson interval (N. Breslow, N. Day, Statistical Methods in Cancer
              Research II, 1987, section 2.3). Compared is what comes to one operation
latency       the quantile, by order statistics over all operations before the first fault and over
              the one-second stretches of it: what is answered in one second is not independent
pinned        the bounds of the time with connections pinned to a demoted writer

One run shows what was so in that run. The faults were the same for all arms, whose arrivals were not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.checks.availability import served
from chaos.checks.evidence import Instants, Trace
from chaos.checks.information import Felt, felt
from chaos.checks.order_statistics import CONFIDENCE, nearest_rank, quantile, quantile_ranks
from chaos.checks.poisoned_pool import poisonings
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.operation import PROBE_ARM, ConnectionEvent, Kind

_Z = 1.959964
"""Of the normal distribution, for 95 %."""
_STRETCH_OPERATIONS_MIN = 5
BETTER, WORSE, NONE_SHOWN, NOT_KNOWN = "better", "worse", "no difference shown", "not known"


@dataclass(frozen=True, slots=True)
class Measure:
    """What one arm has of one measure; of a count, `of` is how many operations it is of."""

    value: float | None
    low: float
    high: float
    of: int | None = None

    def against(self, other: Measure | None) -> str:
        """Say whether it is better (less) or worse than another one's."""
        if other is None or self.value is None or other.value is None:
            return NOT_KNOWN
        if 0 in {self.of, other.of}:
            return NOT_KNOWN
        mine, its = self.of or 1, other.of or 1
        if self.high / mine < other.low / its:
            return BETTER
        if self.low / mine > other.high / its:
            return WORSE
        return NONE_SHOWN


UNKNOWN = Measure(None, 0.0, math.inf)
Row = tuple[str, str, str, str]
"""Name of the measure, endpoint and operation where it is of one stream, and unit."""


def difference_table(recording: Recording) -> dict[str, Any]:
    """Return every measure of every arm, each against the first arm's."""
    arms = recording.arms
    first_ns = min((i.requested_ns for i in recording.injections), default=recording.since_ns)
    all_felt = felt(recording)
    rows: dict[Row, dict[str, Measure]] = {}
    for arm in arms:
        mine = [one for one in all_felt if one.arm == arm]
        for row, measure in (*_interruptions(mine), *_measures(recording, arm, first_ns)):
            rows.setdefault(row, {})[arm] = measure
    return {
        "baseline": arms[0] if arms else None,
        "injections": len(recording.injections),
        "confidence": CONFIDENCE,
        "measures": [
            {
                "measure": name,
                "endpoint": endpoint,
                "operation": operation,
                "unit": unit,
                "arms": list(_compared(arms, rows[name, endpoint, operation, unit])),
            }
            for name, endpoint, operation, unit in sorted(rows, key=_order)
        ],
    }


def _compared(arms: Sequence[str], measured: dict[str, Measure]) -> Iterator[dict[str, Any]]:
    for number, arm in enumerate(arms):
        mine = measured.get(arm, UNKNOWN)
        yield {
            "arm": arm,
            "value": mine.value,
            "low": mine.low if mine.value is not None else None,
            "high": mine.high if mine.high < math.inf else None,
            "of": mine.of,
            "against_baseline": mine.against(measured.get(arms[0])) if number else None,
        }


_ORDER = (
    "interruption", "not_served", "failed", "unknown", "lost", "duplicated",
    "latency_p50", "latency_p99", "retries", "connections_opened", "pinned", "pinned_share_max",
)  # fmt: skip


def _order(row: Row) -> tuple[int, str, str]:
    return _ORDER.index(row[0]), row[1], row[2]


def _measures(recording: Recording, arm: str, first_ns: int) -> Iterator[tuple[Row, Measure]]:
    yield from _operations(recording, arm, first_ns)
    yield from _writes(recording, arm)
    yield from _latencies(recording, arm, first_ns)
    yield from _connections(recording, arm)
    yield from _pinned(recording, arm)


def _interruptions(all_felt: Iterable[Felt]) -> Iterator[tuple[Row, Measure]]:
    streams: dict[tuple[str, Kind], list[Felt]] = {}
    for one in all_felt:
        streams.setdefault((one.endpoint, one.kind), []).append(one)
    for (endpoint, kind), members in streams.items():
        if all(one.unasked for one in members):
            yield ("interruption", endpoint, kind.name.lower(), "s"), UNKNOWN
            continue
        low = max(one.at_least_s for one in members)
        bounded = [one.at_most_s for one in members]
        high = max(math.inf if bound is None else bound for bound in bounded)
        value = max(max(one.measured_s, one.at_most_s or 0.0) for one in members)
        yield ("interruption", endpoint, kind.name.lower(), "s"), Measure(value, low, high)


def _operations(recording: Recording, arm: str, first_ns: int) -> Iterator[tuple[Row, Measure]]:
    """Yield counts since the first fault, of all the arm's streams together."""
    counted = dict.fromkeys(("operations", "not_served", "failed", "unknown", "retries"), 0)
    for stream in recording.streams:
        told = served(recording, stream, first_ns, recording.until_ns) if stream[0] == arm else None
        trace = recording.trace(*stream)
        if told is None or trace is None:
            continue
        part = trace.within(first_ns, recording.until_ns)
        attempts = trace.records["attempts"][part]
        sent = int(np.count_nonzero(attempts))
        counted["operations"] += told.operations
        counted["not_served"] += told.operations - told.served
        counted["failed"] += told.failed + told.unsent
        counted["unknown"] += told.unknown
        counted["retries"] += int(attempts.sum(dtype=np.int64)) - sent
    operations = counted.pop("operations")
    for name, count in counted.items():
        yield (
            (name, "", "", "operations" if name != "retries" else "attempts"),
            counting(count, operations),
        )


def _writes(recording: Recording, arm: str) -> Iterator[tuple[Row, Measure]]:
    ledger = recording.history.ledger
    if ledger is None or not ledger.complete or arm not in ledger.arms:
        return
    told = ledger.arms[arm]
    yield ("lost", "", "", "writes"), counting(told.lost, told.acknowledged)
    yield ("duplicated", "", "", "writes"), counting(told.duplicated, told.acknowledged)


def _latencies(recording: Recording, arm: str, first_ns: int) -> Iterator[tuple[Row, Measure]]:
    """Yield the latency before the first fault, from the intended start, of each stream."""
    for _, endpoint, kind in (key for key in recording.streams if key[0] == arm):
        trace = recording.trace(arm, endpoint, kind)
        if trace is None:
            continue
        for p, name in ((0.5, "latency_p50"), (0.99, "latency_p99")):
            yield (name, endpoint, kind.name.lower(), "s"), _latency(trace, first_ns, p)


def _latency(trace: Trace, first_ns: int, p: float) -> Measure:
    part = slice(0, int(np.searchsorted(trace.intended, first_ns)))
    early = trace.succeeded[part] & (trace.ended[part] <= first_ns)
    due = bulk.kept(trace.intended[part], early)
    ended = bulk.kept(trace.ended[part], early)
    taken = bulk.made(len(due), np.float64, lambda part: (ended[part] - due[part]) / NS)
    if not len(taken):
        return UNKNOWN
    ordered = bulk.made(len(taken), np.float64, lambda part: taken[part])
    ordered.sort()
    ranks = quantile_ranks(len(taken), p)
    low = float(ordered[ranks.low - 1])
    high = float(ordered[ranks.high - 1]) if ranks.confidence >= CONFIDENCE else math.inf
    by_second = _by_second(due, taken, p)
    if by_second:
        middle = quantile_ranks(len(by_second), 0.5)
        low, high = min(low, by_second[middle.low - 1]), max(high, by_second[middle.high - 1])
        if middle.confidence < CONFIDENCE:
            low, high = 0.0, math.inf
    return Measure(float(ordered[nearest_rank(len(taken), p) - 1]), low, high)


def _by_second(due: Instants, taken: NDArray[np.float64], p: float) -> list[float]:
    """Return the quantile of each second that has enough operations, ascending."""
    seconds = bulk.made(len(due), np.int64, lambda part: due[part] // NS)
    earlier, later = seconds[:-1], seconds[1:]
    cuts = bulk.where(len(later), lambda part: later[part] != earlier[part]) + 1
    stretches = (s for s in np.split(taken, cuts) if len(s) >= _STRETCH_OPERATIONS_MIN)
    return sorted(quantile(stretch.tolist(), p) for stretch in stretches)


def _connections(recording: Recording, arm: str) -> Iterator[tuple[Row, Measure]]:
    log = recording.history.arms.get(arm)
    if log is None or not len(log.connections):
        return
    opened = int((log.connections["event"] == ConnectionEvent.OPENED).sum())
    row = ("connections_opened", "", "", "connections")
    yield row, counting(opened, len(log.operations))


def _pinned(recording: Recording, arm: str) -> Iterator[tuple[Row, Measure]]:
    found = [one for one in poisonings(recording) if one.arm == arm and arm != PROBE_ARM]
    if not found:
        return
    lows = [one.measured_s - one.uncertainty_s for one in found]
    highs = [math.inf if one.remaining else one.measured_s for one in found]
    value = max(one.measured_s for one in found)
    yield ("pinned", "cluster", "", "s"), Measure(value, max(lows), max(highs))
    share = max(one.share_max for one in found)
    yield ("pinned_share_max", "cluster", "", "ratio"), Measure(share, share, 1.0)


def counting(count: int, of: int) -> Measure:
    """Return a count of so many operations, with the 95 % interval of its average."""
    low = 0.0
    if count:
        low = count * (1 - 1 / (9 * count) - _Z / (3 * math.sqrt(count))) ** 3
    more = count + 1
    high = more * (1 - 1 / (9 * more) + _Z / (3 * math.sqrt(more))) ** 3
    return Measure(float(count), max(0.0, low), high, of)
