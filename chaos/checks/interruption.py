"""How long the clients of one arm were interrupted, against an objective."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from chaos.checks.base import StreamCheck
from chaos.checks.injections import Injection
from chaos.checks.quiet import quiet_ns, widest_silence
from chaos.checks.recording import STABLE_S, Recording, in_period, kind_of
from chaos.checks.windows import Window
from chaos.clock import NS
from chaos.model.verdict import Finding, Verdict

# A generator that fell behind by this share of a window may have made the window itself.
_LAG_SHARE = 0.5


class Interruption(StreamCheck):
    """The longest interruption window of one arm, endpoint and operation after each injection.

    Passes when the window is certainly no longer than the limit, fails when it is certainly longer,
    and is unknown when the limit lies inside the uncertainty, or when the recording after the fault
    is shorter than `stable_s`. Says both instants of the window.
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

    @property
    def limit(self) -> float:
        """The objective's bound."""
        return self.interruption_s_max

    def judge(self, recording: Recording) -> list[Finding]:
        """Return one finding for each injection."""
        kind = kind_of(self.operation)
        if recording.trace(self.arm, self.endpoint, kind, self.slow_s) is None:
            return [self.finding(Verdict.UNKNOWN, "no operation of this kind was recorded")]
        if not recording.injections:
            return [self.finding(Verdict.UNKNOWN, "no fault was injected")]
        windows = recording.windows(
            self.arm, self.endpoint, kind, slow_s=self.slow_s, stable_s=self.stable_s
        )
        return [
            self._watched(
                recording,
                injection,
                self._judge_injection(recording, injection, in_period(windows, injection)),
            )
            for injection in recording.injections
        ]

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
            lag_s = recording.lag_s(self.arm, worst.from_ns, worst.to_ns)
            if lag_s >= worst.measured_s * _LAG_SHARE:
                verdict = Verdict.UNKNOWN
                why = f"the traffic generator itself fell {lag_s:.3f} s behind; {why}"
        more = f"; the longest of {len(windows)} windows" if len(windows) > 1 else ""
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
            return self.finding(
                Verdict.UNKNOWN,
                f"{told}, but nothing was served for {silence_s:.3f} s",
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
