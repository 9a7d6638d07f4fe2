"""How old the data was that reads were given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from chaos.checks.of_reads import ReadCheck
from chaos.checks.reads import SeenReads
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model.verdict import Finding, Verdict


class Staleness(ReadCheck):
    """No read lacks a write that its arm had been told is committed for longer than this.

    The staleness of a read is known between two bounds (chaos.checks.reads): it fails where the lower
    one is beyond the limit, and passes where the upper one is within it. A reader that still lacked
    acknowledged writes when the ledger was read after the run fails it too.
    """

    unit: ClassVar[str] = "s"

    check: Literal["staleness"] = "staleness"
    staleness_s_max: float = Field(gt=0, description="Longest that a read may be behind.")

    @property
    def limit(self) -> float:
        """The objective's bound."""
        return self.staleness_s_max

    def judge(self, recording: Recording) -> list[Finding]:
        """Return a finding for each arm and endpoint, and one for each reader that stayed behind."""
        return [*super().judge(recording), *self._afterwards(recording)]

    def judge_reads(self, recording: Recording, reads: SeenReads) -> Finding:
        """Hold the bounds of the stalest read against the limit."""
        least_ns = int(reads.lower_ns.max())
        row = int(np.argmax(np.maximum(reads.lower_ns, reads.upper_ns)))
        most_ns = int(max(reads.lower_ns[row], reads.upper_ns[row]))
        limit_ns = self.staleness_s_max * NS
        if least_ns > limit_ns:
            row = int(np.argmax(reads.lower_ns))
            verdict, what = (
                Verdict.FAIL,
                f"lacked a write acknowledged {least_ns / NS:.3f} s before",
            )
        elif most_ns > limit_ns:
            verdict, what = (
                Verdict.UNKNOWN,
                "may lack one that overlapped the newest it showed; what is certain is within the limit",
            )
        else:
            verdict, what = Verdict.PASS, "was the stalest"
        instance = reads.log.names[reads.instance[row]] or "an unnamed instance"
        since_ns = int(reads.since[row])
        return self.finding(
            verdict,
            f"a read of {instance} {what}, of {len(reads.since)} reads",
            arm=reads.arm,
            endpoint=reads.endpoint,
            measured=most_ns / NS,
            uncertainty_s=(most_ns - least_ns) / NS,
            from_s=recording.seconds(since_ns - most_ns),
            to_s=recording.seconds(since_ns),
        )

    def _afterwards(self, recording: Recording) -> Iterator[Finding]:
        """Judge what the ledger says of readers that stayed behind; it knows no upper bound of them."""
        ledger = recording.history.ledger
        for instance, told in sorted((ledger.readers if ledger else {}).items()):
            missing = (
                told.missing_by_arm.get(self.arm, 0) if self.arm is not None else told.missing or 0
            )
            if (
                not missing
                or told.behind_s is None
                or self.endpoint not in {None, "reader", instance}
            ):
                continue
            read_s = recording.seconds(told.read_at_ns)
            failed = told.behind_s > self.staleness_s_max
            yield self.finding(
                Verdict.FAIL if failed else Verdict.UNKNOWN,
                f"{missing} acknowledged writes were not on {instance} when the ledger was read; how "
                "long they stayed away is not known",
                arm=self.arm or "",
                endpoint=instance,
                measured=told.behind_s,
                from_s=read_s - told.behind_s,
                to_s=read_s,
            )
