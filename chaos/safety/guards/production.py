"""A cluster that is named or tagged as of production is never disturbed."""

from __future__ import annotations

import re

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    refuse, topology = situation.safety.refuse, situation.topology
    if topology.cluster in refuse.except_clusters:
        return None
    reasons = [
        f"its tag {key} is {value}"
        for key, value in topology.tags.items()
        if value.lower() in refuse.all_tags.get(key.lower(), ())
    ]
    reasons += [
        f"its identifier matches {expression}"
        for expression in refuse.all_identifiers
        if re.search(expression, topology.cluster, re.IGNORECASE)
    ]
    if not reasons:
        return None
    return (
        f"cluster {topology.cluster} is refused: {', '.join(reasons)}; if it may be disturbed all "
        f"the same, add `refuse: {{except_clusters: [{topology.cluster}]}}` to gameday-safety.yaml"
    )


NOT_PRODUCTION = Guard(
    "not-production", "neither tags nor identifier say production, or what is refused", _refusal
)
