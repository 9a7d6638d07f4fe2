"""Lose a share of the packets on their way to an instance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.errors import DatabaseError
from chaos.faults.base import Before, Context
from chaos.faults.disturbance import OfInstance
from chaos.faults.sight import READ, is_silent, trips


class PacketLoss(OfInstance):
    """Packets to an instance are lost; those that it sends arrive.

    The effect is that our own kernel had to send something again, or that nothing is answered.
    """

    fault: Literal["packet-loss"] = "packet-loss"
    percent: float = Field(gt=0, le=100, description="Share of the packets that is lost.")

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once a packet to it was lost."""
        try:
            lost = trips(context, before.target, READ).sent_again > 0
        except DatabaseError:
            lost = is_silent(context, before.target)
        return before.target if lost else None
