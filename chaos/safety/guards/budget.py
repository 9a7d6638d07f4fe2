"""A run is expected to stay within what it may take."""

from __future__ import annotations

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    estimate = situation.estimate
    reasons = []
    for whose, budget in (
        ("the experiment", situation.limits),
        ("gameday-safety.yaml", situation.safety.budget),
    ):
        most_s, most_usd = budget.duration_s_max, budget.cost_usd_max
        if most_s is not None and estimate.expected_s > most_s:
            reasons.append(
                f"it is expected to take {estimate.expected_s:.0f} s, {whose} allows {most_s:g} s"
            )
        if most_usd is None or situation.kind == "test":
            continue
        if estimate.cost_usd is None:
            missing = ", ".join(estimate.unpriced)
            reasons.append(
                f"{whose} allows {most_usd:g} USD, and what it costs is unknown: "
                f"add prices of {missing} to gameday-safety.yaml"
            )
        elif estimate.cost_usd > most_usd:
            reasons.append(
                f"it is expected to cost {estimate.cost_usd:.2f} USD, "
                f"{whose} allows {most_usd:g} USD"
            )
    if not reasons:
        return None
    return f"the run is not within its budget: {'; '.join(reasons)}; shorten it or raise the budget"


BUDGET = Guard("budget", "estimated duration and cost are within what is allowed", _refusal)
