"""The RDS operations that the test cluster offers, each a function of Region and parameters.

To offer one more, write the function and list it in `ACTIONS`. Messages are AWS's where they are
known; a member of a request that would have no effect here is refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Engine, Region
from chaos.testcluster.api.events import describe_events
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.identifiers import bare, checked, parse_arn
from chaos.testcluster.records import (
    ApiError,
    ClusterRecord,
    InstanceRecord,
    InstanceSpec,
    ServerlessBounds,
)

TIER_MAX = 15
TIER_DEFAULT = 1

Result = Mapping[str, Any]
Action = Callable[[Region, Parameters], Result]

_CLUSTER_LEVEL = {
    "AllocatedStorage": "storage",
    "BackupRetentionPeriod": "backup retention period",
    "DBName": "database name",
    "DeletionProtection": "deletion protection",
    "KmsKeyId": "encryption key",
    "MasterUserPassword": "master user password",
    "MasterUsername": "master user name",
    "Port": "database endpoint port",
    "PreferredBackupWindow": "backup window",
    "StorageEncrypted": "encryption",
}
_CREATE_READ = frozenset(
    {
        "AvailabilityZone",
        "DBClusterIdentifier",
        "DBInstanceClass",
        "DBInstanceIdentifier",
        "DBParameterGroupName",
        "Engine",
        "EngineVersion",
        "PromotionTier",
        "Tags",
    }
)


def describe_db_clusters(region: Region, parameters: Parameters) -> Result:
    """DescribeDBClusters."""
    wanted = parameters.get("DBClusterIdentifier")
    engines = [_cluster(region, wanted)] if wanted is not None else region.clusters()
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


def describe_db_instances(region: Region, parameters: Parameters) -> Result:
    """DescribeDBInstances."""
    wanted = parameters.get("DBInstanceIdentifier")
    pairs: list[tuple[ClusterRecord, InstanceRecord]]
    if wanted is not None:
        _, cluster, instance = _instance(region, wanted)
        pairs = [(cluster, instance)]
    else:
        clusters = [engine.snapshot() for engine in region.clusters()]
        pairs = [(cluster, instance) for cluster in clusters for instance in cluster.instances]
    found = matching(
        pairs,
        parameters.get("Filters", ()),
        {
            "db-cluster-id": lambda p: (p[0].id, describe.cluster_arn(p[0])),
            "db-instance-id": lambda p: (p[1].id, describe.instance_arn(p[0], p[1].id)),
            "dbi-resource-id": lambda p: (describe.db_instance(*p)["DbiResourceId"],),
            "domain": lambda _: (),
            "engine": lambda p: (p[0].engine,),
        },
    )
    shown, marker = page([(i.id, describe.db_instance(c, i)) for c, i in found], parameters)
    return {"DBInstances": shown, "Marker": marker}


def failover_db_cluster(region: Region, parameters: Parameters) -> Result:
    """FailoverDBCluster; the answer already shows `failing-over`."""
    engine = _cluster(region, parameters["DBClusterIdentifier"])
    target = parameters.get("TargetDBInstanceIdentifier")
    engine.failover(bare(target, "db") if target else None)
    return {"DBCluster": describe.db_cluster(engine.snapshot())}


def reboot_db_instance(region: Region, parameters: Parameters) -> Result:
    """RebootDBInstance; the answer already shows `rebooting`."""
    engine, _, instance = _instance(region, parameters["DBInstanceIdentifier"])
    engine.reboot(instance.id, force_failover=parameters.get("ForceFailover", False))
    return _shown(engine, instance)


def create_db_instance(region: Region, parameters: Parameters) -> Result:
    """CreateDBInstance, of a member of a cluster."""
    if "DBClusterIdentifier" not in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "The test cluster offers only members of DB clusters; set DBClusterIdentifier.",
        )
    engine = _cluster(region, parameters["DBClusterIdentifier"])
    _require_fits(engine.snapshot(), parameters)
    instance = checked(parameters["DBInstanceIdentifier"], "DBInstanceIdentifier")
    for other in region.clusters():
        if any(i.id == instance for i in other.snapshot().instances):
            raise ApiError("DBInstanceAlreadyExists", "DB instance already exists")
    kept = {"DBParameterGroupName", *describe.KEPT_SETTINGS}
    engine.create_instance(
        InstanceSpec(
            id=instance,
            instance_class=parameters["DBInstanceClass"],
            availability_zone=parameters.get("AvailabilityZone"),
            promotion_tier=parameters.get("PromotionTier", TIER_DEFAULT),
            tags=_tags(parameters.get("Tags", ())),
            settings={name: value for name, value in parameters.items() if name in kept},
        )
    )
    _, after, made = _instance(region, instance)
    return {"DBInstance": describe.db_instance(after, made)}


def delete_db_instance(region: Region, parameters: Parameters) -> Result:
    """DeleteDBInstance; members of a cluster have no snapshots of their own."""
    engine, _, instance = _instance(region, parameters["DBInstanceIdentifier"])
    if "FinalDBSnapshotIdentifier" in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier cannot be specified when deleting a cluster instance",
        )
    engine.delete_instance(instance.id)
    return _shown(engine, instance)


def modify_db_cluster(region: Region, parameters: Parameters) -> Result:
    """ModifyDBCluster, of the Serverless v2 bounds alone."""
    engine = _cluster(region, parameters["DBClusterIdentifier"])
    accepted = {"DBClusterIdentifier", "ApplyImmediately", "ServerlessV2ScalingConfiguration"}
    _refuse(set(parameters) - accepted, "ModifyDBCluster")
    scaling = parameters.get("ServerlessV2ScalingConfiguration")
    if not scaling:
        raise ApiError("InvalidParameterCombination", "No modifications were requested")
    engine.modify_cluster(serverless=_bounds(engine.snapshot(), scaling))
    return {"DBCluster": describe.db_cluster(engine.snapshot())}


def list_tags_for_resource(region: Region, parameters: Parameters) -> Result:
    """ListTagsForResource, of a cluster or an instance."""
    matching([], parameters.get("Filters", ()), {})
    engine, instance = _tagged(region, parameters["ResourceName"])
    return {"TagList": describe.tags((instance or engine.snapshot()).tags)}


def add_tags_to_resource(region: Region, parameters: Parameters) -> Result:
    """AddTagsToResource; a tag that is there already gets the new value."""
    engine, instance = _tagged(region, parameters["ResourceName"])
    engine.retag(instance.id if instance else None, add=_tags(parameters["Tags"]), remove=())
    return {}


def remove_tags_from_resource(region: Region, parameters: Parameters) -> Result:
    """RemoveTagsFromResource; a key that is not there is no error."""
    engine, instance = _tagged(region, parameters["ResourceName"])
    engine.retag(instance.id if instance else None, add={}, remove=parameters["TagKeys"])
    return {}


ACTIONS: Mapping[str, Action] = {
    "AddTagsToResource": add_tags_to_resource,
    "CreateDBInstance": create_db_instance,
    "DeleteDBInstance": delete_db_instance,
    "DescribeDBClusters": describe_db_clusters,
    "DescribeDBInstances": describe_db_instances,
    "DescribeEvents": describe_events,
    "FailoverDBCluster": failover_db_cluster,
    "ListTagsForResource": list_tags_for_resource,
    "ModifyDBCluster": modify_db_cluster,
    "RebootDBInstance": reboot_db_instance,
    "RemoveTagsFromResource": remove_tags_from_resource,
}


def _cluster(region: Region, name: str) -> Engine:
    """Return the cluster that an identifier or an ARN names."""
    return region.cluster(bare(name, "cluster"))


def _instance(region: Region, name: str) -> tuple[Engine, ClusterRecord, InstanceRecord]:
    """Return an instance, by identifier or ARN, with its cluster."""
    wanted = bare(name, "db")
    engine = region.cluster_of(wanted)
    cluster = engine.snapshot()
    for instance in cluster.instances:
        if instance.id == wanted:
            return engine, cluster, instance
    raise ApiError("DBInstanceNotFound", f"DBInstance {name} not found.")


def _shown(engine: Engine, before: InstanceRecord) -> Result:
    """Describe an instance after a command, or as it was if the command has removed it already."""
    cluster = engine.snapshot()
    now = next((i for i in cluster.instances if i.id == before.id), before)
    return {"DBInstance": describe.db_instance(cluster, now)}


def _require_fits(cluster: ClusterRecord, parameters: Parameters) -> None:
    """Refuse an instance that could not be a member of this cluster."""
    for member, what in _CLUSTER_LEVEL.items():
        if member in parameters:
            raise ApiError(
                "InvalidParameterCombination",
                "The requested DB Instance will be a member of a DB Cluster. "
                f"Set {what} for the DB Cluster.",
            )
    if parameters.get("MultiAZ"):
        raise ApiError(
            "InvalidParameterCombination",
            f"VPC Multi-AZ DB Instances are not available for engine: {cluster.engine}",
        )
    _refuse(
        set(parameters) - _CREATE_READ - set(describe.KEPT_SETTINGS) - {"MultiAZ"},
        "CreateDBInstance",
    )
    if parameters["Engine"] != cluster.engine:
        raise ApiError(
            "InvalidParameterCombination",
            f"The engine name requested for your DB instance ({parameters['Engine']}) doesn't "
            f"match the engine name of your DB cluster ({cluster.engine}).",
        )
    if parameters.get("EngineVersion", cluster.engine_version) != cluster.engine_version:
        raise ApiError(
            "InvalidParameterCombination",
            "The engine version that you requested for your DB instance "
            f"({parameters['EngineVersion']}) does not match the engine version of your DB cluster "
            f"({cluster.engine_version}).",
        )
    if not parameters["DBInstanceClass"].startswith("db."):
        raise ApiError(
            "InvalidParameterValue", f"Invalid DB Instance class: {parameters['DBInstanceClass']}"
        )
    tier = parameters.get("PromotionTier", TIER_DEFAULT)
    if not 0 <= tier <= TIER_MAX:
        raise ApiError(
            "InvalidParameterValue", f"Invalid promotion tier {tier}: it must be 0 to {TIER_MAX}."
        )
    zone = parameters.get("AvailabilityZone")
    if zone is not None and zone not in cluster.availability_zones:
        raise ApiError(
            "InvalidParameterValue",
            f"{zone} is not one of the cluster's Availability Zones "
            f"({', '.join(cluster.availability_zones)}).",
        )


def _refuse(members: set[str], operation: str) -> None:
    if members:
        raise ApiError(
            "InvalidParameterCombination",
            f"The test cluster does not offer {', '.join(sorted(members))} in {operation}.",
        )


def _bounds(cluster: ClusterRecord, scaling: Mapping[str, Any]) -> ServerlessBounds:
    """Return the bounds asked for; one that is not given stays as it is."""
    _refuse(set(scaling) - {"MinCapacity", "MaxCapacity"}, "ServerlessV2ScalingConfiguration")
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


def _tagged(region: Region, name: str) -> tuple[Engine, InstanceRecord | None]:
    """Return the cluster, and the instance where an ARN names one."""
    match parse_arn(name):
        case ("cluster", identifier):
            return _cluster(region, identifier), None
        case ("db", identifier):
            engine, _, instance = _instance(region, identifier)
            return engine, instance
    raise ApiError("InvalidParameterValue", f"Invalid resource name: {name}")


def _tags(given: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return tags by key; AWS takes one without a value as empty, and keeps `aws:` for itself."""
    for tag in given:
        if not tag.get("Key") or tag["Key"].lower().startswith("aws:"):
            raise ApiError(
                "InvalidParameterValue",
                f"{tag.get('Key', '')!r} cannot be a tag's key: it must not be empty, nor begin "
                "with 'aws:'.",
            )
    return {tag["Key"]: tag.get("Value", "") for tag in given}
