"""What reads showed, judged or not: the findings that nobody asked for, and `reads` of verdict.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chaos.checks.base import Check
from chaos.checks.monotonic_reads import MonotonicReads
from chaos.checks.of_reads import ReadCheck, periods
from chaos.checks.order_statistics import nearest_rank
from chaos.checks.read_your_writes import ReadYourWrites
from chaos.checks.reads import Flags, SeenReads
from chaos.checks.recording import Recording
from chaos.checks.staleness import Staleness
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.operation import NO_WRITE_ID
from chaos.model.verdict import Finding

_UNASKED: tuple[ReadCheck, ...] = (
    Staleness(staleness_s_max=1.0),
    MonotonicReads(),
    ReadYourWrites(),
)
_P99_READS_MIN = 100
"""Below so many reads the 99th percentile would be the worst of them."""


def inform_reads(recording: Recording, checks: Sequence[Check]) -> list[Finding]:
    """Return the worst stream of each kind of check that no objective asks for, without a verdict."""
    asked = {check.check for check in checks}
    found = []
    for check in _UNASKED:
        if check.check in asked:
            continue
        told = [check.judge_reads(recording, reads) for reads in recording.reads.values()]
        worst = max(told, key=lambda finding: finding.measured or 0.0, default=None)
        if worst is not None:
            found.append(replace(worst, verdict=None, limit=None))
    return found


def reads_shown(recording: Recording) -> list[dict[str, Any]]:
    """Return, for each arm and endpoint, staleness by instance and period and what went back.

    Of each stream: `showed_none`, the reads that found no row. Of each row: `reads`; `lacking`,
    those that certainly lacked an acknowledged write;
    `staleness_s_p99` and `staleness_s_worst`, with `uncertainty_s` of the worst and `at_s`, when that
    read began; `overlapped`, the reads that may lack a write which overlapped the newest they showed,
    and `staleness_s_at_most`, the worst of all if they did; `back`, those that certainly showed less
    than an earlier one. The 99th percentile of fewer than 100 reads is None.
    """
    return [_stream(recording, reads) for _, reads in sorted(recording.reads.items())]


def _stream(recording: Recording, reads: SeenReads) -> dict[str, Any]:
    return {
        "arm": reads.arm,
        "endpoint": reads.endpoint,
        "reads": len(reads.since),
        "showed_none": int(np.count_nonzero(reads.seen == NO_WRITE_ID)),
        "unbounded": int(np.count_nonzero(reads.upper_ns < 0)),
        "rows": list(_rows(recording, reads)),
        "furthest_back": _furthest_back(recording, reads),
    }


def _rows(recording: Recording, reads: SeenReads) -> Iterator[dict[str, Any]]:
    back = np.zeros(len(reads.since), dtype=bool)
    back[reads.back] = True
    by_period = periods(recording, reads.since)
    for instance in np.unique(reads.instance).tolist():
        of_instance = reads.instance == instance
        for period, inside in by_period.items():
            chosen = of_instance & inside
            if chosen.any():
                yield {
                    "instance": reads.log.names[instance],
                    "period": period,
                    **_row(recording, reads, chosen),
                    "back": int(np.count_nonzero(back & chosen)),
                }


def _row(recording: Recording, reads: SeenReads, chosen: Flags) -> dict[str, Any]:
    rows = bulk.where(len(chosen), lambda part: chosen[part])
    stale, upper = bulk.taken(reads.stale_ns, rows), bulk.taken(reads.upper_ns, rows)
    worst = int(np.argmax(stale))
    enough = len(rows) >= _P99_READS_MIN
    overlapped = bulk.where(len(rows), lambda part: upper[part] > stale[part])
    ordered = bulk.taken(reads.stale_ns, rows)
    ordered.sort()
    return {
        "reads": len(rows),
        "lacking": int(np.count_nonzero(reads.lacking & chosen)),
        "staleness_s_p99": float(ordered[nearest_rank(len(rows), 0.99) - 1]) / NS
        if enough
        else None,
        "staleness_s_worst": float(stale[worst]) / NS,
        "uncertainty_s": float(stale[worst] - reads.lower_ns[rows[worst]]) / NS,
        "at_s": recording.seconds(int(reads.since[rows[worst]])),
        "overlapped": len(overlapped),
        "staleness_s_at_most": float(max(upper.max(), stale[worst])) / NS,
    }


def _furthest_back(recording: Recording, reads: SeenReads) -> dict[str, Any] | None:
    """Return the read that had certainly lost sight of most writes; None where none went back."""
    if not len(reads.back):
        return None
    writes = reads.back_writes()
    furthest = int(np.argmax(writes))
    row, names = int(reads.back[furthest]), reads.log.names
    earlier = int(reads.before[row])
    least_ns, most_ns = (int(bound[furthest]) for bound in reads.back_ns())
    known = most_ns >= 0
    return {
        "writes": int(writes[furthest]),
        "s": most_ns / NS if known else None,
        "uncertainty_s": (most_ns - least_ns) / NS if known else None,
        "from_instance": names[reads.instance[earlier]],
        "to_instance": names[reads.instance[row]],
        "seen_s": recording.seconds(int(reads.ended[earlier])),
        "at_s": recording.seconds(int(reads.since[row])),
    }
