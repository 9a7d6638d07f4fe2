"""DB instances: making, describing, rebooting and deleting them."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Engine, Region
from chaos.testcluster.api.lookup import (
    Action,
    Result,
    named_cluster,
    named_instance,
    refuse,
    tags_by_key,
)
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.identifiers import checked
from chaos.testcluster.records import ApiError, ClusterRecord, InstanceRecord, InstanceSpec

TIER_MAX = 15
TIER_DEFAULT = 1

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


def describe_db_instances(region: Region, parameters: Parameters) -> Result:
    """DescribeDBInstances."""
    wanted = parameters.get("DBInstanceIdentifier")
    pairs: list[tuple[ClusterRecord, InstanceRecord]]
    if wanted is not None:
        _, cluster, instance = named_instance(region, wanted)
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


def reboot_db_instance(region: Region, parameters: Parameters) -> Result:
    """RebootDBInstance; the answer already shows `rebooting`."""
    engine, _, instance = named_instance(region, parameters["DBInstanceIdentifier"])
    engine.reboot(instance.id, force_failover=parameters.get("ForceFailover", False))
    return _shown(engine, instance)


def create_db_instance(region: Region, parameters: Parameters) -> Result:
    """CreateDBInstance, of a member of a cluster."""
    if "DBClusterIdentifier" not in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "The test cluster offers only members of DB clusters; set DBClusterIdentifier.",
        )
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
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
            tags=tags_by_key(parameters.get("Tags", ())),
            settings={name: value for name, value in parameters.items() if name in kept},
        )
    )
    _, after, made = named_instance(region, instance)
    return {"DBInstance": describe.db_instance(after, made)}


def delete_db_instance(region: Region, parameters: Parameters) -> Result:
    """DeleteDBInstance; members of a cluster have no snapshots of their own."""
    engine, _, instance = named_instance(region, parameters["DBInstanceIdentifier"])
    if "FinalDBSnapshotIdentifier" in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier cannot be specified when deleting a cluster instance",
        )
    engine.delete_instance(instance.id)
    return _shown(engine, instance)


ACTIONS: Mapping[str, Action] = {
    "CreateDBInstance": create_db_instance,
    "DeleteDBInstance": delete_db_instance,
    "DescribeDBInstances": describe_db_instances,
    "RebootDBInstance": reboot_db_instance,
}


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
    refuse(
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
