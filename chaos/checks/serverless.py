"""`serverless` of verdict.json: capacity over time, and what was felt of it."""

from __future__ import annotations

from typing import Any

from chaos.checks.capacity_felt import by_capacity, disconnects, resumes
from chaos.checks.capacity_series import levels, refusals
from chaos.checks.capacity_steps import CapacityStep, capacity_steps
from chaos.checks.recording import Recording


def serverless(recording: Recording) -> dict[str, Any] | None:
    """Return it; None for a cluster without Serverless v2 capacity.

    `series` has, for each instance, [second, ACU] where the capacity was first shown, and the last
    second for which it was told. `why` says why CloudWatch told nothing at some time.
    """
    if not any(recording.observed("capacity")) and not any(recording.observed("acu")):
        return None
    series = levels(recording)
    return {
        "why": refusals(recording) or ("" if series else "CloudWatch had no datapoint in time"),
        "resolution_s": max(
            (float(o.detail.get("resolution_s", 0)) for o in recording.observed("acu")),
            default=None,
        ),
        "series": {
            instance: {
                "points": [[recording.seconds(one.shown_ns), one.acu] for one in known],
                "to_s": recording.seconds(known[-1].to_ns),
            }
            for instance, known in series.items()
        },
        "steps": [_step(recording, one) for one in capacity_steps(recording)],
        "by_capacity": by_capacity(recording),
        "disconnects": [
            {
                "arm": one.arm,
                "instance": one.instance,
                "operations": one.operations,
                "broken": one.broken,
                "first_s": None if one.first_ns is None else recording.seconds(one.first_ns),
                "last_s": None if one.last_ns is None else recording.seconds(one.last_ns),
            }
            for one in disconnects(recording)
        ],
        "resumes": resumes(recording),
    }


def _step(recording: Recording, one: CapacityStep) -> dict[str, Any]:
    return {
        "cause": one.cause,
        "instance": one.instance,
        "wanted": one.wanted,
        "from_s": recording.seconds(one.from_ns),
        "before_acu": one.before_acu,
        "reached_acu": one.reached_acu,
        "at_once": one.at_once,
        "to_s": None if one.reached_ns is None else recording.seconds(one.reached_ns),
        "measured_s": one.measured_s,
        "uncertainty_s": one.uncertainty_s,
        "told_s": recording.seconds(one.told_ns),
    }
