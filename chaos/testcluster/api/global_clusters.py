"""Global clusters: one primary cluster and its secondaries in other Regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.testcluster.api.describe import tags
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result, refuse, tags_by_key
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.aurora.core import FAILING_OVER
from chaos.testcluster.aurora.view import ENGINE
from chaos.testcluster.identifiers import arn, bare, checked
from chaos.testcluster.records import ACCOUNT, ApiError
from chaos.testcluster.worldwide.global_cluster import GlobalCluster, cluster_arn


def create_global_cluster(region: Region, parameters: Parameters) -> Result:
    """CreateGlobalCluster, of an existing cluster or of none."""
    accepted = {
        "GlobalClusterIdentifier",
        "SourceDBClusterIdentifier",
        "Engine",
        "EngineVersion",
        "DeletionProtection",
        "Tags",
    }
    refuse(set(parameters) - accepted, "CreateGlobalCluster")
    source = parameters.get("SourceDBClusterIdentifier")
    if source is None and "Engine" not in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "Specify either SourceDBClusterIdentifier or Engine.",
        )
    if source is not None and {"Engine", "EngineVersion"} & set(parameters):
        raise ApiError(
            "InvalidParameterCombination",
            "When creating global cluster from existing db cluster, value for Engine and "
            "EngineVersion should not be specified since they are taken from the source.",
        )
    if parameters.get("Engine", ENGINE) != ENGINE:
        raise ApiError("InvalidParameterValue", f"Invalid engine: {parameters['Engine']}")
    world = region.global_clusters.create(
        checked(parameters["GlobalClusterIdentifier"], "GlobalClusterIdentifier"),
        engine=ENGINE,
        source=source,
    )
    world.deletion_protection = parameters.get("DeletionProtection", False)
    world.tags = tags_by_key(parameters.get("Tags", ()))
    return _shown(world)


def describe_global_clusters(region: Region, parameters: Parameters) -> Result:
    """DescribeGlobalClusters; every Region shows them all."""
    wanted = parameters.get("GlobalClusterIdentifier")
    worlds = (
        region.global_clusters.all()
        if wanted is None
        else (region.global_clusters.get(bare(wanted, "global-cluster")),)
    )
    found = matching(
        worlds,
        parameters.get("Filters", ()),
        {
            "region": lambda w: (m.core.spec.region for m in w.members),
            "db-cluster-id": lambda w: (
                name for m in w.members for name in (m.core.spec.id, cluster_arn(m))
            ),
        },
    )
    shown, marker = page([(w.id, describe_global_cluster(w)) for w in found], parameters)
    return {"GlobalClusters": shown, "Marker": marker}


def modify_global_cluster(region: Region, parameters: Parameters) -> Result:
    """ModifyGlobalCluster: the identifier and the protection against deletion."""
    accepted = {"GlobalClusterIdentifier", "NewGlobalClusterIdentifier", "DeletionProtection"}
    refuse(set(parameters) - accepted, "ModifyGlobalCluster")
    new = parameters.get("NewGlobalClusterIdentifier")
    world = region.global_clusters.modify(
        _identifier(parameters),
        new_identifier=None if new is None else checked(new, "NewGlobalClusterIdentifier"),
        deletion_protection=parameters.get("DeletionProtection"),
    )
    return _shown(world)


def delete_global_cluster(region: Region, parameters: Parameters) -> Result:
    """DeleteGlobalCluster, of an empty one."""
    world = region.global_clusters.delete(_identifier(parameters))
    return {"GlobalCluster": {**describe_global_cluster(world), "Status": "deleting"}}


def switchover_global_cluster(region: Region, parameters: Parameters) -> Result:
    """SwitchoverGlobalCluster: another primary, without loss of data."""
    world = region.global_clusters.change_primary(
        _identifier(parameters), parameters["TargetDbClusterIdentifier"], allows_data_loss=False
    )
    return _shown(world)


def failover_global_cluster(region: Region, parameters: Parameters) -> Result:
    """FailoverGlobalCluster: with AllowDataLoss a failover, else a switchover."""
    lossy, switchover = parameters.get("AllowDataLoss", False), parameters.get("Switchover", False)
    if lossy and switchover:
        raise ApiError(
            "InvalidParameterCombination",
            "AllowDataLoss and Switchover cannot both be specified.",
        )
    world = region.global_clusters.change_primary(
        _identifier(parameters), parameters["TargetDbClusterIdentifier"], allows_data_loss=lossy
    )
    return _shown(world)


def remove_from_global_cluster(region: Region, parameters: Parameters) -> Result:
    """RemoveFromGlobalCluster: a secondary is promoted to a cluster by itself."""
    return _shown(
        region.global_clusters.remove(_identifier(parameters), parameters["DbClusterIdentifier"])
    )


ACTIONS: Mapping[str, Action] = {
    "CreateGlobalCluster": create_global_cluster,
    "DeleteGlobalCluster": delete_global_cluster,
    "DescribeGlobalClusters": describe_global_clusters,
    "FailoverGlobalCluster": failover_global_cluster,
    "ModifyGlobalCluster": modify_global_cluster,
    "RemoveFromGlobalCluster": remove_from_global_cluster,
    "SwitchoverGlobalCluster": switchover_global_cluster,
}


def describe_global_cluster(world: GlobalCluster) -> dict[str, Any]:
    """Return the `GlobalCluster` of the API."""
    primary, exchange = world.primary, world.exchange
    return {
        "GlobalClusterIdentifier": world.id,
        "GlobalClusterResourceId": world.resource_id,
        "GlobalClusterArn": arn("", ACCOUNT, "global-cluster", world.id),
        "Status": world.status,
        "Engine": world.engine,
        "EngineVersion": primary.snapshot().engine_version if primary else None,
        "EngineLifecycleSupport": "open-source-rds-extended-support",
        "DatabaseName": primary.snapshot().database if primary else None,
        "StorageEncrypted": False,
        "DeletionProtection": world.deletion_protection,
        "Endpoint": world.endpoint,
        "GlobalClusterMembers": [
            {
                "DBClusterArn": cluster_arn(member),
                "Readers": (
                    [cluster_arn(other) for other in world.secondaries] if member is primary else []
                ),
                "IsWriter": member is primary,
                "GlobalWriteForwardingStatus": "disabled",
                "SynchronizationStatus": (
                    "pending-resync" if member in world.resynchronizing else "connected"
                ),
            }
            for member in world.members
        ],
        "FailoverState": (
            {
                "Status": FAILING_OVER,
                "FromDbClusterArn": cluster_arn(exchange.old),
                "ToDbClusterArn": cluster_arn(exchange.new),
                "IsDataLossAllowed": exchange.allows_data_loss,
            }
            if exchange
            else None
        ),
        "TagList": tags(world.tags),
    }


def _identifier(parameters: Parameters) -> str:
    return bare(parameters["GlobalClusterIdentifier"], "global-cluster")


def _shown(world: GlobalCluster) -> Result:
    return {"GlobalCluster": describe_global_cluster(world)}
