"""Sums that transfers must leave as they are, on every instance and at any time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from chaos.checks.base import Check
from chaos.checks.of_reads import too_few
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model.record import Observation
from chaos.model.verdict import Finding, Verdict

CHECK = "constant-sums"
_NO_ACCOUNTS = "none"
"""The value of a read that found no account: an instance that has not replayed their opening yet."""


class ConstantSums(Check):
    """The balances of each arm that transfers add up to the same, in every read and afterwards.

    A reader's snapshot is one instant of the writer's history, however late: it never shows half of a
    transfer. So any other sum that was read, or that the ledger finds on an instance after the run,
    fails, and so do accounts that an instance had shown and has no more. Judged in every run in which
    there are such sums, asked for or not.
    """

    check: Literal["constant-sums"] = "constant-sums"
    arm: str | None = Field(
        None, description="Arm whose sums are judged; absent: each that has any."
    )

    def judge(self, recording: Recording) -> list[Finding]:
        """Return a finding for each arm."""
        arms = (self.arm,) if self.arm is not None else arms_with_sums(recording)
        return [judge_sums(recording, arm) for arm in arms] or [
            Finding(
                check=CHECK,
                verdict=Verdict.UNKNOWN,
                why="no sum was read; an arm with the profile `bank-transfer` reads them",
            )
        ]


def arms_with_sums(recording: Recording) -> tuple[str, ...]:
    """Return the arms whose balances were added up, by a read or by the ledger."""
    ledger = recording.history.ledger
    arms = {o.subject for o in recording.observed("sum")} | set(ledger.sums if ledger else ())
    return tuple(sorted(arms))


def judge_sums(recording: Recording, arm: str) -> Finding:
    """Fail on any deviation that was seen; unknown where too few sums were."""
    wrong = list(_deviations(recording, arm))
    if wrong:
        at_s, why = wrong[0]
        more = f"; {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return Finding(
            check=CHECK,
            verdict=Verdict.FAIL,
            why=why + more,
            arm=arm,
            operation="read",
            measured=len(wrong),
            limit=0,
            unit="deviations",
            from_s=at_s,
            to_s=at_s,
        )
    doubt = _doubt(recording, arm)
    return Finding(
        check=CHECK,
        verdict=Verdict.UNKNOWN if doubt else Verdict.PASS,
        why=doubt or "every sum that was read was the same, during the run and after it",
        arm=arm,
        operation="read",
        measured=0,
        limit=0,
        unit="deviations",
    )


def _deviations(recording: Recording, arm: str) -> Iterator[tuple[float, str]]:
    """Yield when each wrong sum was seen, and what it was."""
    ledger = recording.history.ledger
    seen = list(recording.observed("sum", arm))
    sums = [o.value for o in seen if o.value != _NO_ACCOUNTS]
    expected = ledger.sum_expected if ledger else None
    right = str(expected) if expected is not None else sums[0] if sums else ""
    shown: set[str] = set()
    for one in seen:
        instance = str(one.detail.get("instance") or "")
        if one.value == _NO_ACCOUNTS:
            # With an instant before it, whoever read none had read a sum there.
            if one.since_ns is not None and instance in shown:
                yield recording.seconds(one.at_ns), f"{_where(one)} were gone: no account was there"
            continue
        if instance:
            shown.add(instance)
        if one.value != right:
            yield (
                recording.seconds(one.at_ns),
                f"{_where(one)} added up to {one.value}, not {right}",
            )
    if ledger is None or expected is None:
        return
    final = {ledger.read_from: (ledger.sums.get(arm), ledger.read_at_ns)}
    final |= {
        name: (told.sums.get(arm), told.read_at_ns)
        for name, told in ledger.readers.items()
        if told.complete
    }
    for instance, (value, read_ns) in sorted(final.items()):
        if value is not None and value != expected:
            why = f"after the run the balances on {instance} add up to {value}, not {right}"
            yield recording.seconds(read_ns), why
        elif value is None and instance in shown:
            why = f"after the run the balances on {instance} are gone: no account is there"
            yield recording.seconds(read_ns), why


def _where(seen: Observation) -> str:
    since = f" at some time in {(seen.at_ns - seen.since_ns) / NS:.3f} s" if seen.since_ns else ""
    return f"the balances on {seen.detail.get('instance') or 'an unnamed instance'}{since}"


def _doubt(recording: Recording, arm: str) -> str:
    """Return why the sums cannot show that all is well; empty where they can."""
    ledger = recording.history.ledger
    if ledger is None or not ledger.complete or arm not in ledger.sums:
        return "the sum on the writer after the run is not known"
    reads = [reads for key, reads in recording.reads.items() if key[0] == arm]
    if not reads:
        return "no read of a sum was recorded"
    return min((too_few(recording, one) for one in reads), key=len)
