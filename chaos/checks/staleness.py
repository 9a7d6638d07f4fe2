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
    """No read is stale for longer than this (chaos.checks.reads says what that is).

    That is, no write begun after the newest one it shows had been acknowledged for longer. A reader that
    still lacked acknowledged writes when the ledger was read after the run fails it too. Where several
    processes wrote for an arm, a read tells for certain of the last one alone: then it is unknown as
    long as writes of the others that may be missing would be too old.
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
        """Hold the stalest read against the limit."""
        row = int(np.argmax(reads.stale_ns))
        most_ns, least_ns = int(reads.stale_ns[row]), int(reads.lower_ns[row])
        limit_ns = self.staleness_s_max * NS
        verdict = Verdict.PASS
        if most_ns > limit_ns:
            verdict = Verdict.FAIL if least_ns > limit_ns else Verdict.UNKNOWN
        begun_ns = int(reads.begun_by[row])
        why = f"none of {len(reads.since)} reads lacked an acknowledged write"
        if most_ns:
            instance = reads.log.names[reads.instance[row]] or "an unnamed instance"
            why = f"the stalest of {len(reads.since)} reads was one of {instance}"
        if verdict is Verdict.PASS and (doubt := reads.doubt(limit_ns)):
            verdict, why = Verdict.UNKNOWN, f"{doubt}; {why}"
        return self.finding(
            verdict,
            why,
            arm=reads.arm,
            endpoint=reads.endpoint,
            measured=most_ns / NS,
            uncertainty_s=(most_ns - least_ns) / NS,
            from_s=recording.seconds(begun_ns - most_ns),
            to_s=recording.seconds(begun_ns),
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
