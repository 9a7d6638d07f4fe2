"""Whether a pool let go of the demoted writer: the objective, and what is told where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from chaos.checks.base import Check
from chaos.checks.connections import connections_of
from chaos.checks.poisoned_pool import Poisoning, poisonings
from chaos.checks.poisoned_pool_remedies import remedy_of
from chaos.checks.recording import Recording
from chaos.checks.scene import CLUSTER
from chaos.clock import NS
from chaos.model.verdict import Finding, Verdict

NAME = "poisoned-pool"
OPERATIONS_MIN = 20
"""Fewer operations through the cluster endpoint after the demotion prove nothing about a pool."""


class PoisonedPool(Check):
    """No connection of an arm's pool stays on a demoted writer behind the cluster endpoint.

    By default none may be left when the next fault begins or the recording ends; with
    `poisoned_s_max` none for longer than that after it came to sit there. Unknown without a
    connection log, a demoted writer that answers, 20 operations after it; where what is left
    carried nothing, so that nobody knows whether the pool would still hand it out; or where a write
    was refused on a connection of which nobody knows that it sat on a demoted writer.
    """

    check: Literal["poisoned-pool"] = "poisoned-pool"
    arm: str | None = Field(None, description="Arm whose pool is judged; absent: every arm.")
    poisoned_s_max: float | None = Field(
        None, ge=0, description="Longest that any connection may be pinned; absent: to the end."
    )

    def judge(self, recording: Recording) -> list[Finding]:
        """Return a finding for each arm and each injection that demoted a writer."""
        arms = (self.arm,) if self.arm is not None else recording.arms
        found = poisonings(recording)
        findings = [
            self._finding(recording, one, why)
            for one, why in told(recording, [one for one in found if one.arm in arms])
        ]
        told_of = {one.arm for one in found}
        findings += [self._nothing(recording, arm) for arm in arms if arm not in told_of]
        return findings or [
            Finding(check=NAME, verdict=Verdict.UNKNOWN, why="no arm left operations")
        ]

    def _nothing(self, recording: Recording, arm: str) -> Finding:
        if connections_of(recording, arm) is None:
            why = "no connection of this arm was recorded"
        else:
            why = "no demoted writer was seen to answer after a fault"
        return Finding(
            check=NAME, verdict=Verdict.UNKNOWN, why=why, arm=arm, endpoint=CLUSTER,
            limit=self.poisoned_s_max,
        )  # fmt: skip

    def _finding(self, recording: Recording, one: Poisoning, happened: str) -> Finding:
        verdict, doubt = self._verdict(one)
        why = "; ".join(part for part in (doubt, happened) if part)
        return finding(recording, one, verdict, why, self.poisoned_s_max)

    def _verdict(self, one: Poisoning) -> tuple[Verdict, str]:
        if one.remaining > one.unused:
            return Verdict.FAIL, ""
        if one.operations < OPERATIONS_MIN:
            few = (
                f"only {one.operations} operations after the demotion; {OPERATIONS_MIN} are needed"
            )
            return Verdict.UNKNOWN, few
        limit = self.poisoned_s_max
        if limit is not None and one.longest_lower_ns > limit * NS:
            return Verdict.FAIL, ""
        doubt = ""
        if one.unplaced:
            doubt = "whether they sat on a demoted writer is not known of all that refused"
        elif one.remaining:
            doubt = "whether the pool would hand out what is left is not known"
        elif limit is not None and one.longest_ns > limit * NS:
            doubt = "the limit lies within the uncertainty"
        return (Verdict.UNKNOWN if doubt else Verdict.PASS), doubt


def inform(recording: Recording, checks: Sequence[Check]) -> list[Finding]:
    """Return a finding without a verdict for each poisoned pool that no objective speaks of."""
    judged = [check for check in checks if isinstance(check, PoisonedPool)]
    arms = {check.arm for check in judged}
    unjudged = [
        one
        for one in poisonings(recording)
        if None not in arms and one.arm not in arms and (one.pinned or one.unplaced)
    ]
    return [finding(recording, one, None, why, None) for one, why in told(recording, unjudged)]


def finding(
    recording: Recording, one: Poisoning, verdict: Verdict | None, why: str, limit: float | None
) -> Finding:
    """Return a finding about a pool: of the longest pin where it is held to a limit, else of all."""
    begun = one.injection.requested_ns if one.from_ns is None else one.from_ns
    ended = begun if one.from_ns is None else one.to_ns
    most_ns, least_ns = (
        (one.measured_ns, one.lower_ns) if limit is None else (one.longest_ns, one.longest_lower_ns)
    )
    return Finding(
        check=NAME,
        verdict=verdict,
        why=why,
        arm=one.arm,
        endpoint=CLUSTER,
        measured=most_ns / NS,
        limit=limit,
        uncertainty_s=(most_ns - least_ns) / NS,
        from_s=recording.seconds(begun),
        to_s=None if ended is None else recording.seconds(ended),
    )


def told(recording: Recording, found: Sequence[Poisoning]) -> Iterator[tuple[Poisoning, str]]:
    """Yield each with what happened as one sentence; the first of an arm that left some, a remedy."""
    helped: set[str] = set()
    for one in found:
        parts = list(_clauses(one, " and ".join(one.instances)))
        if one.remaining and one.arm not in helped:
            helped.add(one.arm)
            parts.append(f"remedy: {remedy_of(recording, one.arm)}")
        yield one, "; ".join(parts)


def _clauses(one: Poisoning, where: str) -> Iterator[str]:
    if one.unplaced:
        yield (
            f"{one.unplaced} operations were refused with 25006 on connections that are not known"
            f" to have sat on {where} once it was demoted"
        )
    if not one.pinned:
        known = "is known to have sat" if one.unplaced else "sat"
        yield f"no connection of the pool {known} on {where} once it was demoted"
        return
    writers = "writers" if len(one.instances) > 1 else "writer"
    said = f"{one.pinned} connections were pinned to {where}, the demoted {writers}, at worst"
    yield f"{said} {one.share_max:.0%} of the pool"
    yield (
        f"{one.refused} operations were refused with 25006, {one.failed} of them failed in the end"
    )
    if one.remaining:
        left = f"{one.remaining} were left at the end"
        yield f"{left}, {one.unused} of them unused since" if one.unused else left
    else:
        yield "the pool let go of all"
    yield "`SELECT 1` passes there, so a health check does not notice"
