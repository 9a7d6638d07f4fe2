"""Two instances that accepted writes at once.

Certain are two things, and nothing else fails a run:

- By SQL: the probes saw two instances out of recovery over stretches that overlap. A stretch of one
  instance lasts from the end of the first sample that saw it as writer to the start of the last one, and
  ends where its server was restarted: a PostgreSQL that has left recovery only returns to it by a
  restart, so between two samples of one server it was a writer all the time.
- By the traffic: an instance acknowledged a write, and within one of its stretches as writer another
  instance took one from start to acknowledgement, before and after which the first one did the same.

An old writer that is being told of its end may answer for a moment longer, and what it takes then is
refused; so an overlap of roles alone counts from a second on. Shorter ones are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chaos.checks.base import Check
from chaos.checks.evidence import NEVER
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.history import OperationLog, writing
from chaos.model.operation import Outcome
from chaos.model.verdict import Finding, Verdict

CHECK = "single-writer"
_OVERLAP_S = 1.0
_WRITER = "writer"

Instants = NDArray[np.int64]
Taken = list[tuple[Instants, Instants]]
"""Starts and acknowledgements of writes, by arm."""


@dataclass(frozen=True, slots=True)
class Reign:
    """A stretch in which one server was certainly a writer, in monotonic nanoseconds."""

    instance: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """Two instances that were writers between two instants; `writes` where both took some."""

    old: str
    new: str
    from_ns: int
    to_ns: int
    writes: bool


class SingleWriter(Check):
    """At no time two instances accept writes. Judged in every run, asked for or not."""

    check: Literal["single-writer"] = "single-writer"

    def judge(self, recording: Recording) -> list[Finding]:
        """Return one finding."""
        return [judge_single_writer(recording)]


def judge_single_writer(recording: Recording) -> Finding:
    """Fail where two instances certainly accepted writes at once; unknown where nobody looked."""
    found = sorted(both(recording), key=lambda one: (one.writes, one.to_ns - one.from_ns))
    counted = [one for one in found if one.writes or one.to_ns - one.from_ns >= _OVERLAP_S * NS]
    if counted:
        worst = counted[-1]
        how = "acknowledged writes in turns" if worst.writes else "were both writers by SQL"
        why = f"{worst.old} and {worst.new} {how} for {(worst.to_ns - worst.from_ns) / NS:.3f} s"
        return _finding(Verdict.FAIL, why, recording, worst)
    # A member that was not asked is an assumption's to name (chaos.checks.completeness).
    if not any(recording.observed("role")):
        return _finding(Verdict.UNKNOWN, "no instance was asked for its role")
    if found:
        worst = found[-1]
        why = (
            f"{worst.old} still said that it is a writer when {worst.new} did, for "
            f"{(worst.to_ns - worst.from_ns) / NS:.3f} s; no write shows that it took any"
        )
        return _finding(Verdict.PASS, why, recording, worst)
    return _finding(
        Verdict.PASS, "no two instances were writers at once, by SQL or by what they took"
    )


def both(recording: Recording) -> Iterator[Both]:
    """Yield every pair of instances that were writers at once, and between which instants."""
    reigns = list(_reigns(recording))
    taken = _taken(recording)
    for one, other in combinations(reigns, 2):
        if one.instance == other.instance:
            continue
        old, new = sorted((one, other), key=lambda reign: reign.from_ns)
        from_ns, to_ns = max(old.from_ns, new.from_ns), min(old.to_ns, new.to_ns)
        if from_ns < to_ns:
            yield Both(
                old=old.instance, new=new.instance, from_ns=from_ns, to_ns=to_ns, writes=False
            )
    for reign in reigns:
        for other_name, others in taken.items():
            if other_name != reign.instance and reign.instance in taken:
                within = _between(reign, taken[reign.instance], others)
                if within is not None:
                    yield Both(
                        old=reign.instance,
                        new=other_name,
                        from_ns=within[0],
                        to_ns=within[1],
                        writes=True,
                    )


def _reigns(recording: Recording) -> Iterator[Reign]:
    """Yield each stretch of each instance as writer, cut where its server was restarted."""
    samples = recording.sampled_ns("probes")
    end_ns = samples[-1] if samples else recording.until_ns
    for instance in sorted({o.subject for o in recording.observed("role")}):
        restarts = [
            (o.since_ns, o.at_ns)
            for o in recording.observed("postmaster", instance)
            if o.since_ns is not None
        ]
        roles = list(recording.observed("role", instance))
        for number, role in enumerate(roles):
            if role.value != _WRITER:
                continue
            after = roles[number + 1] if number + 1 < len(roles) else None
            to_ns = end_ns if after is None or after.since_ns is None else after.since_ns
            from_ns = role.at_ns
            for since_ns, at_ns in restarts:
                if from_ns < at_ns and since_ns < to_ns:
                    yield Reign(instance, from_ns, since_ns)
                    from_ns = at_ns
            yield Reign(instance, from_ns, to_ns)


def _taken(recording: Recording) -> Mapping[str, Taken]:
    """Return the writes that each instance took; none where they were all one instance's."""
    found: dict[str, Taken] = {}
    for log in recording.history.arms.values():
        for instance, some in _taken_of(log):
            found.setdefault(instance, []).append(some)
    return found if len(found) > 1 else {}


def _taken_of(log: OperationLog) -> Iterator[tuple[str, tuple[Instants, Instants]]]:
    records, error_ns = log.operations, log.clock_error_ns

    def sure(part: slice) -> NDArray[np.bool_]:
        written = writing(records[part]) & (records["outcome"][part] == Outcome.OK)
        # One attempt alone: which instance an earlier, unanswered one reached is not known.
        return np.asarray(written & (records["attempts"][part] == 1))

    positions = bulk.where(len(records), sure)
    instances = bulk.taken(records["instance"], positions)
    for number in np.unique(instances).tolist():
        if log.names[number]:
            rows = bulk.kept(positions, instances == number)
            started, ended = (
                bulk.made(len(rows), np.int64, lambda part, c=column, r=rows: c[r[part]])  # type: ignore[misc]
                for column in (records["started_ns"], records["ended_ns"])
            )
            started -= error_ns
            ended += error_ns
            yield log.names[number], (started, ended)


def _between(reign: Reign, own: Taken, other: Taken) -> tuple[int, int] | None:
    """Return from when to when another instance took writes between two of a reigning one.

    That is from the start of the other's first write that began after one of this one's had been
    acknowledged, to the last of the other's that was acknowledged before one of this one's began; all
    of this one's within its reign.
    """
    firsts, lasts = [], []
    for started, ended in own:
        within = (started >= reign.from_ns) & (ended <= reign.to_ns)
        if within.any():
            firsts.append(int(ended.min(where=within, initial=NEVER)))
            lasts.append(int(started.max(where=within, initial=0)))
    if not firsts:
        return None
    first_ns, last_ns = min(firsts), max(lasts)
    begun, told = [], []
    for started, ended in other:
        between = (started > first_ns) & (ended < last_ns)
        if between.any():
            begun.append(int(started.min(where=between, initial=NEVER)))
            told.append(int(ended.max(where=between, initial=0)))
    return (min(begun), max(told)) if begun else None


def _finding(
    verdict: Verdict, why: str, recording: Recording | None = None, found: Both | None = None
) -> Finding:
    if recording is None or found is None:
        return Finding(check=CHECK, verdict=verdict, why=why)
    return Finding(
        check=CHECK,
        verdict=verdict,
        why=why,
        operation="write",
        measured=(found.to_ns - found.from_ns) / NS,
        limit=0.0,
        from_s=recording.seconds(found.from_ns),
        to_s=recording.seconds(found.to_ns),
    )
