"""How long the clients of one arm were interrupted, against an objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from chaos.checks.base import StreamCheck
from chaos.checks.generator import generator_was_slow
from chaos.checks.information import OPEN_TOO, Felt, feel
from chaos.checks.injections import Injection
from chaos.checks.order_statistics import (
    CONFIDENCE,
    median,
    quantile,
    rank_above,
    rank_below,
    repeats_needed,
)
from chaos.checks.quiet import quiet_ns
from chaos.checks.recording import STABLE_S, Recording, in_period, kind_of
from chaos.checks.windows import Window
from chaos.clock import NS
from chaos.model.operation import Kind
from chaos.model.verdict import Finding, Verdict, distinct, worst

_QUANTILES = {"median": 0.5, "p90": 0.9}


class Interruption(StreamCheck):
    """The interruption windows of one arm, endpoint and operation after each injection.

    Passes when each window is certainly no longer than the limit, fails when one is certainly longer,
    and is unknown when the limit lies inside the uncertainty, or when the recording after the fault
    is shorter than `stable_s`. Says both instants of the worst window. Where no operation failed, but
    nothing was served for longer than the limit either, it is unknown; a limit of 0 asks for no window.

    With `over_repeats` a quantile of the repeats of each step is judged instead of each of them. It is
    the quantile of all repeats that could be made, known from these by order statistics with 95 %
    confidence: it passes when a repeat that it hardly exceeds passed, and is unknown where there are
    too few repeats to tell (the median needs 5, p90 needs 29).
    """

    unit: ClassVar[str] = "s"

    check: Literal["interruption"] = "interruption"
    interruption_s_max: float = Field(ge=0, description="Longest window that passes, in seconds.")
    slow_s: float | None = Field(
        None,
        gt=0,
        description="A response later than this after its intended start counts as interrupted; "
        "absent: 1 s, for probes 0.25 s.",
    )
    stable_s: float = Field(
        STABLE_S, gt=0, description="Seconds of only good operations that end a window."
    )

    over_repeats: Literal["worst", "median", "p90"] = Field(
        "worst", description="What is held against the limit: each repeat, or a quantile of them."
    )

    @property
    def limit(self) -> float:
        """The objective's bound."""
        return self.interruption_s_max

    def judge(self, recording: Recording) -> list[Finding]:
        """Return one finding for each injection; over a quantile, one for each step."""
        kind = kind_of(self.operation)
        if recording.trace(self.arm, self.endpoint, kind, self.slow_s) is None:
            return [self.finding(Verdict.UNKNOWN, "no operation of this kind was recorded")]
        if not recording.injections:
            return [self.finding(Verdict.UNKNOWN, "no fault was injected")]
        stream = (self.arm, self.endpoint, kind)
        all_felt = [
            feel(recording, stream, injection, slow_s=self.slow_s, stable_s=self.stable_s)
            for injection in recording.injections
        ]
        found = [self._watched(recording, one, self._judge(recording, one)) for one in all_felt]
        if self.over_repeats == "worst":
            return found
        steps: dict[tuple[int, str], list[tuple[Finding, Felt]]] = {}
        for finding, one in zip(found, all_felt, strict=True):
            steps.setdefault((one.injection.step, one.injection.fault), []).append((finding, one))
        return [self._judge_repeats(fault, judged) for (_, fault), judged in steps.items()]

    def _judge_repeats(self, fault: str, judged: Sequence[tuple[Finding, Felt]]) -> Finding:
        """Return one finding about a quantile of the repeats of a step, each judged by itself."""
        took = [(finding, one) for finding, one in judged if one.injection.counts]
        left_out = len(judged) - len(took)
        if not took:
            why = f"none of the {left_out} repeats of {fault} is known to have had an effect"
            return replace(self.finding(Verdict.UNKNOWN, why), over=self.over_repeats)
        found = distinct(finding for finding, _ in took)
        n, limit, p = len(found), self.interruption_s_max, _QUANTILES[self.over_repeats]
        above, below = rank_above(n, p), rank_below(n, p)
        within = sum(f.verdict is Verdict.PASS for f in found)
        longer = sum(f.verdict is Verdict.FAIL for f in found)
        told = f"{within} of {n} repeats of {fault} were within {limit:g} s, {longer} were longer"
        if left_out:
            told += f", {left_out} without effect left out"
        surely = f"with {CONFIDENCE:.0%} confidence"
        if below is not None and longer > n - below:
            verdict, why = (
                Verdict.FAIL,
                f"the {self.over_repeats} is longer than the limit {surely}",
            )
        elif above is None:
            why = f"{repeats_needed(p)} are needed to know the {self.over_repeats} {surely}"
            verdict = Verdict.UNKNOWN
        elif within >= above:
            verdict, why = Verdict.PASS, f"the {self.over_repeats} is within the limit {surely}"
        else:
            why = f"{above} within it would show that the {self.over_repeats} is, {surely}"
            verdict = Verdict.UNKNOWN
        kept = [_bounds(f, one) for f, one in took if any(f is other for other in found)]
        lowers, uppers = zip(*kept, strict=True)
        if p == _QUANTILES["median"]:
            middle = median(lowers, uppers)
            at_least, at_most = middle.at_least, middle.at_most
        else:
            at_least, at_most = quantile(lowers, p), quantile(uppers, p)
        known = at_most < math.inf
        finding = self.finding(
            verdict,
            f"{told}: {why}",
            measured=at_most if known else None,
            uncertainty_s=at_most - at_least if known else None,
        )
        return replace(finding, over=self.over_repeats)

    def _watched(self, recording: Recording, one: Felt, finding: Finding) -> Finding:
        """Return a finding; no pass where the recording ends before service could prove stable."""
        since_ns, until_ns = one.injection.disturbed_ns, one.injection.until_ns
        watched_s = (until_ns - since_ns - quiet_ns(recording.quiet, since_ns, until_ns)) / NS
        if finding.verdict is not Verdict.PASS or watched_s >= self.stable_s:
            return finding
        why = (
            f"only {watched_s:.3f} s were recorded after the fault, {self.stable_s:g} s are needed"
        )
        return replace(finding, verdict=Verdict.UNKNOWN, why=f"{finding.why}; {why}")

    def _judge(self, recording: Recording, one: Felt) -> Finding:
        about = _about(recording, one.injection)
        if not one.windows:
            return self._uninterrupted(recording, one, about)
        by_length = sorted(one.windows, key=lambda w: -w.measured_s)
        judged = [(w, *self._blamed(recording, w)) for w in by_length]
        wanted = worst(verdict for _, verdict, _ in judged)
        window, verdict, why = next(told for told in judged if told[1] is wanted)
        more = ""
        if len(judged) > 1:
            which = "longest" if window is by_length[0] else "worst"
            more = f"; the {which} of {len(judged)} windows"
        if one.open and window.to_ns is not None:
            more += OPEN_TOO
        groups = {i.group.from_ns for i in recording.injections if in_period([window], i)}
        if len(groups) > 1:
            more += f"; it reaches over {len(groups)} injections, a longer settle_s parts them"
        return self.finding(
            verdict,
            f"{about}{why}; {window.bad} operations failed or were late{more}",
            measured=window.measured_s,
            uncertainty_s=window.uncertainty_s,
            from_s=recording.seconds(window.from_ns),
            to_s=None if window.to_ns is None else recording.seconds(window.to_ns),
        )

    def _blamed(self, recording: Recording, window: Window) -> tuple[Verdict, str]:
        """Judge a window; no failure where the generator itself may have made it."""
        verdict, why = self._verdict(window)
        if verdict is not Verdict.FAIL:
            return verdict, why
        slow = generator_was_slow(recording, self.arm, window.from_ns, window.reached_ns)
        return (verdict, why) if slow is None else (Verdict.UNKNOWN, f"{slow}; {why}")

    def _verdict(self, window: Window) -> tuple[Verdict, str]:
        limit = self.interruption_s_max
        measured, lower = window.measured_s, window.lower_s
        if window.to_ns is None:
            shown = (window.last_bad_ns - window.first_bad_ns) / NS
            why = (
                f"no recovery recorded: operations failed over {shown:.3f} s and no "
                f"{self.stable_s:g} s of stable service followed"
            )
            return (Verdict.FAIL if shown > limit else Verdict.UNKNOWN), why
        if lower > limit:
            return Verdict.FAIL, f"longer than {limit:g} s by {lower - limit:.3f} s at least"
        if not window.preceded:
            return Verdict.UNKNOWN, "no success came before it"
        if measured <= limit:
            return Verdict.PASS, f"within {limit:g} s"
        return (
            Verdict.UNKNOWN,
            f"{limit:g} s lies between the bounds {lower:.3f} and {measured:.3f} s",
        )

    def _uninterrupted(self, recording: Recording, one: Felt, about: str) -> Finding:
        told = f"{about}no operation failed or took longer than {one.slow_s:g} s"
        # A limit of 0 asks for no window at all: some time lies between any two operations.
        if one.silence_s > (self.interruption_s_max or one.slow_s):
            connects = one.kind is Kind.CONNECT
            nothing = "no connection was opened" if connects else "nothing was served"
            verdict, why = Verdict.UNKNOWN, f", but {nothing} for {one.silence_s:.3f} s"
        else:
            why = f"; at most {one.silence_s:.3f} s lay between two that were served"
            verdict = Verdict.PASS
        shown = one.untold or verdict is Verdict.UNKNOWN
        begin, end = one.silence if shown else (one.injection.requested_ns,) * 2
        return self.finding(
            verdict,
            told + why,
            measured=(end - begin) / NS,
            uncertainty_s=(end - begin) / NS,
            from_s=recording.seconds(begin),
            to_s=recording.seconds(end),
        )


def _about(recording: Recording, injection: Injection) -> str:
    """Name the injection where there are several."""
    if len(recording.injections) == 1:
        return ""
    return f"{injection.fault} {recording.injections.index(injection) + 1}: "


def _bounds(finding: Finding, one: Felt) -> tuple[float, float]:
    """Return between which lengths the interruption of one repeat lies; infinite: no bound above."""
    upper = math.inf if one.at_most_s is None else one.at_most_s
    if finding.verdict is Verdict.UNKNOWN and upper <= (finding.limit or 0.0):
        return one.at_least_s, math.inf
    return one.at_least_s, upper
