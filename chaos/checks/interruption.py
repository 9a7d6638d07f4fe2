"""How long the clients of one arm were interrupted, against an objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from chaos.checks.base import StreamCheck
from chaos.checks.generator import generator_was_slow
from chaos.checks.injections import Injection
from chaos.checks.order_statistics import (
    CONFIDENCE,
    median,
    quantile,
    rank_above,
    rank_below,
    repeats_needed,
)
from chaos.checks.quiet import quiet_ns, widest_silence
from chaos.checks.recording import STABLE_S, Recording, in_period, kind_of
from chaos.checks.windows import Window
from chaos.clock import NS
from chaos.model.operation import Kind
from chaos.model.verdict import Finding, Verdict, distinct

_QUANTILES = {"median": 0.5, "p90": 0.9}


class Interruption(StreamCheck):
    """The longest interruption window of one arm, endpoint and operation after each injection.

    Passes when the window is certainly no longer than the limit, fails when it is certainly longer,
    and is unknown when the limit lies inside the uncertainty, or when the recording after the fault
    is shorter than `stable_s`. Says both instants of the window.

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
        windows = recording.windows(
            self.arm, self.endpoint, kind, slow_s=self.slow_s, stable_s=self.stable_s
        )
        found = [
            self._watched(
                recording,
                injection,
                self._judge_injection(recording, injection, in_period(windows, injection)),
            )
            for injection in recording.injections
        ]
        if self.over_repeats == "worst":
            return found
        steps = [(one.step, one.fault) for one in recording.injections]
        return [
            self._judge_repeats(
                fault, [f for f, of in zip(found, steps, strict=True) if of == (step, fault)]
            )
            for step, fault in dict.fromkeys(steps)
        ]

    def _judge_repeats(self, fault: str, found: Sequence[Finding]) -> Finding:
        """Return one finding about a quantile of the repeats of a step, each judged by itself."""
        found = distinct(found)
        n, limit, p = len(found), self.interruption_s_max, _QUANTILES[self.over_repeats]
        above, below = rank_above(n, p), rank_below(n, p)
        within = sum(f.verdict is Verdict.PASS for f in found)
        longer = sum(f.verdict is Verdict.FAIL for f in found)
        told = f"{within} of {n} repeats of {fault} were within {limit:g} s, {longer} were longer"
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
        lowers, uppers = zip(*(_bounds(f) for f in found), strict=True)
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

    def _watched(self, recording: Recording, injection: Injection, finding: Finding) -> Finding:
        """Return a finding; no pass where the recording ends before service could prove stable."""
        since_ns, until_ns = injection.disturbed_ns, injection.until_ns
        watched_s = (until_ns - since_ns - quiet_ns(recording.quiet, since_ns, until_ns)) / NS
        if finding.verdict is not Verdict.PASS or watched_s >= self.stable_s:
            return finding
        why = (
            f"only {watched_s:.3f} s were recorded after the fault, {self.stable_s:g} s are needed"
        )
        return replace(finding, verdict=Verdict.UNKNOWN, why=f"{finding.why}; {why}")

    def _judge_injection(
        self, recording: Recording, injection: Injection, windows: tuple[Window, ...]
    ) -> Finding:
        about = _about(recording, injection)
        if not windows:
            return self._uninterrupted(recording, injection, about)
        worst = max(windows, key=lambda w: (w.to_ns is None, w.measured_s))
        verdict, why = self._verdict(worst)
        if verdict is Verdict.FAIL and worst.to_ns is not None:
            slow = generator_was_slow(recording, self.arm, worst.from_ns, worst.to_ns)
            if slow is not None:
                verdict, why = Verdict.UNKNOWN, f"{slow}; {why}"
        more = f"; the longest of {len(windows)} windows" if len(windows) > 1 else ""
        groups = {i.group.from_ns for i in recording.injections if worst in in_period([worst], i)}
        if len(groups) > 1:
            more += f"; it reaches over {len(groups)} injections, a longer settle_s parts them"
        return self.finding(
            verdict,
            f"{about}{why}; {worst.bad} operations failed or were late{more}",
            measured=worst.measured_s,
            uncertainty_s=worst.uncertainty_s,
            from_s=recording.seconds(worst.from_ns),
            to_s=None if worst.to_ns is None else recording.seconds(worst.to_ns),
        )

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

    def _uninterrupted(self, recording: Recording, injection: Injection, about: str) -> Finding:
        trace = recording.trace(self.arm, self.endpoint, kind_of(self.operation), self.slow_s)
        assert trace is not None
        begin, end = widest_silence(
            trace, recording.quiet, injection.requested_ns, injection.until_ns
        )
        silence_s = (end - begin) / NS
        slow_s = trace.slow_ns / NS
        told = f"{about}no operation failed or took longer than {slow_s:g} s"
        if silence_s > max(self.interruption_s_max, slow_s):
            connects = kind_of(self.operation) is Kind.CONNECT
            nothing = "no connection was opened" if connects else "nothing was served"
            return self.finding(
                Verdict.UNKNOWN,
                f"{told}, but {nothing} for {silence_s:.3f} s",
                measured=silence_s,
                uncertainty_s=silence_s,
                from_s=recording.seconds(begin),
                to_s=recording.seconds(end),
            )
        at_s = recording.seconds(injection.requested_ns)
        return self.finding(
            Verdict.PASS,
            f"{told}; at most {silence_s:.3f} s lay between two that were served",
            measured=0.0,
            uncertainty_s=0.0,
            from_s=at_s,
            to_s=at_s,
        )


def _about(recording: Recording, injection: Injection) -> str:
    """Name the injection where there are several."""
    if len(recording.injections) == 1:
        return ""
    return f"{injection.fault} {recording.injections.index(injection) + 1}: "


def _bounds(finding: Finding) -> tuple[float, float]:
    """Return between which lengths the interruption of one repeat lies; infinite: no bound above."""
    if finding.measured is None:
        return 0.0, math.inf
    lower = finding.measured - (finding.uncertainty_s or 0.0)
    bounded = finding.to_s is not None and (
        finding.verdict is not Verdict.UNKNOWN or finding.measured > (finding.limit or 0.0)
    )
    return lower, finding.measured if bounded else math.inf
