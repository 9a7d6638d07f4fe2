"""Change the Serverless v2 bounds with `ModifyDBCluster`; recovery restores them."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.base import SERVERLESS, Before, Context, Fault
from chaos.model.topology import Capacity, Topology
from chaos.safety.calls import Call
from chaos.safety.undo import SetCapacity, Undo


class ScaleCapacity(Fault):
    """Call `ModifyDBCluster` with new minimum and maximum ACU; the effect is the API showing them."""

    works_on: ClassVar[str] = SERVERLESS
    undoes: ClassVar[str] = "restores the bounds"
    asks_again: ClassVar[bool] = True

    fault: Literal["scale-capacity"] = "scale-capacity"
    min_acu: float = Field(ge=0, le=256, multiple_of=0.5, description="New minimum, in ACU.")
    max_acu: float = Field(ge=1, le=256, multiple_of=0.5, description="New maximum, in ACU.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_acu > self.max_acu:
            raise ValueError("min_acu must not be above max_acu")
        return self

    @property
    def _wanted(self) -> Capacity:
        return Capacity(min_acu=self.min_acu, max_acu=self.max_acu)

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the cluster; refuse one without Serverless v2 or already at these bounds."""
        if topology.capacity is None:
            raise GuardRefused(
                f"cluster {topology.cluster} has no Serverless v2 capacity; scale-capacity needs it"
            )
        if self._shown(topology):
            raise GuardRefused(
                f"cluster {topology.cluster} already scales between {self.min_acu:g} and "
                f"{self.max_acu:g} ACU; choose other bounds, or the fault has no effect"
            )
        return (topology.cluster,)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Restore the bounds."""
        bounds = before.topology.capacity
        assert bounds is not None
        return (
            SetCapacity(
                min_acu=bounds.min_acu,
                max_acu=bounds.max_acu,
                pause_after_s=bounds.pause_after_s,
                run_min_acu=self.min_acu,
                run_max_acu=self.max_acu,
            ),
        )

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one change."""
        return (Call("ModifyDBCluster"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the new bounds once."""
        context.rds.set_capacity(self._wanted)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the cluster once the API shows the new bounds."""
        return before.target if self._shown(context.rds.topology()) else None

    def _shown(self, topology: Topology) -> bool:
        now = topology.capacity
        return now is not None and (now.min_acu, now.max_acu) == (self.min_acu, self.max_acu)

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether the bounds and members are as they were."""
        same = context.rds.topology().capacity == before.first.capacity
        return same and super().is_recovered(context, before)
