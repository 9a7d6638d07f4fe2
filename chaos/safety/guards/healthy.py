"""A cluster that is not whole, or at which something is under way, is left alone."""

from __future__ import annotations

from chaos.safety.calls import Call
from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    topology = situation.topology
    reasons = []
    if not topology.all_available():
        members = ", ".join(f"{m.id} {m.status}" for m in topology.members) or "no instance"
        if topology.writer is None:
            members += ", no writer"
        reasons.append(f"it is {topology.status}, {members}")
    waiting = {topology.cluster: topology.pending} | {m.id: m.pending for m in topology.members}
    reasons += [
        f"{name} has pending changes ({', '.join(sorted(pending))})"
        for name, pending in waiting.items()
        if pending
    ]
    world = situation.rds.global_cluster() if topology.is_cluster else None
    if world is not None and (world.failing_over or world.status != "available"):
        reasons.append(f"global cluster {world.id} is {world.failing_over or world.status}")
    if not reasons:
        return None
    return (
        f"cluster {topology.cluster} is not healthy and quiet: {'; '.join(reasons)}; "
        "wait until everything is available and nothing is pending"
    )


HEALTHY = Guard(
    "healthy",
    "the cluster and every member are available, nothing is pending or switching over",
    _refusal,
    (Call("DescribeGlobalClusters"),),
)
