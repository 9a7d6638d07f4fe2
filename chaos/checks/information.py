"""What everyone felt: the longest window of each stream after each injection, judged or not."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.checks.base import Check
from chaos.checks.injections import Injection
from chaos.checks.interruption import Interruption
from chaos.checks.recording import Recording, default_slow_s, in_period, kind_of
from chaos.checks.windows import Window
from chaos.clock import NS
from chaos.model.operation import Kind
from chaos.model.verdict import Finding

StreamKey = tuple[str, str, Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What one stream felt of one injection; no `window`: no operation failed or was late."""

    arm: str
    endpoint: str
    kind: Kind
    injection: Injection
    window: Window | None
    windows: int

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
        for arm, endpoint, kind in sorted(recording.streams):
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
                )
            )
    return found


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
        to_s=_end(recording, window) if window else at_s,
    )


def _end(recording: Recording, window: Window) -> float | None:
    return None if window.to_ns is None else recording.seconds(window.to_ns)


def repeats(recording: Recording, all_felt: Sequence[Felt]) -> list[dict[str, Any]]:
    """Return for each injection the longest window of each stream, for `verdict.json`."""
    return [
        {
            "fault_id": injection.fault_id,
            "fault": injection.fault,
            "step": injection.step,
            "repeat": injection.repeat,
            "effect": injection.effect,
            "windows": [
                {
                    "arm": one.arm,
                    "endpoint": one.endpoint,
                    "operation": one.kind.name.lower(),
                    "measured": one.measured_s,
                    "uncertainty_s": one.window.uncertainty_s if one.window else 0.0,
                    "from": recording.seconds(one.window.from_ns) if one.window else None,
                    "to": _end(recording, one.window) if one.window else None,
                    "open": one.open,
                    "operations": one.window.bad if one.window else 0,
                }
                for one in all_felt
                if one.injection is injection
            ],
        }
        for injection in recording.injections
    ]


def over_repeats(all_felt: Sequence[Felt]) -> list[dict[str, Any]]:
    """Return median and worst of the repeats of each step, where there were several.

    `n` is said with them. An interruption that did not end makes the worst a lower bound: `open`.
    """
    groups: dict[tuple[int, str, str, str, Kind], list[Felt]] = {}
    for one in all_felt:
        step = (one.injection.step, one.injection.fault)
        groups.setdefault((*step, one.arm, one.endpoint, one.kind), []).append(one)
    return list(_statistics(groups))


def _statistics(
    groups: dict[tuple[int, str, str, str, Kind], list[Felt]],
) -> Iterator[dict[str, Any]]:
    for (step, fault, arm, endpoint, kind), members in groups.items():
        if len(members) < 2:  # noqa: PLR2004 - one repeat is no distribution
            continue
        lengths = [one.measured_s for one in members]
        yield {
            "step": step,
            "fault": fault,
            "arm": arm,
            "endpoint": endpoint,
            "operation": kind.name.lower(),
            "n": len(members),
            "median": statistics.median(lengths),
            "worst": max(lengths),
            "open": sum(one.open for one in members),
            "unit": "s",
        }
