"""Serverless v2 bounds that a fault changes: what the faults of capacity have in common."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chaos.faults.acu import newest_minute
from chaos.faults.base import SERVERLESS, Before, Context, Fault
from chaos.model.serverless import ACU_MAX, STEP_ACU, serverless_members
from chaos.model.topology import Capacity, Topology
from chaos.safety.undo import SetCapacity


class Bounds(BaseModel):
    """Serverless v2 bounds as a step spells them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_acu: float = Field(
        ge=0, le=ACU_MAX, multiple_of=STEP_ACU, description="Minimum, in ACU; 0 lets it pause."
    )
    max_acu: float = Field(ge=1, le=ACU_MAX, multiple_of=STEP_ACU, description="Maximum, in ACU.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_acu > self.max_acu:
            raise ValueError("min_acu must not be above max_acu")
        return self


class OfCapacity(Fault):
    """A fault that changes the bounds; recovery restores them."""

    works_on: ClassVar[str] = SERVERLESS
    undoes: ClassVar[str] = "restores the bounds"
    asks_again: ClassVar[bool] = True

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether the bounds and members are as they were."""
        same = context.rds.topology().capacity == before.topology.capacity
        return same and super().is_recovered(context, before)


def restoring(before: Before, wanted: Capacity, *later: Bounds) -> SetCapacity:
    """Return the inverse of setting `wanted`, and then others one after the other."""
    first = before.topology.capacity
    assert first is not None, "resolve"
    return SetCapacity(
        min_acu=first.min_acu,
        max_acu=first.max_acu,
        pause_after_s=first.pause_after_s,
        run_min_acu=wanted.min_acu,
        run_max_acu=wanted.max_acu,
        run_later=tuple((bounds.min_acu, bounds.max_acu) for bounds in later),
    )


def shown(topology: Topology, wanted: Capacity) -> bool:
    """Tell whether the API shows these bounds, and the idle time where that is asked for."""
    now = topology.capacity
    return (
        now is not None
        and (now.min_acu, now.max_acu) == (wanted.min_acu, wanted.max_acu)
        and wanted.pause_after_s in {None, now.pause_after_s}
    )


def outside(context: Context, before: Before, now: Topology, wanted: Capacity) -> list[str]:
    """Return, as clauses, the instances not known to have come within the bounds."""
    minutes = newest_minute(context.rds)
    found = []
    for member in serverless_members(now):
        minute, old = minutes.get(member.id), before.seen.get(member.id)
        if minute is None:
            found.append(f"CloudWatch has no ServerlessDatabaseCapacity of {member.id}")
        elif not (
            minute.came_down_to(wanted.max_acu, old) and minute.came_up_to(wanted.min_acu, old)
        ):
            found.append(f"CloudWatch shows {member.id} at {minute}")
    return found


def why_not(context: Context, before: Before, wanted: Capacity) -> str:
    """Tell why bounds that were requested are not in effect."""
    now = context.rds.topology()
    if now.capacity is not None and not shown(now, wanted):
        return f"the API shows {now.capacity.min_acu:g} to {now.capacity.max_acu:g} ACU"
    return "; ".join(outside(context, before, now, wanted))
