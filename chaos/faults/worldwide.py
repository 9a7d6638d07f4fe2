"""Moving the primary of a global cluster: what switchover and failover have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import GLOBAL, Before, Context, Fault, effect_within
from chaos.model.topology import GlobalCluster, GlobalMember, Topology
from chaos.safety.undo import SwitchBack, Undo

ANY = "any secondary"


@dataclass(frozen=True, slots=True)
class Seen:
    """The global cluster before, and the secondary that is to be its primary."""

    world: GlobalCluster
    target: GlobalMember


class MovesPrimary(Fault):
    """Makes a secondary cluster the primary; the cluster of the run must be the primary before."""

    works_on: ClassVar[str] = GLOBAL
    expected_s: ClassVar[float] = 300.0

    target: str = Field(
        ANY, description="`any secondary`, or a secondary cluster's identifier or ARN."
    )
    effect_timeout_s: float = effect_within(900.0)

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name what is asked for; `see` holds it to the members that there are."""
        return (self.target,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Seen:
        """Find the secondary; refuse where there is none or the cluster is no primary."""
        world = context.rds.global_cluster()
        if world is None:
            raise GuardRefused(f"{self.fault}: {topology.cluster} is in no global cluster")
        if world.primary is None or world.primary.arn != topology.arn:
            primary = world.primary.arn if world.primary else "none now"
            raise GuardRefused(
                f"{self.fault}: {topology.cluster} is a secondary of {world.id}; run this on its "
                f"primary, which is {primary}"
            )
        if world.status != "available" or world.failing_over:
            raise GuardRefused(
                f"{self.fault}: {world.id} is {world.failing_over or world.status}; "
                "wait until it is available"
            )
        return Seen(world, _secondary(self.fault, self.target, world))

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Make the cluster the primary again."""
        world: GlobalCluster = before.seen.world
        return (SwitchBack(global_cluster=world.id, primary_arn=before.topology.arn),)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the new primary's ARN once the API names it and the old writer writes no more."""
        world = context.rds.global_cluster()
        new = world.primary if world else None
        if new is None or new.arn == before.topology.arn:
            return None
        return new.arn if self.writes_no_more(context, before) else None

    @abstractmethod
    def writes_no_more(self, context: Context, before: Before) -> bool:
        """Tell by SQL whether the old writer is one no more."""

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether the first cluster is the primary, and all of it is there."""
        world = context.rds.global_cluster()
        back = world and world.primary and world.primary.arn == before.first.arn
        return bool(back) and super().is_recovered(context, before)


def _secondary(fault: str, target: str, world: GlobalCluster) -> GlobalMember:
    """Return the secondary that a target means."""
    found = [
        member
        for member in world.secondaries
        if target in {ANY, member.arn} or member.arn.endswith(f":cluster:{target.lower()}")
    ]
    there = ", ".join(member.arn for member in world.secondaries) or "none"
    if not found:
        raise GuardRefused(
            f"{fault}: no secondary of {world.id} matches target {target!r}; there are {there}"
        )
    if len(found) > 1 and target != ANY:
        raise GuardRefused(
            f"{fault}: target {target!r} means several secondaries of {world.id}; "
            f"give the ARN of one: {there}"
        )
    return min(found, key=lambda member: member.arn)
