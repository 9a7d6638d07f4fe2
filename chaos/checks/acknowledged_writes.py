"""Writes that clients were told are committed, against what the table holds afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from chaos.checks.base import Check
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.history import writing
from chaos.model.ledger import ArmLedger, Ledger
from chaos.model.operation import NO_WRITE_ID, WRITING, Outcome
from chaos.model.verdict import Finding, Verdict

# Fewer acknowledged writes than this before an injection or after its effect prove nothing about loss.
_WRITES_MIN = 10
_ATTEMPTS_SHOWN = 3


class AcknowledgedWrites(Check):
    """No acknowledged write is lost, none is there twice, by the ledger read after the run.

    Unknown while the ledger is incomplete or lacks a declared arm, while too few writes were
    acknowledged before each injection and after its effect, while the ledger and the recording do not
    tell of equally many, or while a write that was reported as certainly without effect is there. A
    reader that has replayed everything and yet differs from the writer fails it.
    """

    check: Literal["acknowledged-writes"] = "acknowledged-writes"
    arm: str | None = Field(None, description="Arm whose writes are judged; absent: every arm.")
    lost_writes_max: int = Field(
        0, ge=0, description="Most acknowledged writes of an arm that may be missing afterwards."
    )
    duplicated_writes_max: int | None = Field(
        None, ge=0, description="Most writes of an arm that may be there twice; absent: any number."
    )

    def judge(self, recording: Recording) -> list[Finding]:
        """Return a finding for each arm, and one more where duplicates are bounded."""
        ledger = recording.history.ledger
        arms = (self.arm,) if self.arm is not None else recording.arms
        if ledger is None or not ledger.complete:
            reason = ledger.why if ledger else "the table was never read"
            why = f"no complete ledger of the writes: {reason}"
            return [self._finding(arm, Verdict.UNKNOWN, why) for arm in arms or ("",)]
        if not arms:
            return [self._finding("", Verdict.UNKNOWN, "no arm was declared or left operations")]
        findings = []
        for arm in arms:
            counts = ledger.arms.get(arm)
            if counts is None:
                why = "the ledger does not tell of this arm's writes"
                findings.append(self._finding(arm, Verdict.UNKNOWN, why))
                continue
            doubt = self._doubt(recording, arm, counts)
            findings.append(self._lost(recording, arm, counts, doubt))
            if self.duplicated_writes_max is not None:
                findings.append(self._duplicated(arm, counts, doubt))
        return [*findings, *self._on_readers(ledger)]

    def _on_readers(self, ledger: Ledger) -> Iterator[Finding]:
        """Fail readers that hold another history; tell, unjudged, of those not read or behind."""
        for instance, told in sorted(ledger.readers.items()):
            differs = bool(told.missing or told.extra)
            if told.caught_up and not differs:
                continue
            counted = (
                f"{told.missing} acknowledged writes are missing and {told.extra} are too many"
            )
            if not told.complete:
                why = f"{instance} could not be read: {told.why}"
            elif told.caught_up:
                why = f"{instance} has replayed everything, and yet {counted}"
            elif told.is_writer:
                why = f"{instance} is a writer too; against {ledger.read_from}, {counted}"
            else:
                why = f"{instance} is behind: {told.why}; {counted}"
            yield Finding(
                check=self.check,
                verdict=Verdict.FAIL if told.caught_up else None,
                why=why,
                endpoint=instance,
                operation="write",
                measured=told.missing,
                limit=0 if told.caught_up else None,
                unit="missing writes",
            )

    def _doubt(self, recording: Recording, arm: str, counts: ArmLedger) -> str:
        """Return why the counts cannot show that all is well; empty where they can."""
        if counts.failed_applied:
            return (
                f"{counts.failed_applied} writes reported as certainly without effect are there "
                f"(ids {_ids(counts.failed_applied_ids)}): outcomes are misclassified"
            )
        if counts.unexpected:
            return f"{counts.unexpected} writes are there that no record tells of"
        recorded = acknowledged_writes(recording, arm)
        if recorded != counts.acknowledged:
            return (
                f"the ledger counted {counts.acknowledged} acknowledged writes, the recording has "
                f"{recorded}: it was not whole when the ledger was read"
            )
        for number, injection in enumerate(recording.injections, 1):
            before = _acknowledged(recording, arm, recording.since_ns, injection.requested_ns)
            after = _acknowledged(recording, arm, injection.disturbed_ns, recording.until_ns)
            if min(before, after) < _WRITES_MIN:
                return (
                    f"only {before} acknowledged writes before and {after} after the effect of "
                    f"injection {number}; {_WRITES_MIN} on each side are needed"
                )
        return "" if recording.injections else "no fault was injected"

    def _lost(self, recording: Recording, arm: str, counts: ArmLedger, doubt: str) -> Finding:
        limit = self.lost_writes_max
        if counts.lost > limit:
            why = f"{counts.lost} acknowledged writes are gone: ids {_ids(counts.lost_ids)}"
            return self._finding(
                arm, Verdict.FAIL, why + _who_and_when(recording, counts), counts.lost, limit
            )
        why = f"{counts.lost} of {counts.acknowledged} acknowledged writes are gone"
        if doubt:
            return self._finding(arm, Verdict.UNKNOWN, f"{doubt}; {why}", counts.lost, limit)
        return self._finding(arm, Verdict.PASS, why, counts.lost, limit)

    def _duplicated(self, arm: str, counts: ArmLedger, doubt: str) -> Finding:
        limit = self.duplicated_writes_max
        assert limit is not None
        found = counts.duplicated
        if found > limit:
            why = f"{found} writes are there more than once: ids {_ids(counts.duplicated_ids)}"
            why += _attempts(counts)
            return self._finding(arm, Verdict.FAIL, why, found, limit, unit="duplicated writes")
        why = f"{found} writes are there more than once"
        verdict = Verdict.UNKNOWN if doubt else Verdict.PASS
        told = f"{doubt}; {why}" if doubt else why
        return self._finding(arm, verdict, told, found, limit, unit="duplicated writes")

    def _finding(
        self,
        arm: str,
        verdict: Verdict,
        why: str,
        measured: int | None = None,
        limit: int | None = None,
        *,
        unit: str = "lost writes",
    ) -> Finding:
        return Finding(
            check=self.check,
            verdict=verdict,
            why=why,
            arm=arm,
            operation="write",
            measured=measured,
            limit=self.lost_writes_max if limit is None else limit,
            unit=unit,
        )


def _acknowledged(recording: Recording, arm: str, since_ns: int, until_ns: int) -> int:
    """Count writes whose success the client was told of within an interval."""
    total = 0
    for stream_arm, endpoint, kind in recording.streams:
        if stream_arm == arm and kind in WRITING:
            trace = recording.trace(arm, endpoint, kind)
            assert trace is not None
            told = trace.succeeded & (trace.ended >= since_ns) & (trace.ended < until_ns)
            total += int(told.sum())
    return total


def acknowledged_writes(recording: Recording, arm: str) -> int:
    """Return how many writes the recording says the arm was told are committed."""
    log = recording.history.arms.get(arm)
    if log is None:
        return 0
    records, total = log.operations, 0
    for part in bulk.pieces(len(records)):
        told = writing(records[part]) & (records["outcome"][part] == Outcome.OK)
        told &= records["write_id"][part] != NO_WRITE_ID
        total += int(told.sum())
    return total


def _who_and_when(recording: Recording, counts: ArmLedger) -> str:
    """Return who had acknowledged the lost writes, and when, from the injection before the first."""
    told = ""
    if counts.lost_by_instance:
        by = sorted(counts.lost_by_instance.items(), key=lambda pair: -pair[1])
        told += "; acknowledged by " + ", ".join(
            f"{name or 'an unnamed instance'} ({number})" for name, number in by
        )
    if counts.lost_first_ns is not None and counts.lost_last_ns is not None:
        begun = [i.requested_ns for i in recording.injections]
        zero_ns = max((at for at in begun if at <= counts.lost_first_ns), default=None)
        zero_ns = min(begun, default=None) if zero_ns is None else zero_ns
        if zero_ns is not None:
            first_s, last_s = (
                (at - zero_ns) / NS for at in (counts.lost_first_ns, counts.lost_last_ns)
            )
            number = begun.index(zero_ns) + 1
            told += f" {first_s:+.3f} to {last_s:+.3f} s from injection {number}"
    return told


def _attempts(counts: ArmLedger) -> str:
    """Return by which attempts writes were doubled, where the ledger says so."""
    by = [
        f"{write_id} by attempts {', '.join(map(str, attempts))}"
        for write_id, attempts in list(counts.duplicated_attempts.items())[:_ATTEMPTS_SHOWN]
    ]
    return f" ({'; '.join(by)})" if by else ""


def _ids(ids: tuple[int, ...]) -> str:
    return ", ".join(str(number) for number in ids) or "unknown"
