"""What a run declared that it would record, against what it recorded.

An arm, a probe or an observer that never spoke leaves nothing behind that shows the lack; only the
declaration does: every arm of the workload, every member of the cluster before the run. Each
function yields what is missing, as clauses for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from chaos.checks.arrivals import SERVICE, Design, designed
from chaos.checks.evidence import Trace
from chaos.checks.recording import API, PROBES, Recording
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.operation import PROBE_ARM, Kind

# Records are flushed every quarter of a second, observers speak once a second.
_SHORT_S = 3.0
# The API may answer slowly while a cluster fails over, but nobody looks away for longer than this.
_PAUSE_S = 15.0
# Arrivals at a slow rate are missed once more than this many were due.
_DUE = 5


def missing_operations(recording: Recording) -> Iterator[str]:
    """Yield where the operations of declared arms are missing, at the ends or in between."""
    if not recording.declared_arms:
        yield "no arm was declared"
    for arm in recording.declared_arms:
        for design in designed(recording, arm):
            trace = recording.trace(arm, design.endpoint, design.kind)
            yield from _gap(recording, _nothing(arm, design.endpoint, design.kind), trace, design)


def missing_of_workers(recording: Recording, count: int) -> Mapping[int, Sequence[str]]:
    """Return, by number, where the share of one of `count` workers is missing in what all recorded.

    The others hide it: each sends an even part of every stream, and tells of its own generators.
    """
    missing: dict[int, list[str]] = {number: [] for number in range(1, count + 1)}
    for arm in recording.declared_arms:
        for design in designed(recording, arm):
            trace = recording.trace(arm, design.endpoint, design.kind)
            if trace is None or not len(trace.records):
                continue  # Of nobody: that is missing in the recording as a whole.
            what = _nothing(arm, design.endpoint, design.kind)
            share = replace(design, rate_per_s=design.rate_per_s / count)
            for number, part in _by_worker(trace, missing):
                missing[number] += _gap(recording, what, part, share)
        spoke: dict[int, list[int]] = {number: [] for number in missing}
        for lag in recording.observed("lag", arm):
            spoke.get(lag.detail.get("worker", 0), []).append(lag.at_ns)
        for number in missing:
            missing[number] += _silence(recording, f"its generator of {arm}", spoke[number])
    return missing


def _by_worker(trace: Trace, numbers: Iterable[int]) -> Iterator[tuple[int, Trace]]:
    """Yield the part of a stream that each of some workers carried out."""
    shares, positions, records = trace.log.shares, trace.positions, trace.records
    firsts = np.concatenate([[-1], shares["first"]])
    workers = np.concatenate([[0], shares["worker"]])

    def whose(part: slice) -> NDArray[np.int64]:
        return np.asarray(workers[np.searchsorted(firsts, positions[part], side="right") - 1])

    owners = bulk.made(len(positions), np.int32, whose)

    def carried_out(by: int) -> NDArray[np.int64]:
        return bulk.where(len(owners), lambda part: owners[part] == by)

    for number in numbers:
        rows = carried_out(number)
        yield (
            number,
            replace(
                trace, positions=bulk.taken(positions, rows), records=bulk.taken(records, rows)
            ),
        )


def missing_probes(recording: Recording) -> Iterator[str]:
    """Yield which endpoint, member or role was not probed, or not all the time."""
    for endpoint, kind, _ in SERVICE:
        yield from _not_probed(recording, endpoint, kind)
    if not recording.members:
        yield "the members of the cluster were not noted down"
    before_ns = min((i.requested_ns for i in recording.injections), default=recording.until_ns)
    roles = recording.state("role", before_ns)
    for member in recording.members:
        yield from _not_probed(recording, member, Kind.READ)
        if member not in roles:
            yield f"nobody saw which role {member} had before the first fault"


def silent_observers(recording: Recording) -> Iterator[str]:
    """Yield which observer or generator did not speak from the start to the end."""
    for observer in (API, PROBES):
        yield from _silence(recording, f"observer {observer}", recording.sampled_ns(observer))
    for arm in recording.declared_arms:
        spoke = [o.at_ns for o in recording.observed("lag", arm)]
        yield from _silence(recording, f"the generator of {arm}", spoke)


def _not_probed(recording: Recording, endpoint: str, kind: Kind) -> Iterator[str]:
    trace = recording.trace(PROBE_ARM, endpoint, kind)
    yield from _gap(recording, _nothing(PROBE_ARM, endpoint, kind), trace)


def _nothing(arm: str, endpoint: str, kind: Kind) -> str:
    return f"no {kind.name.lower()}s of {arm} on {endpoint} were recorded"


def _gap(
    recording: Recording, what: str, trace: Trace | None, design: Design | None = None
) -> Iterator[str]:
    """Yield the longest stretch in which no operation of a stream was due or running, if too long.

    Time for which the load stood still does not count, nor does that in which by design hardly any
    was due.
    """
    if trace is None or not len(trace.records):
        yield what
        return
    seen_until, due = (bulk.room(len(trace.records) + 1, np.int64) for _ in range(2))
    seen_until[0], seen_until[1:] = recording.since_ns, trace.ended
    np.maximum.accumulate(seen_until, out=seen_until)
    due[:-1], due[-1] = trace.intended, recording.until_ns

    def unseen(part: slice) -> NDArray[np.int64]:
        low, high = seen_until[part], due[part]
        gaps = high - low
        for quiet in recording.quiet:
            gaps -= np.maximum(np.minimum(high, quiet.to_ns) - np.maximum(low, quiet.from_ns), 0)
        return np.asarray(gaps)

    gaps = bulk.made(len(due), np.int64, unseen)
    holes = [
        hole
        for hole in bulk.where(len(gaps), lambda part: gaps[part] > _SHORT_S * NS)
        if _due(recording, design, int(seen_until[hole]), int(due[hole])) > _DUE
    ]
    if holes:
        widest = max(holes, key=lambda hole: gaps[hole])
        from_s = recording.seconds(int(seen_until[widest]))
        yield f"{what} for {gaps[widest] / NS:.1f} s, from {from_s:.1f} s after the run began"


def _due(recording: Recording, design: Design | None, from_ns: int, to_ns: int) -> float:
    """Return how many arrivals were due in a stretch by design; where nobody told: endless ones."""
    if design is None or not design.rate_per_s:
        return np.inf
    due = design.due(from_ns, to_ns)
    for quiet in recording.quiet:
        low_ns, high_ns = max(from_ns, quiet.from_ns), min(to_ns, quiet.to_ns)
        due -= design.due(low_ns, high_ns) if low_ns < high_ns else 0.0
    return due


def _silence(recording: Recording, who: str, spoke: Sequence[int]) -> Iterator[str]:
    if not spoke:
        yield f"{who} never spoke"
        return
    for what, stretch_ns, allowed_s in (
        ("after the start", spoke[0] - recording.since_ns, _SHORT_S),
        ("in between", _longest(spoke), _PAUSE_S),
        ("before the end", recording.until_ns - spoke[-1], _SHORT_S),
    ):
        if stretch_ns > allowed_s * NS:
            yield f"{who} was silent for {stretch_ns / NS:.1f} s {what}"


def _longest(instants: Iterable[int]) -> int:
    return max((after - before for before, after in pairwise(instants)), default=0)
