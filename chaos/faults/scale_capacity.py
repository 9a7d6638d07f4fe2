"""Change the Serverless v2 bounds with `ModifyDBCluster`; recovery restores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.acu import READS, Minute, newest_minute
from chaos.faults.base import Before, Context, effect_within
from chaos.faults.of_capacity import Bounds, OfCapacity, outside, restoring, shown, why_not
from chaos.model.serverless import PAUSE_AFTER_MAX_S, PAUSE_AFTER_MIN_S, refusal
from chaos.model.topology import Capacity, Topology
from chaos.safety.calls import Call
from chaos.safety.undo import Undo


class ScaleCapacity(OfCapacity, Bounds):
    """Call `ModifyDBCluster` with new minimum and maximum ACU.

    The effect is the API showing them and, by CloudWatch, every instance's capacity within them.
    """

    reads: ClassVar[tuple[Call, ...]] = READS
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
