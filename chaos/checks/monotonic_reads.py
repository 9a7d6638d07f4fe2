"""Reads that showed less than an earlier one had shown."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from chaos.checks.of_reads import ReadCheck
from chaos.checks.reads import SeenReads
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model.verdict import Finding, Verdict


class MonotonicReads(ReadCheck):
    """No read of an arm shows less than one through the same endpoint that had ended before it began.

    Counted are the reads that certainly did. Readers that lag differently behind one endpoint do this
    in good health; a connection that stays on one instance does not see it.
    Where several processes wrote for the arm it is unknown whether the writes of the others were gone.
    """

    check: Literal["monotonic-reads"] = "monotonic-reads"
    backward_reads_max: int = Field(0, ge=0, description="Most reads that may show less.")

    @property
    def limit(self) -> float:
        """The objective's bound."""
        return self.backward_reads_max

    def judge_reads(self, recording: Recording, reads: SeenReads) -> Finding:
        """Count them, and tell of the one that went back furthest."""
        number = len(reads.back)
        verdict = Verdict.PASS if number <= self.backward_reads_max else Verdict.FAIL
        why = f"{number} of {len(reads.since)} reads showed less than an earlier one"
        at_s = None
        if number:
            writes = reads.back_writes()
            furthest = int(np.argmax(writes))
            row = reads.back[furthest]
            names = reads.log.names
            new, old = names[reads.instance[reads.before[row]]], names[reads.instance[row]]
            at_s = recording.seconds(int(reads.since[row]))
            most_ns = int(reads.back_ns()[1][furthest])
            apart = f" and at most {most_ns / NS:.3f} s" if most_ns >= 0 else ""
            why += (
                f"; furthest back by at least {writes[furthest]} writes{apart}, from what "
                f"{new or 'an unnamed instance'} had shown to what {old or 'an unnamed one'} did"
            )
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
