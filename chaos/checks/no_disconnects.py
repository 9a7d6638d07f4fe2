"""Connections that broke while a Serverless v2 instance changed its capacity."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.checks.base import Check
from chaos.checks.capacity_felt import Disconnects, disconnects
from chaos.checks.recording import Recording
from chaos.model.verdict import Finding, Verdict

_OPERATIONS_MIN = 10
"""Fewer operations while a capacity changed say nothing of the connections."""


class NoDisconnects(Check):
    """No connection to an instance breaks while its capacity changes.

    Looked at are the stretches between the datapoints before and after each change. Unknown where no
    capacity changed, or where an arm was answered fewer than ten times by instances while theirs did.
    """

    check: Literal["no-disconnects"] = "no-disconnects"
    arm: str | None = Field(
        None, description="Arm whose connections are judged; absent: every arm."
    )
    disconnects_max: int = Field(0, ge=0, description="Most of an arm that may break.")

    def judge(self, recording: Recording) -> list[Finding]:
        """Return a finding for each arm."""
        by_arm: dict[str, list[Disconnects]] = {}
        for one in disconnects(recording):
            if self.arm in {None, one.arm}:
                by_arm.setdefault(one.arm, []).append(one)
        if not by_arm:
            why = "no datapoint shows a capacity that changed"
            return [self._finding(self.arm or "", Verdict.UNKNOWN, why)]
        return [self._judge(recording, arm, told) for arm, told in sorted(by_arm.items())]

    def _judge(self, recording: Recording, arm: str, told: list[Disconnects]) -> Finding:
        broken = sum(one.broken for one in told)
        asked = sum(one.operations for one in told)
        firsts = [one.first_ns for one in told if one.first_ns is not None]
        lasts = [one.last_ns for one in told if one.last_ns is not None]
        span = (recording.seconds(min(firsts)), recording.seconds(max(lasts))) if firsts else None
        if broken > self.disconnects_max:
            where = ", ".join(f"{one.broken} to {one.instance}" for one in told if one.broken)
            return self._finding(arm, Verdict.FAIL, f"connections broke: {where}", broken, span)
        if asked < _OPERATIONS_MIN:
            why = (
                f"only {asked} operations were answered by an instance while its capacity changed; "
                f"{_OPERATIONS_MIN} are needed"
            )
            return self._finding(arm, Verdict.UNKNOWN, why, broken)
        why = f"{broken} broke, {asked} operations were served while a capacity changed"
        return self._finding(arm, Verdict.PASS, why, broken, span)

    def _finding(
        self,
        arm: str,
        verdict: Verdict,
        why: str,
        measured: int | None = None,
        span: tuple[float, float] | None = None,
    ) -> Finding:
        return Finding(
            check=self.check,
            verdict=verdict,
            why=why,
            arm=arm,
            measured=measured,
            limit=self.disconnects_max,
            unit="connections",
            from_s=span[0] if span else None,
            to_s=span[1] if span else None,
        )
