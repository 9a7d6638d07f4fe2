"""Nothing is disturbed in the stretches that the safety file keeps clear."""

from __future__ import annotations

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    holding = [one for one in situation.safety.blackouts if one.holds(situation.now)]
    if not holding:
        return None
    return (
        f"now is a blackout of gameday-safety.yaml: {'; '.join(map(str, holding))}; "
        "run after it, or have the file changed"
    )


BLACKOUT = Guard("blackout", "no blackout of the safety file holds now", _refusal)
