"""DB clusters: describing, changing and failing over."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result, named_cluster, refuse
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.identifiers import bare
from chaos.testcluster.records import ApiError
from chaos.testcluster.serverless.bounds import completed


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
    cluster = engine.snapshot()
    engine.modify_cluster(serverless=completed(cluster.serverless, scaling, cluster.id))
    return {"DBCluster": describe.db_cluster(engine.snapshot())}


ACTIONS: Mapping[str, Action] = {
    "DescribeDBClusters": describe_db_clusters,
    "FailoverDBCluster": failover_db_cluster,
    "ModifyDBCluster": modify_db_cluster,
}
