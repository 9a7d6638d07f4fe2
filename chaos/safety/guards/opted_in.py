"""Only a cluster whose owner has said so is disturbed."""

from __future__ import annotations

from chaos.safety.calls import Call
from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation

OPT_IN_TAG = "gameday"
OPT_IN_VALUE = "allowed"


def _refusal(situation: Situation) -> str | None:
    topology = situation.topology
    if topology.tags.get(OPT_IN_TAG) == OPT_IN_VALUE:
        return None
    return (
        f"cluster {topology.cluster} is not opted in; if disturbing it is allowed, tag it: "
        f"aws rds add-tags-to-resource --resource-name {topology.arn} "
        f"--tags Key={OPT_IN_TAG},Value={OPT_IN_VALUE}"
    )


OPTED_IN = Guard(
    "opted-in",
    f"the cluster bears the tag {OPT_IN_TAG}={OPT_IN_VALUE}",
    _refusal,
    (Call("DescribeDBClusters"), Call("DescribeDBInstances")),
)
