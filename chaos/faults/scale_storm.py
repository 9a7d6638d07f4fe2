"""Change the Serverless v2 bounds again and again, faster than the capacity follows; then restore them.

One injection and one undo record: it holds the first bounds, and knows each of the series as ours.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context, Fault
from chaos.faults.of_capacity import Bounds, OfCapacity, restoring, shown, why_not
from chaos.model.serverless import refusal
from chaos.model.topology import Capacity, Topology
from chaos.safety.calls import Call
from chaos.safety.undo import Undo


class Gust(Bounds):
    """One change of a storm."""

    hold_s: float = Field(
        0.0, ge=0, le=86_400, description="Seconds from when the API shows it to the next change."
    )

    @property
    def wanted(self) -> Capacity:
        """The bounds that are requested."""
        return Capacity(min_acu=self.min_acu, max_acu=self.max_acu)


class ScaleStorm(OfCapacity):
    """Call `ModifyDBCluster` with one pair of bounds after the other.

    The effect is that the API shows each; whether the capacity follows is not waited for.
    """

    undoes: ClassVar[str] = "restores the first bounds"

    fault: Literal["scale-storm"] = "scale-storm"
    series: tuple[Gust, ...] = Field(
        min_length=2,
        max_length=100,
        description="Bounds in their order: a list of `{min_acu, max_acu, hold_s}`.",
    )

    @model_validator(mode="after")
    def _changes(self) -> Self:
        for number, (one, other) in enumerate(pairwise(self.series), 2):
            if one.wanted == other.wanted:
                raise ValueError(f"entry {number} of series has the bounds of the one before it")
        return self

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the cluster; refuse one that cannot have one of these bounds, or begins with them."""
        for gust in self.series:
            if why := refusal(topology, gust.wanted):
                raise GuardRefused(f"{self.fault}: {why}")
        if shown(topology, self.series[0].wanted):
            raise GuardRefused(
                f"{self.fault}: cluster {topology.cluster} has the first bounds of series already"
            )
        return (topology.cluster,)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Restore the bounds of before, whichever of the series is in force by then."""
        first, *later = self.series
        return (restoring(before, first.wanted, *later),)

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one change an entry."""
        return (Call("ModifyDBCluster", len(self.series)),)

    def stages(self) -> tuple[Fault, ...]:
        """Return a storm of one change for each entry."""
        return tuple(
            self.model_copy(update={"series": (gust,), "hold_s": gust.hold_s})
            for gust in self.series
        )

    def inject(self, context: Context, before: Before) -> None:
        """Request the bounds of this stage."""
        context.rds.set_capacity(self.series[0].wanted)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the cluster once the API shows the bounds of this stage."""
        return before.target if shown(context.rds.topology(), self.series[0].wanted) else None

    def why_none(self, context: Context, before: Before) -> str:
        """Tell the bounds that show instead."""
        return why_not(context, before, self.series[0].wanted)
