"""What clients felt of capacity: latency at each one, broken connections while it changed, resumes.

An operation is set against the capacity of the instance that answered it, when it was due; one that no
instance answered, against that of the instance that the stream's last answer came from. Latency counts
from the intended start, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.checks.capacity_series import Level, capacity_at, levels
from chaos.checks.evidence import Trace
from chaos.checks.order_statistics import nearest_rank
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.gone import GONE_BY_NAME, GONE_BY_STATE, GONE_IF_OPEN
from chaos.model.history import OperationLog, Records
from chaos.model.operation import PROBE_ARM
from chaos.model.serverless import STEP_ACU

_BROKEN = (*GONE_BY_STATE, *GONE_BY_NAME, *GONE_IF_OPEN)
"""Begin the names of errors that an attempt on an open connection meets when it breaks."""
_P99_MIN = 100

Series = Mapping[str, Sequence[Level]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnects:
    """Connections of one arm to one instance that broke while its capacity changed."""

    arm: str
    instance: str
    operations: int
    """That were answered by it while its capacity changed, or broke."""
    broken: int
    """Attempts that met a connection which broke; each connection fails one at least."""
    first_ns: int | None
    last_ns: int | None


def by_capacity(recording: Recording) -> list[dict[str, Any]]:
    """Return operations, latency and failures of each stream at each capacity, to the half ACU.

    `acu` is None where no datapoint tells. The 99th percentile is None below 100 operations.
    """
    series = levels(recording)
    if not series:
        return []
    return [
        row
        for arm, endpoint, kind in sorted(recording.streams)
        if arm != PROBE_ARM and (trace := recording.trace(arm, endpoint, kind)) is not None
        for row in _of_stream(
            trace, series, {"arm": arm, "endpoint": endpoint, "operation": kind.name.lower()}
        )
    ]


def _of_stream(trace: Trace, series: Series, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    acu = _capacities(trace, series)
    seen = {level for part in bulk.pieces(len(acu)) for level in np.unique(acu[part]).tolist()}
    untold = any(np.isnan(level) for level in seen)
    levels_seen: list[float] = sorted(level for level in seen if not np.isnan(level))
    for level in [*levels_seen, *([None] if untold else [])]:
        chosen = np.isnan(acu) if level is None else acu == level
        good = chosen & trace.succeeded
        latency_ns = bulk.kept(trace.ended, good)
        latency_ns -= bulk.kept(trace.intended, good)
        yield {
            **about,
            "acu": level,
            "operations": int(np.count_nonzero(chosen)),
            "failed": int(np.count_nonzero(chosen & ~trace.succeeded)),
            "latency_ms_p50": _quantile_ms(latency_ns, 0.5, 1),
            "latency_ms_p99": _quantile_ms(latency_ns, 0.99, _P99_MIN),
        }


def _capacities(trace: Trace, series: Series) -> NDArray[np.float64]:
    """Return the capacity of who answered each operation, when it was due, to the half ACU.

    NaN where none is told. Who answered none is stood in for by the last that answered before.
    """
    names, before = trace.log.names, 0
    told = bulk.room(len(trace.intended), np.float64)
    for part in bulk.pieces(len(told)):
        instances = np.asarray(trace.records["instance"][part], dtype=np.int64)
        last = np.maximum.accumulate(np.where(instances > 0, np.arange(len(instances)), -1))
        instances = np.where(last >= 0, instances[last], before)
        before = int(instances[-1])
        some = np.full(len(instances), np.nan)
        for number in np.unique(instances).tolist():
            known = series.get(names[number])
            if known:
                chosen = instances == number
                some[chosen] = capacity_at(known, trace.intended[part][chosen])
        told[part] = np.round(some / STEP_ACU) * STEP_ACU
    return told


def _quantile_ms(latency_ns: NDArray[np.int64], share: float, least: int) -> float | None:
    if len(latency_ns) < least:
        return None
    rank = nearest_rank(len(latency_ns), share) - 1
    latency_ns.partition(rank)
    return float(latency_ns[rank]) / 1e6


def disconnects(recording: Recording) -> list[Disconnects]:
    """Return, for each arm and instance whose capacity changed, what broke meanwhile."""
    found = []
    for instance, known in sorted(levels(recording).items()):
        stretches = [(one.changed_ns, one.from_ns) for one in known[1:]]
        if not stretches:
            continue
        for arm, log in recording.history.arms.items():
            if arm != PROBE_ARM:
                found.append(_broken(arm, instance, log, stretches))
    return found


def _broken(
    arm: str, instance: str, log: OperationLog, stretches: Sequence[tuple[int, int]]
) -> Disconnects:
    errors = [n for n, name in enumerate(log.names) if name.startswith(_BROKEN)]
    of_instance = log.names.index(instance) if instance in log.names else -1

    def inside(records: Records, part: slice) -> NDArray[np.bool_]:
        here = np.zeros(len(records["instance"][part]), dtype=bool)
        for from_ns, to_ns in stretches:
            here |= (records["ended_ns"][part] >= from_ns) & (records["started_ns"][part] <= to_ns)
        return np.asarray(here & (records["instance"][part] == of_instance))

    def met(records: Records, part: slice) -> NDArray[np.bool_]:
        return inside(records, part) & np.isin(records["error"][part], errors)

    attempts, operations = log.attempts, log.operations
    asked = bulk.where(len(operations), lambda part: inside(operations, part))
    broken = bulk.where(len(attempts), lambda part: met(attempts, part))
    # An operation without recorded attempts stands for its only one.
    single = bulk.where(len(operations), lambda part: met(operations, part))
    single = single[~np.isin(single, attempts["operation"])]
    ended = np.concatenate([attempts["ended_ns"][broken], operations["ended_ns"][single]])
    return Disconnects(
        arm=arm,
        instance=instance,
        operations=len(asked),
        broken=len(ended),
        first_ns=int(ended.min()) if len(ended) else None,
        last_ns=int(ended.max()) if len(ended) else None,
    )


def resumes(recording: Recording) -> list[dict[str, Any]]:
    """Return, for each pause, how long the first operation of each stream waited for its answer.

    From the instant when the first operation after it was due to the return of the first that succeeded;
    both are the client's own, so there is no doubt between them but that of the clocks of several
    machines, by which it is told longer. `None` where none succeeded.
    """
    series = levels(recording)
    found = []
    for number, stretch in enumerate(recording.quiet, 1):
        end_ns = next((later.from_ns for later in recording.quiet[number:]), recording.until_ns)
        for arm, endpoint, kind in sorted(recording.streams):
            trace = recording.trace(arm, endpoint, kind)
            if arm == PROBE_ARM or trace is None:
                continue
            rows = np.flatnonzero((trace.intended >= stretch.to_ns) & (trace.intended < end_ns))
            if not len(rows):
                continue
            asked_ns = int(trace.intended[rows[0]])
            good = rows[trace.succeeded[rows]]
            served_ns = int(trace.ended[good].min()) if len(good) else None
            failed = rows if served_ns is None else rows[trace.ended[rows] <= served_ns]
            found.append(
                {
                    "pause": number,
                    "arm": arm,
                    "endpoint": endpoint,
                    "operation": kind.name.lower(),
                    "paused": _paused(series, stretch.from_ns, stretch.to_ns),
                    "asked_s": recording.seconds(asked_ns),
                    "served_s": None if served_ns is None else recording.seconds(served_ns),
                    "waited_s": None
                    if served_ns is None
                    else (served_ns - asked_ns + 2 * trace.log.clock_error_ns) / NS,
                    "failed_before": int(np.count_nonzero(~trace.succeeded[failed])),
                }
            )
    return found


def _paused(series: Series, from_ns: int, to_ns: int) -> list[str]:
    """Return the instances that a datapoint shows at 0 ACU within a stretch."""
    return [
        instance
        for instance, known in sorted(series.items())
        if any(one.acu == 0 and one.to_ns > from_ns and one.shown_ns < to_ns for one in known)
    ]
