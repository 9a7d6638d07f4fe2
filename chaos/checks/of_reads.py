"""What the objectives about reads have in common: which reads are judged, and whether they suffice."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic import Field

from chaos.checks.base import Check
from chaos.checks.reads import Instants, SeenReads
from chaos.checks.recording import Recording
from chaos.model.verdict import Finding, Verdict

_OPERATIONS_MIN = 10
"""Fewer reads, or acknowledged writes, before an injection or after its effect show nothing."""
BEFORE, DURING, AFTER = ("before", "during", "after")


class ReadCheck(Check):
    """An objective about what reads showed of the writes of their own arm."""

    unit: ClassVar[str] = "reads"

    arm: str | None = Field(None, description="Arm whose reads are judged; absent: every arm.")
    endpoint: str | None = Field(
        None, description="Endpoint that they went through; absent: each that there is."
    )

    @property
    @abstractmethod
    def limit(self) -> float:
        """The bound that is held against what is measured."""

    @abstractmethod
    def judge_reads(self, recording: Recording, reads: SeenReads) -> Finding:
        """Judge the reads of one arm through one endpoint, were they enough."""

    def judge(self, recording: Recording) -> list[Finding]:
        """Return one finding for each arm and endpoint; a pass becomes unknown without evidence."""
        found = [self._judge_one(recording, reads) for reads in self._chosen(recording)]
        judged = {finding.arm for finding in found}
        silent = [self.arm] if self.arm is not None else recording.arms
        why = "no read was recorded that showed a write of the arm"
        found += [
            self.finding(Verdict.UNKNOWN, why, arm=arm, endpoint=self.endpoint or "")
            for arm in silent
            if arm not in judged
        ]
        return found or [self.finding(Verdict.UNKNOWN, why)]

    def finding(
        self,
        verdict: Verdict | None,
        why: str,
        *,
        arm: str = "",
        endpoint: str = "",
        measured: float | None = None,
        uncertainty_s: float | None = None,
        from_s: float | None = None,
        to_s: float | None = None,
    ) -> Finding:
        """Return a finding about some reads."""
        return Finding(
            check=self.check,
            verdict=verdict,
            why=why,
            arm=arm,
            endpoint=endpoint,
            operation="read",
            measured=measured,
            limit=self.limit,
            unit=self.unit,
            uncertainty_s=uncertainty_s,
            from_s=from_s,
            to_s=to_s,
        )

    def _chosen(self, recording: Recording) -> Iterator[SeenReads]:
        for (arm, endpoint), reads in sorted(recording.reads.items()):
            if self.arm in {None, arm} and self.endpoint in {None, endpoint}:
                yield reads

    def _judge_one(self, recording: Recording, reads: SeenReads) -> Finding:
        finding = self.judge_reads(recording, reads)
        if finding.verdict is not Verdict.PASS:
            return finding
        doubt = too_few(recording, reads)
        if not doubt:
            return finding
        return self.finding(
            Verdict.UNKNOWN,
            f"{doubt}; {finding.why}",
            arm=reads.arm,
            endpoint=reads.endpoint,
            measured=finding.measured,
            uncertainty_s=finding.uncertainty_s,
            from_s=finding.from_s,
            to_s=finding.to_s,
        )


def too_few(recording: Recording, reads: SeenReads) -> str:
    """Return why reads cannot show that all is well; empty where they can."""
    for number, injection in enumerate(recording.injections, 1):
        for name, instants in (
            ("reads", reads.since),
            ("acknowledged writes", reads.writes.told_ended),
        ):
            before = int(np.count_nonzero(instants < injection.requested_ns))
            inside = (instants >= injection.disturbed_ns) & (instants < recording.until_ns)
            after = int(np.count_nonzero(inside))
            if min(before, after) < _OPERATIONS_MIN:
                return (
                    f"only {before} {name} before and {after} after the effect of injection "
                    f"{number}; {_OPERATIONS_MIN} on each side are needed"
                )
    return "" if recording.injections else "no fault was injected"


def periods(recording: Recording, instants: Instants) -> dict[str, np.typing.NDArray[np.bool_]]:
    """Tell which instants lie before the first injection, while one was in force, and after one."""
    during = np.zeros(len(instants), dtype=bool)
    groups = {injection.group for injection in recording.injections}
    for group in groups:
        until_ns = group.ended_ns
        during |= (instants >= group.from_ns) & (instants <= until_ns)
    first_ns = min((group.from_ns for group in groups), default=np.iinfo(np.int64).max)
    before = instants < first_ns
    return {BEFORE: before, DURING: during, AFTER: ~before & ~during}
