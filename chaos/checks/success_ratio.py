"""The share of operations that succeeded, against an objective."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.checks.base import StreamCheck
from chaos.checks.generator import homemade
from chaos.checks.injections import Injection
from chaos.checks.recording import Recording, kind_of
from chaos.model.verdict import Finding, Verdict

_OPERATIONS_MIN = 20
_WHEN = {
    "disturbed": "while the cluster was disturbed",
    "recovered": "after the cluster had recovered",
    "all": "in the whole recording",
}


class SuccessRatio(StreamCheck):
    """The share of one arm's operations that succeeded, retries included, over a part of the run.

    `disturbed` is from each injection until the cluster has recovered, `recovered` from when all that
    were under way at once have recovered to the next injection or the end, `all` the whole
    recording. Unknown below 20 operations, and where the traffic generator itself may have made what
    did not succeed.
    """

    unit: ClassVar[str] = "ratio"

    check: Literal["success-ratio"] = "success-ratio"
    over: Literal["disturbed", "recovered", "all"] = Field(
        "all", description="Part of the recording that is looked at."
    )
    success_ratio_min: float = Field(ge=0, le=1, description="Smallest share that passes.")

    @property
    def limit(self) -> float:
        """The objective's bound."""
        return self.success_ratio_min

    def judge(self, recording: Recording) -> list[Finding]:
        """Return one finding for each part."""
        if self.over == "all":
            return [self._judge_part(recording, recording.since_ns, recording.until_ns)]
        parts = list(dict.fromkeys(self._part(one) for one in recording.injections))
        if not parts:
            return [self.finding(Verdict.UNKNOWN, "no fault was injected")]
        return [self._judge_part(recording, *part) for part in parts]

    def _part(self, injection: Injection) -> tuple[int, int]:
        if self.over == "disturbed":
            return injection.requested_ns, injection.ended_ns
        group = injection.group
        return group.ended_ns, group.until_ns

    def _judge_part(self, recording: Recording, since_ns: int, until_ns: int) -> Finding:
        trace = recording.trace(self.arm, self.endpoint, kind_of(self.operation))
        if trace is None:
            return self.finding(Verdict.UNKNOWN, "no operation of this kind was recorded")
        inside = (trace.intended >= since_ns) & (trace.intended < until_ns)
        total = int(inside.sum()) + trace.not_asked(since_ns, until_ns)
        succeeded = int((inside & trace.succeeded).sum())
        if total < _OPERATIONS_MIN:
            why = f"only {total} operations {_WHEN[self.over]}; {_OPERATIONS_MIN} are needed"
            return self.finding(Verdict.UNKNOWN, why)
        ratio = succeeded / total
        verdict = Verdict.PASS if ratio >= self.success_ratio_min else Verdict.FAIL
        why = f"{succeeded} of {total} operations succeeded {_WHEN[self.over]}"
        if verdict is Verdict.FAIL:
            stream = (self.arm, self.endpoint, kind_of(self.operation))
            made = homemade(recording, stream, since_ns, until_ns)
            parts = (window.rows(trace, since_ns, until_ns) for window in made)
            its_own = sum(int((~trace.succeeded[part]).sum()) for part in parts)
            if its_own and (succeeded + its_own) / total >= self.success_ratio_min:
                verdict, why = Verdict.UNKNOWN, f"{next(iter(made.values()))}; {why}"
        return self.finding(
            verdict,
            why,
            measured=ratio,
            from_s=recording.seconds(since_ns),
            to_s=recording.seconds(until_ns),
        )
