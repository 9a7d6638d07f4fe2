"""DB clusters: describing, changing and failing over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result, named_cluster, refuse
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.identifiers import bare
from chaos.testcluster.records import ApiError, ClusterRecord, ServerlessBounds


def describe_db_clusters(region: Region, parameters: Parameters) -> Result:
    """DescribeDBClusters."""
    wanted = parameters.get("DBClusterIdentifier")
    engines = [named_cluster(region, wanted)] if wanted is not None else region.clusters()
    found = matching(
        [engine.snapshot() for engine in engines],
        parameters.get("Filters", ()),
        {
            "clone-group-id": lambda _: (),
            "db-cluster-id": lambda c: (c.id, describe.cluster_arn(c)),
            "db-cluster-resource-id": lambda c: (c.resource_id,),
            "domain": lambda _: (),
            "engine": lambda c: (c.engine,),
        },
    )
    shown, marker = page([(c.id, describe.db_cluster(c)) for c in found], parameters)
    return {"DBClusters": shown, "Marker": marker}


def failover_db_cluster(region: Region, parameters: Parameters) -> Result:
    """FailoverDBCluster; the answer already shows `failing-over`."""
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
    target = parameters.get("TargetDBInstanceIdentifier")
    engine.failover(bare(target, "db") if target else None)
    return {"DBCluster": describe.db_cluster(engine.snapshot())}


def modify_db_cluster(region: Region, parameters: Parameters) -> Result:
    """ModifyDBCluster, of the Serverless v2 bounds alone."""
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
    accepted = {"DBClusterIdentifier", "ApplyImmediately", "ServerlessV2ScalingConfiguration"}
    refuse(set(parameters) - accepted, "ModifyDBCluster")
    scaling = parameters.get("ServerlessV2ScalingConfiguration")
    if not scaling:
        raise ApiError("InvalidParameterCombination", "No modifications were requested")
    engine.modify_cluster(serverless=_bounds(engine.snapshot(), scaling))
    return {"DBCluster": describe.db_cluster(engine.snapshot())}


ACTIONS: Mapping[str, Action] = {
    "DescribeDBClusters": describe_db_clusters,
    "FailoverDBCluster": failover_db_cluster,
    "ModifyDBCluster": modify_db_cluster,
}


def _bounds(cluster: ClusterRecord, scaling: Mapping[str, Any]) -> ServerlessBounds:
    """Return the bounds asked for; one that is not given stays as it is."""
    refuse(set(scaling) - {"MinCapacity", "MaxCapacity"}, "ServerlessV2ScalingConfiguration")
    before = cluster.serverless
    if before is None and len(scaling) < 2:  # noqa: PLR2004 - both of them
        raise ApiError(
            "InvalidParameterCombination",
            f"DBCluster {cluster.id} has no Serverless v2 capacity yet; set both MinCapacity and "
            "MaxCapacity.",
        )
    shown = {"MinCapacity": before.min_acu, "MaxCapacity": before.max_acu} if before else {}
    wanted = {**shown, **scaling}
    return ServerlessBounds(min_acu=wanted["MinCapacity"], max_acu=wanted["MaxCapacity"])
