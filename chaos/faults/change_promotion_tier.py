"""Give an instance another promotion tier with `ModifyDBInstance`: who is promoted next changes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context, Fault
from chaos.faults.targets import ONE, TIER_MAX, select
from chaos.model.topology import Topology
from chaos.safety.calls import Call
from chaos.safety.undo import SetInstance, Undo

_SETTING = "PromotionTier"


class ChangePromotionTier(Fault):
    """Call `ModifyDBInstance` with another promotion tier; the effect is that the API shows it.

    Nothing restarts. Within its hold, a failover promotes the reader of the lowest tier.
    """

    undoes: ClassVar[str] = "gives it back its tier"
    asks_again: ClassVar[bool] = True

    fault: Literal["change-promotion-tier"] = "change-promotion-tier"
    target: str = Field("any reader", description=ONE)
    tier: int = Field(
        ge=0, le=TIER_MAX, description="The tier that it gets; the lowest is promoted first."
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance; refuse one that is in the tier already."""
        member = select(self.target, topology)
        if not topology.is_cluster:
            raise GuardRefused(
                f"change-promotion-tier: {member.id} is in no cluster, so it has no tier"
            )
        if member.promotion_tier == self.tier:
            raise GuardRefused(
                f"change-promotion-tier: {member.id} is in tier {self.tier} already; "
                "choose another, or the fault has no effect"
            )
        return (member.id,)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Give it back its tier."""
        member = before.topology.member(before.target)
        assert member is not None, "resolve"
        return (
            SetInstance(
                instance=member.id,
                setting=_SETTING,
                value=member.promotion_tier,
                run_value=self.tier,
            ),
        )

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one change."""
        return (Call("ModifyDBInstance"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the tier once."""
        context.rds.modify_instance(before.target, {_SETTING: self.tier})

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once the API shows the tier."""
        member = context.rds.topology().member(before.target)
        return before.target if member is not None and member.promotion_tier == self.tier else None
