"""Who served the reads of the reader endpoint before a fault and after it, and how unevenly.

A name that balances is asked when a client connects, and a pool keeps what it connected to: after a
fault the reads of a pool stay where its connections were pushed, however many readers are back. Of
each arm: the share of its reads, and of its live connections, that each reader had before the first
fault and once the cluster had been back for `SETTLE_S`; every instance counts that was a reader by
SQL at the end of the stretch, also one that served nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from chaos.checks.base import Check
from chaos.checks.connections import connections_of
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.history import Records
from chaos.model.operation import Kind, Outcome
from chaos.model.verdict import Finding, Verdict

NAME = "reader-skew"
READER = "reader"
SETTLE_S = 1.0
READS_MIN = 50
"""Fewer reads in a stretch say nothing about shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What each reader had of an arm's reads in a stretch, and of its connections at its end."""

    from_ns: int
    to_ns: int
    readers: tuple[str, ...]
    """The readers by SQL at the end; whoever else served is the writer, or was one of them."""
    reads: Mapping[str, int]
    """By instance: every reader, then others that answered."""
    connections: Mapping[str, int]
    """Open at the end; empty where no log tells."""

    @property
    def total(self) -> int:
        """All reads of the stretch."""
        return sum(self.reads.values())

    @property
    def share_max(self) -> float:
        """The largest share of the reads that one instance had."""
        return max(self.reads.values(), default=0) / max(self.total, 1)

    @property
    def skew(self) -> float:
        """The most reads of one instance, in multiples of the mean; 1 is even."""
        return self.share_max * len(self.reads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A reader that was back, and when an arm's reads reached it again; None: never recorded."""

    arm: str
    instance: str
    back_since_ns: int
    back_ns: int
    served_ns: int | None
    error_ns: int
    """Of the clocks that read `served_ns`, which lies so much later than they did."""

    @property
    def measured_s(self) -> float | None:
        """From its first sign of life as a reader to the return of the first read: not too short."""
        return None if self.served_ns is None else (self.served_ns - self.back_since_ns) / NS

    @property
    def uncertainty_s(self) -> float:
        """Between the two samples that saw it come back, and of the clocks."""
        return (self.back_ns - self.back_since_ns + 2 * self.error_ns) / NS


def before_and_after(recording: Recording, arm: str) -> tuple[Shares, Shares | None] | None:
    """Return an arm's shares before the first fault, and after the last; None without either.

    The second is None where the recording ends before the cluster was back and settled.
    """
    if not recording.injections or (arm, READER, Kind.READ) not in recording.streams:
        return None
    first, last = recording.injections[0], recording.injections[-1]
    before = _shares(recording, arm, recording.since_ns, first.requested_ns)
    over = [i.group.over_ns for i in recording.injections]
    if last.group.over_ns is None:
        return before, None
    settled_ns = max(at_ns for at_ns in over if at_ns is not None) + round(SETTLE_S * NS)
    if settled_ns >= recording.until_ns:
        return before, None
    return before, _shares(recording, arm, settled_ns, recording.until_ns)


def returned(recording: Recording, arm: str) -> Iterator[Returned]:
    """Yield each instance that came back, or became, a reader, and when the arm read from it.

    Not those that went again, or took over, before anybody did.
    """
    log = recording.history.arms.get(arm)
    stream = recording.streams.get((arm, READER, Kind.READ))
    if log is None or stream is None:
        return
    for seen in recording.observed("role"):
        if seen.value != READER or seen.since_ns is None or seen.at_ns >= recording.until_ns:
            continue
        since_ns = seen.since_ns
        at_ns = None
        if seen.subject in log.names:
            # An answer that certainly came later, and when it had certainly come.
            error_ns = log.clock_error_ns
            instance = log.names.index(seen.subject)
            answered_ns = _first_answer(stream.records, instance, since_ns + error_ns)
            at_ns = None if answered_ns is None else answered_ns + error_ns
        gone_ns = _gone(recording, seen.subject, seen.at_ns)
        if gone_ns < recording.until_ns and (at_ns is None or at_ns > gone_ns):
            continue  # it went again, and nobody had read from it meanwhile
        yield Returned(
            arm=arm,
            instance=seen.subject,
            back_since_ns=since_ns,
            back_ns=seen.at_ns,
            served_ns=at_ns if at_ns is not None and at_ns <= gone_ns else None,
            error_ns=log.clock_error_ns,
        )


def _first_answer(records: Records, instance: int, since_ns: int) -> int | None:
    """Return when an instance first answered a read since; None: it did not."""
    firsts = []
    for part in bulk.pieces(len(records)):
        piece = records[part]
        mine = (piece["outcome"] == Outcome.OK) & (piece["instance"] == instance)
        later = piece["ended_ns"][mine & (piece["ended_ns"] >= since_ns)]
        firsts += [int(later.min())] if len(later) else []
    return min(firsts, default=None)


def _gone(recording: Recording, instance: str, after_ns: int) -> int:
    """Return when an instance was no reader any more, else the end of the recording."""
    later = (o.at_ns for o in recording.observed("role", instance) if o.at_ns > after_ns)
    return min(later, default=recording.until_ns)


def _shares(recording: Recording, arm: str, from_ns: int, to_ns: int) -> Shares:
    log = recording.history.arms[arm]
    roles = recording.state("role", to_ns)
    readers = sorted(i for i, role in roles.items() if role == READER)
    records = recording.streams[arm, READER, Kind.READ].records
    inside = (records["ended_ns"] >= from_ns) & (records["ended_ns"] < to_ns)
    inside &= records["outcome"] == Outcome.OK
    numbers, counts = np.unique(records["instance"][inside], return_counts=True)
    reads = dict.fromkeys(readers, 0)
    reads |= {log.names[n]: int(c) for n, c in zip(numbers, counts, strict=True)}
    found, sitting = connections_of(recording, arm), {}
    if found is not None:
        live = found.through(READER) & found.live_at(to_ns - 1)
        sitting = {i: int((live & found.on(i)).sum()) for i in reads}
    return Shares(
        from_ns=from_ns,
        to_ns=to_ns,
        readers=tuple(readers),
        reads=reads,
        connections=sitting,
    )


class ReaderSkew(Check):
    """After the last fault no reader has more than its share of an arm's reads.

    Once the cluster has been back for a second, to the end of the recording, on the reader endpoint.
    Unknown with fewer than two readers, or fewer than 50 reads before or after.
    """

    check: Literal["reader-skew"] = "reader-skew"
    arm: str | None = Field(None, description="Arm whose reads are judged; absent: every arm.")
    share_max: float | None = Field(
        None, gt=0, le=1, description="Largest share of the reads that one instance may have."
    )
    skew_max: float | None = Field(
        None,
        ge=1,
        description="Most reads of one instance, in multiples of the mean of all readers.",
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.share_max is None and self.skew_max is None:
            raise ValueError("reader-skew needs a bound; give share_max or skew_max, or both")
        return self

    def judge(self, recording: Recording) -> list[Finding]:
        """Return a finding for each arm and each bound."""
        arms = (self.arm,) if self.arm is not None else recording.arms
        return [f for arm in arms or ("",) for f in self._judge_arm(recording, arm)]

    def _judge_arm(self, recording: Recording, arm: str) -> Iterator[Finding]:
        bounds = [
            (limit, unit)
            for limit, unit in ((self.share_max, "ratio"), (self.skew_max, "times the mean"))
            if limit is not None
        ]
        shares = before_and_after(recording, arm)
        doubt = _doubt(shares)
        if shares is None or shares[1] is None or doubt:
            for limit, unit in bounds:
                yield self._finding(arm, Verdict.UNKNOWN, doubt, limit, unit)
            return
        after = shares[1]
        for limit, unit in bounds:
            measured = after.share_max if unit == "ratio" else after.skew
            verdict = Verdict.PASS if measured <= limit else Verdict.FAIL
            why = f"{_listed(after)}; before the fault {_listed(shares[0])}"
            yield replace(
                self._finding(arm, verdict, why, limit, unit),
                measured=measured,
                from_s=recording.seconds(after.from_ns),
                to_s=recording.seconds(after.to_ns),
            )

    def _finding(self, arm: str, verdict: Verdict, why: str, limit: float, unit: str) -> Finding:
        return Finding(
            check=NAME, verdict=verdict, why=why, arm=arm, endpoint=READER, operation="read",
            limit=limit, unit=unit,
        )  # fmt: skip


def _doubt(shares: tuple[Shares, Shares | None] | None) -> str:
    """Return why shares show nothing; empty where they do."""
    if shares is None:
        return "no fault was injected, or no read went through the reader endpoint"
    before, after = shares
    if after is None:
        return "the cluster was not back and settled before the recording ended"
    if min(before.total, after.total) < READS_MIN:
        return f"only {before.total} reads before and {after.total} after; {READS_MIN} are needed"
    if len(after.reads) < 2:  # noqa: PLR2004 - one reader has everything
        return "there was one reader, which had every read"
    return ""


def _listed(shares: Shares) -> str:
    total = max(shares.total, 1)
    told = (f"{i} {n / total:.0%}" for i, n in shares.reads.items())
    return f"of {shares.total} reads {', '.join(told)}"


def skew(recording: Recording) -> list[dict[str, Any]]:
    """Return each arm's shares before and after, and how soon it read from who came back."""
    told = []
    for arm in recording.arms:
        shares = before_and_after(recording, arm)
        if shares is None:
            continue
        told.append(
            {
                "arm": arm,
                "doubt": _doubt(shares),
                "before": _as_json(recording, shares[0]),
                "after": _as_json(recording, shares[1]),
                "returned": [
                    {
                        "instance": one.instance,
                        "back": recording.seconds(one.back_ns),
                        "served": None
                        if one.served_ns is None
                        else recording.seconds(one.served_ns),
                        "measured": one.measured_s,
                        "uncertainty_s": one.uncertainty_s,
                    }
                    for one in returned(recording, arm)
                ],
            }
        )
    return told


def _as_json(recording: Recording, shares: Shares | None) -> dict[str, Any] | None:
    if shares is None:
        return None
    return {
        "from": recording.seconds(shares.from_ns),
        "to": recording.seconds(shares.to_ns),
        "readers": list(shares.readers),
        "reads": dict(shares.reads),
        "connections": dict(shares.connections),
        "share_max": shares.share_max,
        "skew": shares.skew,
    }
