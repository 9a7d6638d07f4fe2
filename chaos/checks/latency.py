"""How long operations took: from when they were due, and from when they began, side by side.

`corrected`  from the intended start, which is what a client waits: a queue behind a slow answer counts
`raw`        from the actual start, which is what the cluster and the client's pool took alone

Both are of operations that succeeded; what did not is counted beside them, since a quick refusal is
no quick answer. Percentiles are recorded values (nearest rank: the smallest that so many are not above),
told only where enough operations were there to have one beyond them: of 99 there is no 99th percentile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.checks.evidence import Trace
from chaos.checks.order_statistics import nearest_rank
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.operation import PROBE_ARM

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
"""The names, and the share that is not above each."""
_MS = 1e6
_OPENING_S = 2.0


def latency_table(recording: Recording) -> list[dict[str, Any]]:
    """Return the latencies of every arm's streams, for each part of the recording: `verdict.json`.

    Parts are before, during and after each fault: from the end of the one before it to its request, to
    its recovery, to the end of its period. Without a fault: all of it. The first seconds of a recording
    belong to none: connections are opened then.
    """
    rows = []
    for number, name, part, since_ns, until_ns in _parts(recording):
        for arm, endpoint, kind in sorted(recording.streams):
            trace = recording.trace(arm, endpoint, kind)
            if arm == PROBE_ARM or trace is None:
                continue
            low, high = np.searchsorted(trace.intended, (since_ns, until_ns))
            rows.append(
                {
                    "fault_number": number,
                    "fault": name,
                    "part": part,
                    "from": recording.seconds(since_ns),
                    "to": recording.seconds(until_ns),
                    "arm": arm,
                    "endpoint": endpoint,
                    "operation": kind.name.lower(),
                    **_taken(trace, slice(int(low), int(high))),
                }
            )
    return rows


def percentiles(latencies_ns: NDArray[np.int64]) -> dict[str, float | None]:
    """Return the percentiles and the maximum of some latencies, in milliseconds; None: too few."""
    n = len(latencies_ns)
    ordered = bulk.made(n, np.int64, lambda part: latencies_ns[part])
    ordered.sort()
    found: dict[str, float | None] = {}
    for name, share in PERCENTILES.items():
        rank = nearest_rank(n, share)
        found[name] = round(int(ordered[rank - 1]) / _MS, 3) if rank < n else None
    found["max"] = round(int(ordered[-1]) / _MS, 3) if n else None
    return found


def _taken(trace: Trace, part: slice) -> dict[str, Any]:
    served = trace.succeeded[part]
    due, started, ended = (
        bulk.kept(column[part], served) for column in (trace.intended, trace.started, trace.ended)
    )
    return {
        "operations": len(served),
        "n": int(served.sum()),
        "not_served": int((~served & ~trace.dropped[part]).sum()),
        "never_sent": int(trace.dropped[part].sum()),
        "corrected_ms": percentiles(np.subtract(ended, due, out=due)),
        "raw_ms": percentiles(np.subtract(ended, started, out=started)),
    }


def _parts(recording: Recording) -> Iterator[tuple[int, str, str, int, int]]:
    """Yield each part: the fault's number from 1 and its name, the part, its two instants."""
    before_ns = min(recording.since_ns + round(_OPENING_S * NS), recording.until_ns)
    injections = recording.injections
    if not injections:
        yield 0, "", "all", before_ns, recording.until_ns
    for number, injection in enumerate(injections, 1):
        group = injection.group
        begin_ns = max(
            [before_ns, *(n for i in injections if (n := i.group.ended_ns) <= group.from_ns)]
        )
        end_ns = injection.ended_ns
        if begin_ns < group.from_ns:
            yield number, injection.fault, "before", begin_ns, group.from_ns
        yield number, injection.fault, "during", injection.requested_ns, end_ns
        if end_ns < injection.until_ns:
            yield number, injection.fault, "after", end_ns, injection.until_ns
