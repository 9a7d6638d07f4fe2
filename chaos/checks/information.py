"""What everyone felt: the longest window of each stream after each injection, judged or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.checks.base import Check
from chaos.checks.injections import Injection
from chaos.checks.interruption import Interruption
from chaos.checks.quiet import widest_silence
from chaos.checks.recording import Recording, default_slow_s, in_period, kind_of
from chaos.checks.windows import Window
from chaos.clock import NS
from chaos.model.operation import Kind
from chaos.model.verdict import Finding

StreamKey = tuple[str, str, Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What one stream felt of one injection; no `window`: no operation failed or was late.

    Who connects seldom felt nothing because nobody asked: then `silence` is the longest stretch in
    which a connection may not have been had, and an interruption was at most so long.
    """

    arm: str
    endpoint: str
    kind: Kind
    injection: Injection
    window: Window | None
    windows: int
    silence: tuple[int, int] | None = None

    @property
    def at_most_s(self) -> float | None:
        """The longest that it can have been; None where no recovery was recorded."""
        if self.open:
            return None
        if self.silence is not None:
            return (self.silence[1] - self.silence[0]) / NS
        return self.measured_s

    @property
    def at_least_s(self) -> float:
        """The shortest that it can have been."""
        return self.window.lower_s if self.window else 0.0

    @property
    def measured_s(self) -> float:
        """The length of the longest window, 0 without one."""
        return self.window.measured_s if self.window else 0.0

    @property
    def open(self) -> bool:
        """Whether no recovery was recorded."""
        return self.window is not None and self.window.to_ns is None


def felt(recording: Recording) -> list[Felt]:
    """Return what each stream felt of each injection."""
    found = []
    for injection in recording.injections:
        for arm, endpoint, kind in sorted({**recording.connecting, **recording.streams}):
            windows = in_period(recording.windows(arm, endpoint, kind), injection)
            worst = max(windows, key=lambda w: (w.to_ns is None, w.measured_s), default=None)
            found.append(
                Felt(
                    arm=arm,
                    endpoint=endpoint,
                    kind=kind,
                    injection=injection,
                    window=worst,
                    windows=len(windows),
                    silence=_silence(recording, (arm, endpoint, kind), injection, worst),
                )
            )
    return found


def _silence(
    recording: Recording, stream: StreamKey, injection: Injection, window: Window | None
) -> tuple[int, int] | None:
    """Return how long nobody may have connected; None where that is too short to matter."""
    arm, _, kind = stream
    if kind is not Kind.CONNECT or window is not None:
        return None
    trace = recording.trace(*stream)
    assert trace is not None
    begin, end = widest_silence(trace, recording.quiet, injection.requested_ns, injection.until_ns)
    return (begin, end) if end - begin > default_slow_s(arm) * NS else None


def inform(
    recording: Recording, checks: Sequence[Check], all_felt: Sequence[Felt]
) -> list[Finding]:
    """Return a finding without a verdict for each stream that no objective speaks of."""
    judged = {
        (check.arm, check.endpoint, kind_of(check.operation))
        for check in checks
        if isinstance(check, Interruption)
    }
    return [
        _finding(recording, one)
        for one in all_felt
        if (one.arm, one.endpoint, one.kind) not in judged
    ]


def _finding(recording: Recording, one: Felt) -> Finding:
    window = one.window
    at_s = recording.seconds(one.injection.requested_ns)
    if one.silence is not None:
        return _unasked(recording, one, one.silence)
    if window is None:
        slow_s = default_slow_s(one.arm)
        why = f"no operation failed or took longer than {slow_s:g} s"
    elif window.to_ns is None:
        last_s = (window.until_ns - window.last_bad_ns) / NS
        why = (
            f"no stable service followed; the last bad operation was {last_s:.1f} s before the end"
        )
    else:
        why = f"{window.bad} operations failed or were late"
    if one.windows > 1:
        why += f"; the longest of {one.windows} windows"
    return Finding(
        check="interruption",
        verdict=None,
        why=why,
        arm=one.arm,
        endpoint=one.endpoint,
        operation=one.kind.name.lower(),
        measured=one.measured_s,
        uncertainty_s=window.uncertainty_s if window else 0.0,
        from_s=recording.seconds(window.from_ns) if window else at_s,
        to_s=ended_s(recording, window) if window else at_s,
    )


def _unasked(recording: Recording, one: Felt, silence: tuple[int, int]) -> Finding:
    """Return a finding about a stream that shows nothing, since nobody connected for long."""
    begin_s, end_s = map(recording.seconds, silence)
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


def ended_s(recording: Recording, window: Window) -> float | None:
    """Return when a window ended, in seconds since the origin; None where that was not recorded."""
    return None if window.to_ns is None else recording.seconds(window.to_ns)
