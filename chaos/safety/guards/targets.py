"""Every fault of the method finds what it disturbs, as it must be."""

from __future__ import annotations

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    told = [f"step {aim.step}: {aim.refusal}" for aim in situation.aims if aim.refusal]
    if situation.at_once:
        told.append(situation.at_once)
    return "; ".join(told) or None


TARGETS = Guard(
    "targets", "every fault of the method finds its target and can disturb it", _refusal
)
