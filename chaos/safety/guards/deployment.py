"""A cluster of a blue/green deployment is left alone: replication and switchover need it as it is."""

from __future__ import annotations

from chaos.safety.calls import Call
from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation

_OVER = "SWITCHOVER_COMPLETED"


def _refusal(situation: Situation) -> str | None:
    running = [
        one for one in situation.account.deployments(situation.topology) if one.status != _OVER
    ]
    if not running:
        return None
    told = ", ".join(f"{one.name or one.id} ({one.status})" for one in running)
    return (
        f"cluster {situation.topology.cluster} is part of blue/green deployment {told}; "
        "wait until it is switched over or deleted"
    )


DEPLOYMENT = Guard(
    "deployment",
    "no blue/green deployment of the cluster is running",
    _refusal,
    (Call("DescribeBlueGreenDeployments"),),
)
