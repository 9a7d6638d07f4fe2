"""What a global cluster's nodes show of it by SQL: one file beside each node's topology.

`aurora_global_db_status()` and `aurora_global_db_instance_status()` (surface.sql) read it. The lag is
the stream's replay lag, measured on the primary's writer.
"""

from __future__ import annotations

from typing import Any

from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.aurora.core import AVAILABLE
from chaos.testcluster.worldwide.global_cluster import GlobalCluster

_PRIMARY_LAG = -1


def show(world: GlobalCluster) -> None:
    """Write the present state for all nodes of all members."""
    lags = _lags(world)
    content = {
        "regions": [
            {
                "region": member.core.spec.region,
                "is_primary": member is world.primary,
                "lag_ms": _PRIMARY_LAG if member is world.primary else lags.get(_head(member)),
            }
            for member in world.members
        ],
        "instances": [
            {
                "id": instance.id,
                "region": member.core.spec.region,
                "is_writer": member is world.primary and instance.id == member.core.writer,
                "lag_ms": None if member is world.primary else lags.get(_head(member)),
            }
            for member in world.members
            for instance in member.core.others()
            if instance.status == AVAILABLE
        ],
    }
    for member in world.members:
        for instance in member.core.others():
            instance.node.write_global_status(content)


def hide(cluster: Cluster) -> None:
    """Remove it from the nodes of a cluster that is no member any more."""
    for instance in cluster.core.others():
        instance.node.write_global_status({"regions": [], "instances": []})


def _head(cluster: Cluster) -> str:
    return cluster.core.writer or ""


def _lags(world: GlobalCluster) -> dict[str, Any]:
    """Return each streaming node's replay lag in ms, by the name it streams under."""
    source = world.source()
    if source is None or not world.secondaries:
        return {}
    row = source.ask(
        "SELECT coalesce(jsonb_object_agg(application_name,"
        " coalesce(extract(epoch FROM replay_lag) * 1000, 0)), '{}')"
        " FROM pg_stat_replication WHERE state = 'streaming'"
    )
    return dict(row[0]) if row is not None else {}
