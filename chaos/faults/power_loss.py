"""Cut the power of an instance, or of an Availability Zone: silence, no FIN, no RST."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context
from chaos.faults.disturbance import OfInstance
from chaos.faults.sight import is_silent
from chaos.faults.targets import select
from chaos.model.topology import Topology


class PowerLoss(OfInstance):
    """No packet of an instance, or of every instance of a zone, is answered until recovery.

    The cluster fails over where the writer is gone. The effect is that none of them answers SQL.
    """

    expected_s: ClassVar[float] = 60.0

    fault: Literal["power-loss"] = "power-loss"
    target: str | None = Field(  # type: ignore[assignment]
        None, description="`writer`, `any reader`, `reader:tier=N` or an identifier; or `zone`."
    )
    zone: str | None = Field(
        None, description="Instead of one instance: an Availability Zone, such as eu-west-1a."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.target is None) == (self.zone is None):
            raise ValueError("name either a target or a zone")
        return self

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance, or those of the zone."""
        if self.target is not None:
            return (select(self.target, topology).id,)
        struck = tuple(m.id for m in topology.members if m.availability_zone == self.zone)
        if not struck:
            zones = ", ".join(sorted({m.availability_zone for m in topology.members}))
            raise GuardRefused(
                f"power-loss: no instance of {topology.cluster} is in zone {self.zone}; "
                f"its zones are {zones}"
            )
        if len(struck) == len(topology.members):
            raise GuardRefused(
                f"power-loss: every instance of {topology.cluster} is in zone {self.zone}, so "
                "nothing would serve; put a reader into another zone"
            )
        return struck

    def parameters(self, before: Before) -> dict[str, Any]:
        """Name the zone, or the instance."""
        return {"zone": self.zone} if self.zone else {"instance": before.target}

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the targets once none of them answers SQL."""
        gone = all(is_silent(context, target) for target in before.targets)
        return before.target if gone else None
