"""The repeats of a step: what each stream felt of each, and what that says of their distribution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from chaos.checks.information import Felt
from chaos.checks.order_statistics import median
from chaos.checks.recording import Recording
from chaos.model.operation import Kind


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
                    "measured": None if one.unasked else one.measured_s,
                    "uncertainty_s": one.uncertainty_s,
                    **_instants(recording, one),
                    "open": one.open,
                    "operations": one.window.bad if one.window else 0,
                }
                for one in all_felt
                if one.injection is injection
            ],
        }
        for injection in recording.injections
    ]


def _instants(recording: Recording, one: Felt) -> dict[str, float | None]:
    if not one.measured_s:
        return {"from": None, "to": None}
    from_ns, to_ns = one.span
    return {
        "from": recording.seconds(from_ns),
        "to": None if to_ns is None else recording.seconds(to_ns),
    }


def over_repeats(all_felt: Sequence[Felt]) -> list[dict[str, Any]]:
    """Return median and worst of the repeats of each step, where there were several.

    One repeat is no distribution. The median lies between `median_min` and `median`, the one that ever
    more repeats would show between `interval.low` and `interval.high` with `interval.confidence`
    (chaos.checks.order_statistics); null: beyond what was recorded, as interruptions did not end.
    `worst` is the worst of these `n` and bounds no other; with `open` ones it is what had passed.
    `shared` repeats are not among the `n`: they began before service was stable after one before.
    Nor are those `without_effect`: nothing was disturbed in them.
    """
    groups: dict[tuple[int, str, str, str, Kind], list[Felt]] = {}
    for one in all_felt:
        step = (one.injection.step, one.injection.fault)
        groups.setdefault((*step, one.arm, one.endpoint, one.kind), []).append(one)
    return list(_statistics(groups))


def _statistics(
    groups: dict[tuple[int, str, str, str, Kind], list[Felt]],
) -> Iterator[dict[str, Any]]:
    for (step, fault, arm, endpoint, kind), repeated in groups.items():
        took = [one for one in repeated if one.injection.counts]
        members = _distinct(took)
        if len(members) < 2:  # noqa: PLR2004 - one repeat is no distribution
            continue
        told = median(
            [one.at_least_s for one in members],
            [math.inf if one.at_most_s is None else one.at_most_s for one in members],
        )
        yield {
            "step": step,
            "fault": fault,
            "arm": arm,
            "endpoint": endpoint,
            "operation": kind.name.lower(),
            "n": len(members),
            "shared": len(took) - len(members),
            "without_effect": len(repeated) - len(took),
            "median": _finite(told.at_most),
            "median_min": told.at_least,
            "interval": {
                "low": told.low, "high": _finite(told.high), "confidence": told.confidence,
            },
            "worst": max(max(one.measured_s, one.at_most_s or 0.0) for one in members),
            "worst_min": max(one.at_least_s for one in members),
            "open": sum(one.open for one in members),
            "unit": "s",
        }  # fmt: skip


def _distinct(repeated: Sequence[Felt]) -> list[Felt]:
    """Leave out repeats that fell into the window of one before: that is one interruption."""
    told = {id(one) if one.window is None else one.window.from_ns: one for one in repeated}
    return list(told.values())


def _finite(value: float) -> float | None:
    return value if value < math.inf else None
