"""Brown-outs: stretches in which operations succeed, but slowly; `brownouts` of `verdict.json`.

An operation is *slow* when it succeeded later than `BROWN_S` after its intended start and soon enough
to be no part of an interruption. Slow operations that no `STABLE_S` of prompt ones separates are one
brown-out, three of them at least; fewer are counted as scattered.

Its length is that of the time in which an operation, had it been due, would have been slow:

`from`      the intended start of the last prompt operation that was due before the first slow one:
            a service that had been slow since then would have been slow to that one.
`to`        the return of the first prompt operation that was due after the last slow one.
`lower_s`   from the intended start of the first slow one to that of the last.

What is in an interruption window is told there and nowhere else: a slow operation that was under way
during one belongs to it, and where a brown-out meets one, the window's instant is its own. Where
instants were read on another machine, the error of its clock moves every bound outwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.checks.evidence import Trace
from chaos.checks.generator import generator_was_slow
from chaos.checks.recording import STABLE_S, Recording
from chaos.clock import NS
from chaos.model import bulk

BROWN_S = 0.25
"""A quarter of a second: ten times what an operation takes, and a person begins to notice it."""
_SLOW_MIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Brownout:
    """One stretch of slow service, in monotonic nanoseconds; see the module for the bounds."""

    from_ns: int
    to_ns: int
    lower_ns: int
    slow: int
    operations: int
    """All that were due between the first slow one and the last."""
    latency_s_max: float

    @property
    def measured_s(self) -> float:
        """The upper bound."""
        return (self.to_ns - self.from_ns) / NS

    @property
    def uncertainty_s(self) -> float:
        """The width of the interval in which the truth lies."""
        return self.measured_s - self.lower_ns / NS


def find_brownouts(
    trace: Trace, blacked_out: list[tuple[int, int]], *, until_ns: int
) -> tuple[list[Brownout], int]:
    """Return the brown-outs of a stream in order, and how many slow operations are scattered.

    `blacked_out` are its interruption windows and whatever else is to be left out, from and to, in
    order; `until_ns` is the end of the recording.
    """
    late_ns = round(BROWN_S * NS)
    late = bulk.made(
        len(trace.records), bool, lambda part: trace.ended[part] - trace.intended[part] > late_ns
    )
    slow = trace.succeeded & ~trace.bad & late
    prompt = trace.succeeded & ~trace.bad & ~slow
    found: list[Brownout] = []
    scattered = 0
    for since_ns, end_ns in _between(blacked_out, int(trace.intended[0]), until_ns):
        inside = (trace.intended >= since_ns) & (trace.ended <= end_ns)
        rows = np.flatnonzero(slow & inside)
        for cluster in _clusters(trace.intended[rows]):
            if len(cluster) < _SLOW_MIN:
                scattered += len(cluster)
            else:
                calm = np.flatnonzero(prompt & inside)
                found.append(_brownout(trace, rows[cluster], calm, since_ns, end_ns))
    return found, scattered


def _between(
    taken: list[tuple[int, int]], since_ns: int, until_ns: int
) -> Iterator[tuple[int, int]]:
    """Yield the stretches of an interval that are not taken."""
    for from_ns, to_ns in taken:
        if from_ns > since_ns:
            yield since_ns, from_ns
        since_ns = max(since_ns, to_ns)
    if until_ns > since_ns:
        yield since_ns, until_ns


def _clusters(due: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """Yield the positions of instants less than a stable stretch apart."""
    if len(due):
        cuts = np.flatnonzero(np.diff(due) >= round(STABLE_S * NS)) + 1
        yield from np.split(np.arange(len(due)), cuts)


def _brownout(
    trace: Trace, rows: NDArray[np.intp], calm: NDArray[np.intp], since_ns: int, end_ns: int
) -> Brownout:
    first_due, last_due = int(trace.intended[rows[0]]), int(trace.intended[rows[-1]])
    before = calm[trace.intended[calm] < first_due]
    after = calm[trace.intended[calm] > last_due]
    error_ns = trace.log.clock_error_ns
    from_ns = max(since_ns, int(trace.intended[before].max(initial=since_ns)) - error_ns)
    to_ns = min(end_ns, int(trace.ended[after].min(initial=end_ns)) + error_ns)
    shown_ns = last_due - first_due - 2 * error_ns
    taken = trace.ended[rows] - trace.intended[rows]
    return Brownout(
        from_ns=from_ns,
        to_ns=to_ns,
        lower_ns=min(max(0, shown_ns), to_ns - from_ns),
        slow=len(rows),
        operations=int(rows[-1] - rows[0]) + 1,
        latency_s_max=float(taken.max()) / NS,
    )


def brownout_table(recording: Recording) -> dict[str, Any]:
    """Return the brown-outs of every stream in order, and how many slow operations are in none."""
    told: list[dict[str, Any]] = []
    scattered: list[dict[str, Any]] = []
    for arm, endpoint, kind in sorted(recording.streams):
        trace = recording.trace(arm, endpoint, kind)
        if trace is None or not len(trace.records):
            continue
        until_ns = recording.until_ns
        taken = [
            (w.from_ns, until_ns if w.to_ns is None else w.to_ns)
            for w in recording.windows(arm, endpoint, kind)
        ]
        taken += [(stretch.from_ns, stretch.to_ns) for stretch in recording.quiet]
        found, lonely = find_brownouts(trace, sorted(taken), until_ns=until_ns)
        about = {"arm": arm, "endpoint": endpoint, "operation": kind.name.lower()}
        told += [{**about, **_told(recording, arm, one)} for one in found]
        if lonely:
            scattered.append({**about, "operations": lonely})
    return {"latency_s_above": BROWN_S, "list": told, "scattered": scattered}


def _told(recording: Recording, arm: str, one: Brownout) -> dict[str, Any]:
    return {
        "from": recording.seconds(one.from_ns),
        "to": recording.seconds(one.to_ns),
        "measured": one.measured_s,
        "uncertainty_s": one.uncertainty_s,
        "slow": one.slow,
        "operations": one.operations,
        "latency_s_max": one.latency_s_max,
        "generator": generator_was_slow(recording, arm, one.from_ns, one.to_ns),
        "faults": [
            injection.fault_id
            for injection in recording.injections
            if injection.requested_ns <= one.to_ns and one.from_ns < injection.until_ns
        ],
    }
