"""DB clusters: making, describing, changing, stopping, failing over and deleting them."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.testcluster.api import cluster_requests, describe
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result, named_cluster
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.identifiers import bare
from chaos.testcluster.records import ApiError, ClusterRecord


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


def create_db_cluster(region: Region, parameters: Parameters) -> Result:
    """CreateDBCluster; it has no instances, and its endpoints lead nowhere, until one is made."""
    place = {"region": region.name, "version": region.engine_version}
    wanted = parameters.get("GlobalClusterIdentifier")
    if wanted is None:
        spec, password = cluster_requests.new_cluster(parameters, **place)
        return _shown(region.create_cluster(spec, password).snapshot())
    world = region.global_clusters.require_joinable(bare(wanted, "global-cluster"), region.name)
    own = {name: value for name, value in parameters.items() if name != "GlobalClusterIdentifier"}
    if world.primary is None:
        spec, password = cluster_requests.new_cluster(own, **place)
    else:
        spec, password = cluster_requests.secondary_cluster(own, world.primary.core, **place)
    return _shown(region.create_cluster(spec, password, world=world).snapshot())


def modify_db_cluster(region: Region, parameters: Parameters) -> Result:
    """ModifyDBCluster; a request for what is already so changes nothing."""
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
    if "Port" in parameters:
        _require_no_member(region, engine.snapshot().id)  # Its members stream to one port.
    if not set(parameters) - {"DBClusterIdentifier", "ApplyImmediately"}:
        raise ApiError("InvalidParameterCombination", "No modifications were requested")
    engine.modify(cluster_requests.changes(engine.snapshot(), parameters))
    return _shown(engine.snapshot())


def delete_db_cluster(region: Region, parameters: Parameters) -> Result:
    """DeleteDBCluster; the test cluster takes no snapshots, so it has to be told to skip one."""
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
    skips = parameters.get("SkipFinalSnapshot", False)
    if skips and "FinalDBSnapshotIdentifier" in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "You cannot specify both FinalDBSnapshotIdentifier and SkipFinalSnapshot",
        )
    before = engine.snapshot()
    _require_no_member(region, before.id)
    if not skips and "FinalDBSnapshotIdentifier" not in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
        )
    if not skips:
        raise ApiError(
            "InvalidParameterCombination",
            "The test cluster takes no snapshots; set SkipFinalSnapshot.",
        )
    region.delete_cluster(before.id)
    return _shown(engine.snapshot())


def start_db_cluster(region: Region, parameters: Parameters) -> Result:
    """StartDBCluster, of a stopped one."""
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
    engine.start()
    return _shown(engine.snapshot())


def stop_db_cluster(region: Region, parameters: Parameters) -> Result:
    """StopDBCluster; it stays stopped until it is started (AWS starts it after 7 days)."""
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
    _require_no_member(region, engine.snapshot().id)
    engine.stop()
    return _shown(engine.snapshot())


def failover_db_cluster(region: Region, parameters: Parameters) -> Result:
    """FailoverDBCluster; the answer already shows `failing-over`."""
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
    target = parameters.get("TargetDBInstanceIdentifier")
    engine.failover(bare(target, "db") if target else None)
    return _shown(engine.snapshot())


def reboot_db_cluster(region: Region, parameters: Parameters) -> Result:
    """RebootDBCluster, which is for Multi-AZ DB clusters that are not Aurora."""
    raise _not_aurora(
        region, parameters, "cannot be rebooted as a whole; reboot its DB instances instead"
    )


def backtrack_db_cluster(region: Region, parameters: Parameters) -> Result:
    """BacktrackDBCluster, which is Aurora MySQL's."""
    raise _not_aurora(region, parameters, "cannot be backtracked")


def promote_read_replica_db_cluster(region: Region, parameters: Parameters) -> Result:
    """PromoteReadReplicaDBCluster, of which there are none."""
    raise _not_aurora(region, parameters, "is not a read replica")


def modify_current_db_cluster_capacity(region: Region, parameters: Parameters) -> Result:
    """ModifyCurrentDBClusterCapacity, which is Aurora Serverless v1's."""
    raise _not_aurora(
        region,
        parameters,
        "is not an Aurora Serverless v1 DB cluster; use ModifyDBCluster with "
        "ServerlessV2ScalingConfiguration",
    )


ACTIONS: Mapping[str, Action] = {
    "BacktrackDBCluster": backtrack_db_cluster,
    "CreateDBCluster": create_db_cluster,
    "DeleteDBCluster": delete_db_cluster,
    "DescribeDBClusters": describe_db_clusters,
    "FailoverDBCluster": failover_db_cluster,
    "ModifyCurrentDBClusterCapacity": modify_current_db_cluster_capacity,
    "ModifyDBCluster": modify_db_cluster,
    "PromoteReadReplicaDBCluster": promote_read_replica_db_cluster,
    "RebootDBCluster": reboot_db_cluster,
    "StartDBCluster": start_db_cluster,
    "StopDBCluster": stop_db_cluster,
}


def _require_no_member(region: Region, identifier: str) -> None:
    if region.global_clusters.member(region.name, identifier) is not None:
        raise ApiError(
            "InvalidDBClusterStateFault",
            "This cluster is a part of a global cluster, please remove it from globalcluster first",
        )


def _shown(cluster: ClusterRecord) -> Result:
    return {"DBCluster": describe.db_cluster(cluster)}


def _not_aurora(region: Region, parameters: Parameters, why: str) -> ApiError:
    """Return the refusal of what no Aurora PostgreSQL cluster can do; of an unknown one, that."""
    cluster = named_cluster(region, parameters["DBClusterIdentifier"]).snapshot()
    return ApiError(
        "InvalidDBClusterStateFault", f"The {cluster.engine} DB cluster {cluster.id} {why}."
    )
