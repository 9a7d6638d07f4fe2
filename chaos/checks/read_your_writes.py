"""Reads that did not show what their application had been told is committed."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from chaos.checks.of_reads import ReadCheck
from chaos.checks.reads import SeenReads
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model.verdict import Finding, Verdict


class ReadYourWrites(ReadCheck):
    """A read shows every write that its arm had been told is committed before the read began.

    Counted are the reads that certainly did not. Through the reader endpoint a healthy cluster breaks
    this for as long as its readers lag; through the cluster endpoint none does. Where several processes
    wrote for the arm it is unknown whether reads lacked what the others had written.
    """

    check: Literal["read-your-writes"] = "read-your-writes"
    lacking_reads_max: int = Field(
        0, ge=0, description="Most reads that may lack an acknowledged write."
    )

    @property
    def limit(self) -> float:
        """The objective's bound."""
        return self.lacking_reads_max

    def judge_reads(self, recording: Recording, reads: SeenReads) -> Finding:
        """Count them, and tell of the one that lacked a write the longest."""
        number = int(np.count_nonzero(reads.lacking))
        verdict = Verdict.PASS if number <= self.lacking_reads_max else Verdict.FAIL
        why = f"{number} of {len(reads.since)} reads lacked a write acknowledged before they began"
        at_s = None
        if number:
            row = int(np.argmax(reads.lower_ns))
            at_s = recording.seconds(int(reads.since[row]))
            instance = reads.log.names[reads.instance[row]] or "an unnamed instance"
            why += f"; {instance} one that had been for {reads.lower_ns[row] / NS:.3f} s"
        if verdict is Verdict.PASS and (doubt := reads.doubt(0)):
            verdict, why = Verdict.UNKNOWN, f"{doubt}; {why}"
        return self.finding(
            verdict,
            why,
            arm=reads.arm,
            endpoint=reads.endpoint,
            measured=number,
            from_s=at_s,
            to_s=at_s,
        )
