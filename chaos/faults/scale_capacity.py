"""Change the Serverless v2 bounds with `ModifyDBCluster`; recovery restores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.acu import READS, Minute, newest_minute
from chaos.faults.base import SERVERLESS, Before, Context, Fault, effect_within
from chaos.model.serverless import (
    ACU_MAX,
    PAUSE_AFTER_MAX_S,
    PAUSE_AFTER_MIN_S,
    STEP_ACU,
    refusal,
    serverless_members,
)
from chaos.model.topology import Capacity, Topology
from chaos.safety.calls import Call
from chaos.safety.undo import SetCapacity, Undo


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


class ScaleCapacity(Fault, Bounds):
    """Call `ModifyDBCluster` with new minimum and maximum ACU.

    The effect is the API showing them and, by CloudWatch, every instance's capacity within them.
    """

    works_on: ClassVar[str] = SERVERLESS
    reads: ClassVar[tuple[Call, ...]] = READS
    undoes: ClassVar[str] = "restores the bounds"
    asks_again: ClassVar[bool] = True
    looks_every_s: ClassVar[float] = 1.0

    fault: Literal["scale-capacity"] = "scale-capacity"
    pause_after_s: int | None = Field(
        None,
        ge=PAUSE_AFTER_MIN_S,
        le=PAUSE_AFTER_MAX_S,
        description="Idle seconds before an instance pauses; only with a minimum of 0.",
    )
    effect_timeout_s: float = effect_within(300.0)

    @model_validator(mode="after")
    def _pauses(self) -> Self:
        if self.pause_after_s is not None and self.min_acu > 0:
            raise ValueError("pause_after_s needs min_acu: 0, or nothing ever pauses")
        return self

    @property
    def wanted(self) -> Capacity:
        """The bounds that are requested."""
        return Capacity(
            min_acu=self.min_acu, max_acu=self.max_acu, pause_after_s=self.pause_after_s
        )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the cluster; refuse one that cannot have these bounds, or has them already."""
        why = refusal(topology, self.wanted)
        if why is None and shown(topology, self.wanted):
            why = (
                f"cluster {topology.cluster} already scales between {self.min_acu:g} and "
                f"{self.max_acu:g} ACU; choose other bounds, or the fault has no effect"
            )
        if why:
            raise GuardRefused(f"{self.fault}: {why}")
        return (topology.cluster,)

    def see(
        self, context: Context, topology: Topology, targets: tuple[str, ...]
    ) -> Mapping[str, Minute]:
        """Read the capacities of before."""
        return newest_minute(context.rds)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Restore the bounds."""
        return (restoring(before, self.wanted),)

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one change."""
        return (Call("ModifyDBCluster"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the new bounds once."""
        context.rds.set_capacity(self.wanted)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the cluster once the API shows the new bounds and every capacity is within them."""
        now = context.rds.topology()
        if not shown(now, self.wanted) or outside(context, before, now, self.wanted):
            return None
        return before.target

    def forgotten(self, context: Context, before: Before) -> bool:
        """Tell whether the bounds do not even show."""
        return not shown(context.rds.topology(), self.wanted) and super().forgotten(context, before)

    def why_none(self, context: Context, before: Before) -> str:
        """Tell the bounds that show, and which capacity is outside of the new ones."""
        return why_not(context, before, self.wanted)

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
