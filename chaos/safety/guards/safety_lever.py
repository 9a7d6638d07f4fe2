"""While the account's FIS safety lever is engaged, nobody injects faults, and neither do we."""

from __future__ import annotations

from chaos.safety.calls import Call
from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    if situation.safety.fis_safety_lever == "ignore":
        return None
    lever = situation.account.safety_lever()
    if lever.is_disengaged:
        return None
    because = f" ({lever.reason})" if lever.reason else ""
    return (
        f"the FIS safety lever of {situation.rds.region} is {lever.status}{because}; "
        "who engaged it must disengage it first"
    )


SAFETY_LEVER = Guard(
    "safety-lever",
    "the FIS safety lever of the Region is not engaged",
    _refusal,
    (Call("GetSafetyLever", service="fis"),),
)
