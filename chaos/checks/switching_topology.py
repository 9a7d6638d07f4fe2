"""When the RDS API and the instances themselves disagreed about who the writer is; told in every run.

The API lags behind an election by seconds, so a disagreement while a fault is under way is shown and
not judged. One that nothing explains, or that lasts to the end, makes every statement about *the*
writer doubtful, and drivers that ask one of the two go astray: it is `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge

from chaos.checks.recording import Recording
from chaos.checks.switching_roles import Change
from chaos.clock import NS
from chaos.model.record import Observation
from chaos.model.verdict import Finding, Verdict

NAME = "topology"
_WRITER, _READER = "writer", "reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A stretch in which the API named a writer and SQL another; None: it had not ended."""

    api: str
    sql: tuple[str, ...]
    """Who said that it was the writer; none where the API's only said that it was a reader."""
    began: Change
    ended: Change | None

    @property
    def clause(self) -> str:
        """Say it."""
        by_sql = f"{' and '.join(self.sql)} by SQL" if self.sql else "which is a reader by SQL"
        return f"the writer was {self.api} by the API, {by_sql}"


@dataclass(slots=True)
class _Walk:
    api: str = ""
    role: dict[str, str] = field(default_factory=dict)

    def see(self, seen: Observation) -> None:
        if seen.kind == "writer":
            self.api = seen.value
        else:
            self.role[seen.subject] = seen.value

    @property
    def disagree(self) -> tuple[str, tuple[str, ...]] | None:
        """Return who is the writer by the API and by SQL, where they disagree."""
        by_sql = tuple(sorted(i for i, role in self.role.items() if role == _WRITER))
        if not self.api or self.api in by_sql:
            return None
        known = bool(by_sql) or self.role.get(self.api) == _READER
        return (self.api, by_sql) if known else None


def disagreements(recording: Recording) -> Iterator[Disagreement]:
    """Yield every stretch in which they disagreed in the same way, in order."""
    walk, now = _Walk(), None
    began = Change(recording.since_ns, recording.since_ns)
    told = merge(recording.observed("writer"), recording.observed("role"), key=lambda o: o.at_ns)
    for seen in told:
        # Instances are asked until traffic stops, the API longer: what it says then may only agree.
        if seen.at_ns > recording.until_ns and now is None:
            return
        walk.see(seen)
        before, now = now, walk.disagree
        if now == before:
            continue
        since_ns = min(recording.since_ns, seen.at_ns) if seen.since_ns is None else seen.since_ns
        change = Change(since_ns, seen.at_ns)
        if before is not None:
            yield Disagreement(api=before[0], sql=before[1], began=began, ended=change)
        began = change
    if now is not None:
        yield Disagreement(api=now[0], sql=now[1], began=began, ended=None)


def judge_topology(recording: Recording) -> list[Finding]:
    """Return a finding for each disagreement; none where there was none."""
    return [_finding(recording, one) for one in disagreements(recording)]


def _finding(recording: Recording, one: Disagreement) -> Finding:
    ended = one.ended or Change(recording.until_ns, recording.until_ns)
    verdict, why = None, one.clause
    if one.ended is None:
        verdict, why = Verdict.UNKNOWN, f"{one.clause}, to the end of the recording"
    elif not _explained(recording, one):
        verdict, why = Verdict.UNKNOWN, f"{one.clause}, and no fault was under way"
    certain_ns = max(0, ended.since_ns - one.began.at_ns)
    measured_ns = max(0, ended.at_ns - one.began.since_ns)
    return Finding(
        check=NAME,
        verdict=verdict,
        why=why,
        measured=measured_ns / NS,
        uncertainty_s=(measured_ns - certain_ns) / NS,
        from_s=recording.seconds(one.began.since_ns),
        to_s=None if one.ended is None else recording.seconds(ended.at_ns),
    )


def _explained(recording: Recording, one: Disagreement) -> bool:
    """Tell whether it began while a fault was under way."""
    return any(i.requested_ns <= one.began.at_ns <= i.ended_ns for i in recording.injections)
