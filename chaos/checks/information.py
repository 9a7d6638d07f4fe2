"""What everyone felt: the longest window of each stream after each injection, judged or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.checks.base import Check, StreamCheck
from chaos.checks.injections import Injection
from chaos.checks.quiet import widest_silence
from chaos.checks.recording import STABLE_S, Recording, in_period, kind_of
from chaos.checks.windows import Span, Window
from chaos.clock import NS
from chaos.model.operation import Kind
from chaos.model.verdict import Finding

StreamKey = tuple[str, str, Kind]
OPEN_TOO = "; another had not ended when the recording did"
"""Said of a window that ended, beside one that did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What one stream felt of one injection; without windows no operation failed or was late.

    Nor did any where nobody asked: `silence` is the longest stretch in which nothing was served, and
    an interruption that left no window was at most so long.
    """

    arm: str
    endpoint: str
    kind: Kind
    injection: Injection
    slow_s: float
    """The latency beyond which an operation is late."""
    windows: tuple[Window, ...]
    silence: Span

    @property
    def window(self) -> Window | None:
        """The longest window; None without any."""
        return max(self.windows, key=lambda w: w.measured_s, default=None)

    @property
    def silence_s(self) -> float:
        """The length of the longest stretch in which nothing was served."""
        return (self.silence[1] - self.silence[0]) / NS

    @property
    def untold(self) -> bool:
        """Whether an outage that its clients would have noticed may have left no window."""
        return not self.windows and self.silence_s > self.slow_s

    @property
    def unasked(self) -> bool:
        """Whether nothing is shown, since nobody connected for long."""
        return self.untold and self.kind is Kind.CONNECT

    @property
    def at_most_s(self) -> float | None:
        """The longest that it can have been; None where no recovery was recorded."""
        if self.open:
            return None
        return self.window.measured_s if self.window else self.silence_s

    @property
    def at_least_s(self) -> float:
        """The shortest that it can have been."""
        return max((w.lower_s for w in self.windows), default=0.0)

    @property
    def measured_s(self) -> float:
        """The length of the longest window; without one 0, or of a silence longer than `slow_s`."""
        if self.window:
            return self.window.measured_s
        return self.silence_s if self.untold else 0.0

    @property
    def uncertainty_s(self) -> float:
        """By how much it may have been shorter than `measured_s`."""
        return self.measured_s - self.at_least_s

    @property
    def open(self) -> bool:
        """Whether no recovery was recorded."""
        return any(w.to_ns is None for w in self.windows)

    @property
    def span(self) -> tuple[int, int | None]:
        """Between which instants the longest window lies, or the silence told instead of it."""
        if self.window:
            return self.window.from_ns, self.window.to_ns
        return self.silence if self.untold else (self.injection.requested_ns,) * 2


def felt(recording: Recording) -> list[Felt]:
    """Return what each stream felt of each injection."""
    return [
        feel(recording, stream, injection)
        for injection in recording.injections
        for stream in sorted({**recording.connecting, **recording.streams})
    ]


def feel(
    recording: Recording,
    stream: StreamKey,
    injection: Injection,
    *,
    slow_s: float | None = None,
    stable_s: float = STABLE_S,
) -> Felt:
    """Return what a stream that was recorded felt of an injection."""
    arm, endpoint, kind = stream
    trace = recording.trace(*stream, slow_s)
    assert trace is not None
    since_ns, until_ns = injection.requested_ns, injection.until_ns
    windows = in_period(recording.windows(*stream, slow_s=slow_s, stable_s=stable_s), injection)
    return Felt(
        arm=arm,
        endpoint=endpoint,
        kind=kind,
        injection=injection,
        slow_s=trace.slow_ns / NS,
        windows=windows,
        silence=(since_ns, since_ns)
        if windows
        else widest_silence(
            trace, recording.quiet, max(since_ns, recording.asked_ns(*stream)), until_ns
        ),
    )


def inform(
    recording: Recording, checks: Sequence[Check], all_felt: Sequence[Felt]
) -> list[Finding]:
    """Return a finding without a verdict for each stream that no objective speaks of."""
    judged = {
        (check.arm, check.endpoint, kind_of(check.operation))
        for check in checks
        if isinstance(check, StreamCheck) and check.check == "interruption"
    }
    return [
        _finding(recording, one)
        for one in all_felt
        if (one.arm, one.endpoint, one.kind) not in judged
    ]


def _finding(recording: Recording, one: Felt) -> Finding:
    window = one.window
    if one.unasked:
        return _unasked(recording, one)
    if window is None:
        why = f"no operation failed or took longer than {one.slow_s:g} s"
        if one.untold:
            why += f", but nothing was served for {one.silence_s:.3f} s"
    elif window.to_ns is None:
        last_s = (window.until_ns - window.last_bad_ns) / NS
        why = (
            f"no stable service followed; the last bad operation was {last_s:.1f} s before the end"
        )
    else:
        why = f"{window.bad} operations failed or were late"
    if len(one.windows) > 1:
        why += f"; the longest of {len(one.windows)} windows"
    if window is not None and window.to_ns is not None and one.open:
        why += OPEN_TOO
    from_ns, to_ns = one.span
    return Finding(
        check="interruption",
        verdict=None,
        why=why,
        arm=one.arm,
        endpoint=one.endpoint,
        operation=one.kind.name.lower(),
        measured=one.measured_s,
        uncertainty_s=one.uncertainty_s,
        from_s=recording.seconds(from_ns),
        to_s=None if to_ns is None else recording.seconds(to_ns),
    )


def _unasked(recording: Recording, one: Felt) -> Finding:
    """Return a finding about a stream that shows nothing, since nobody connected for long."""
    begin_s, end_s = map(recording.seconds, one.silence)
    return Finding(
        check="interruption",
        verdict=None,
        why=f"no connection failed, but none was opened for {end_s - begin_s:.3f} s: nothing is shown",
        arm=one.arm,
        endpoint=one.endpoint,
        operation=one.kind.name.lower(),
        uncertainty_s=end_s - begin_s,
        from_s=begin_s,
        to_s=end_s,
    )
