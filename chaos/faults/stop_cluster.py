"""Stop the whole cluster with `StopDBCluster`; recovery starts it."""

from __future__ import annotations

from typing import ClassVar, Literal

from chaos.errors import DatabaseError, GuardRefused
from chaos.faults.base import Before, Context, Fault, effect_within, recovered_within
from chaos.model.topology import Topology
from chaos.safety.calls import Call
from chaos.safety.undo import StartCluster, Undo


class StopCluster(Fault):
    """Call `StopDBCluster`; the effect is that it is stopped and its endpoint refuses.

    Aurora starts a stopped cluster by itself after seven days.
    """

    undoes: ClassVar[str] = "starts the cluster"
    expected_s: ClassVar[float] = 1200.0

    fault: Literal["stop-cluster"] = "stop-cluster"
    effect_timeout_s: float = effect_within(1800.0)
    recovery_timeout_s: float = recovered_within(1800.0)

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the cluster; refuse one that does not run, and an instance in no cluster."""
        if not topology.is_cluster:
            raise GuardRefused(f"stop-cluster: {topology.cluster} is an instance in no cluster")
        if topology.status != "available":
            raise GuardRefused(
                f"stop-cluster: {topology.cluster} is {topology.status}; it must be available"
            )
        return (topology.cluster,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> None:
        """Refuse a member of a global cluster, which the service does not stop."""
        if world := context.rds.global_cluster():
            raise GuardRefused(
                f"stop-cluster: {topology.cluster} is a member of global cluster {world.id}, "
                "which cannot be stopped; use another cluster"
            )

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Start it."""
        return (StartCluster(),)

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one stop."""
        return (Call("StopDBCluster"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the stop once."""
        context.rds.stop_cluster()

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the cluster once it is stopped and nobody answers on its endpoint."""
        if context.rds.topology().status != "stopped":
            return None
        try:
            context.database.identify("cluster")
        except DatabaseError:
            return before.target
        return None
