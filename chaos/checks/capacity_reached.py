"""How soon instances had the capacity that was wanted of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.checks.base import Check
from chaos.checks.capacity_series import refusals
from chaos.checks.capacity_steps import CapacityStep, capacity_steps
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model.verdict import Finding, Verdict


class CapacityReached(Check):
    """Every instance has the wanted capacity soon enough after each change that asks for another one.

    Judged are `scale-capacity`, `scale-storm` and `force-scale-up`, and steps of the load that a
    capacity rose after. CloudWatch's datapoints say between which two instants it was reached.
    """

    check: Literal["capacity-reached"] = "capacity-reached"
    within_s: float = Field(gt=0, description="Longest that it may take.")
    instance: str | None = Field(None, description="Instance that is judged; absent: every one.")

    def judge(self, recording: Recording) -> list[Finding]:
        """Return a finding for each instance after each change."""
        steps = [s for s in capacity_steps(recording) if self.instance in {None, s.instance}]
        if not steps:
            why = (
                refusals(recording)
                or "nothing that changes a capacity, or no datapoint to tell it by, was recorded"
            )
            return [self._finding(None, Verdict.UNKNOWN, why, recording)]
        return [self._judge(recording, step) for step in steps]

    def _judge(self, recording: Recording, step: CapacityStep) -> Finding:
        about = f"{step.instance}, {step.wanted} after {step.cause}"
        if step.at_once:
            why = f"{about}: had {step.reached_acu:g} ACU already"
            return self._finding(step, Verdict.PASS, why, recording)
        measured_s = step.measured_s
        if measured_s is None:
            told_s = (min(step.told_ns, step.until_ns) - step.from_ns) / NS
            failed = told_s > self.within_s
            why = f"{about}: not reached in the {max(0.0, told_s):.1f} s that datapoints tell of"
            return self._finding(step, Verdict.FAIL if failed else Verdict.UNKNOWN, why, recording)
        why = f"{about}: from {_acu(step.before_acu)} to {_acu(step.reached_acu)}"
        if measured_s <= self.within_s:
            verdict = Verdict.PASS
        elif measured_s - step.uncertainty_s > self.within_s:
            verdict = Verdict.FAIL
        else:
            verdict = Verdict.UNKNOWN
            why += "; the datapoints are too far apart to tell"
        return self._finding(step, verdict, why, recording)

    def _finding(
        self, step: CapacityStep | None, verdict: Verdict, why: str, recording: Recording
    ) -> Finding:
        known = step is not None and step.measured_s is not None
        return Finding(
            check=self.check,
            verdict=verdict,
            why=why,
            endpoint=step.instance if step else self.instance or "",
            measured=step.measured_s if step else None,
            limit=self.within_s,
            uncertainty_s=step.uncertainty_s if step and known else None,
            from_s=recording.seconds(step.from_ns) if step else None,
            to_s=recording.seconds(max(step.reached_ns, step.from_ns))
            if step and step.reached_ns is not None
            else None,
        )


def _acu(value: float | None) -> str:
    return "an unknown capacity" if value is None else f"{value:g} ACU"
