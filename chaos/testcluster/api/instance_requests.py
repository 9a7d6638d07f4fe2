"""What CreateDBInstance and ModifyDBInstance may ask for of a cluster's member, in AWS's words."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.model.serverless import SERVERLESS_CLASS
from chaos.testcluster.api import describe
from chaos.testcluster.api.lookup import refuse, tags_by_key
from chaos.testcluster.api.selection import Parameters
from chaos.testcluster.identifiers import checked
from chaos.testcluster.records import (
    ApiError,
    ClusterRecord,
    InstanceChanges,
    InstanceRecord,
    InstanceSpec,
)

TIER_MAX = 15
TIER_DEFAULT = 1

# Members that are the cluster's to have, as AWS calls them in its refusals.
_CREATE_CLUSTER_LEVEL = {
    "AllocatedStorage": "storage",
    "BackupRetentionPeriod": "backup retention period",
    "DBName": "database name",
    "DeletionProtection": "deletion protection",
    "EnableIAMDatabaseAuthentication": "IAM database authentication",
    "KmsKeyId": "encryption key",
    "MasterUserPassword": "master user password",
    "MasterUsername": "master user name",
    "Port": "database endpoint port",
    "PreferredBackupWindow": "backup window",
    "StorageEncrypted": "encryption",
    "VpcSecurityGroupIds": "vpc security group",
}
_MODIFY_CLUSTER_LEVEL = {
    "BackupRetentionPeriod": "backup retention",
    "DBPortNumber": "database endpoint port number",
    "DeletionProtection": "deletion protection",
    "EnableIAMDatabaseAuthentication": "IAM database authentication",
    "EngineVersion": "the DB engine version",
    "MasterUserPassword": "master user password",
    "PreferredBackupWindow": "backup window",
    "StorageType": "storage type",
    "VpcSecurityGroupIds": "vpc security group",
}
_KEPT = {"DBParameterGroupName", *describe.KEPT_SETTINGS}
_CREATE = {
    "AvailabilityZone",
    "DBClusterIdentifier",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBSubnetGroupName",
    "Engine",
    "EngineVersion",
    "MultiAZ",
    "PromotionTier",
    "Tags",
}
_MODIFY = {
    "ApplyImmediately",
    "CertificateRotationRestart",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "MultiAZ",
    "NewDBInstanceIdentifier",
    "PromotionTier",
}


def new_member(cluster: ClusterRecord, parameters: Parameters) -> InstanceSpec:
    """Return the instance that CreateDBInstance asks for.

    Raises:
        ApiError: it could not be a member of this cluster, or the test cluster does not offer it.
    """
    for member, what in _CREATE_CLUSTER_LEVEL.items():
        if member in parameters:
            raise ApiError(
                "InvalidParameterCombination",
                "The requested DB Instance will be a member of a DB Cluster. "
                f"Set {what} for the DB Cluster.",
            )
    _require_possible(cluster, parameters)
    refuse(set(parameters) - _CREATE - _KEPT, "CreateDBInstance")
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
    zone = parameters.get("AvailabilityZone")
    if zone is not None and zone not in cluster.availability_zones:
        raise ApiError(
            "InvalidParameterValue",
            f"{zone} is not one of the cluster's Availability Zones "
            f"({', '.join(cluster.availability_zones)}).",
        )
    return InstanceSpec(
        id=checked(parameters["DBInstanceIdentifier"], "DBInstanceIdentifier"),
        instance_class=parameters["DBInstanceClass"],
        availability_zone=zone,
        promotion_tier=parameters.get("PromotionTier", TIER_DEFAULT),
        tags=tags_by_key(parameters.get("Tags", ())),
        settings=_settings(parameters),
    )


def changes(
    cluster: ClusterRecord, instance: InstanceRecord, parameters: Parameters
) -> InstanceChanges:
    """Return what ModifyDBInstance asks for.

    Raises:
        ApiError: as AWS refuses it of a cluster's member, or the test cluster does not offer it.
    """
    for member, what in _MODIFY_CLUSTER_LEVEL.items():
        if member in parameters:
            raise ApiError(
                "InvalidParameterCombination",
                "The specified DB Instance is a member of a cluster. "
                f"Modify {what} for the DB Cluster using the ModifyDbCluster API",
            )
    if "AllocatedStorage" in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "The specified DB instance is a member of a DB Cluster. Storage grows based on usage. "
            "You don't need to set it explicitly.",
        )
    _require_possible(cluster, parameters)
    refuse(set(parameters) - _MODIFY - _KEPT, "ModifyDBInstance")
    new = parameters.get("NewDBInstanceIdentifier")
    new_id = checked(new, "NewDBInstanceIdentifier") if new is not None else None
    return InstanceChanges(
        new_id=None if new_id == instance.id else new_id,
        instance_class=parameters.get("DBInstanceClass"),
        promotion_tier=parameters.get("PromotionTier"),
        settings=_settings(parameters),
        immediately=parameters.get("ApplyImmediately", False),
    )


def _require_possible(cluster: ClusterRecord, parameters: Parameters) -> None:
    """Refuse a class or a promotion tier that no member could have."""
    if parameters.get("MultiAZ"):
        raise ApiError(
            "InvalidParameterCombination",
            f"VPC Multi-AZ DB Instances are not available for engine: {cluster.engine}",
        )
    instance_class = parameters.get("DBInstanceClass", SERVERLESS_CLASS)
    if not instance_class.startswith("db."):
        raise ApiError("InvalidParameterValue", f"Invalid DB Instance class: {instance_class}")
    if parameters.get("DBInstanceClass") == SERVERLESS_CLASS and cluster.serverless is None:
        raise ApiError(
            "InvalidParameterCombination",
            "Set the Serverless v2 scaling configuration on the parent DB cluster before creating "
            "a Serverless v2 DB instance.",
        )
    tier = parameters.get("PromotionTier", TIER_DEFAULT)
    if not 0 <= tier <= TIER_MAX:
        raise ApiError(
            "InvalidParameterValue", f"Invalid promotion tier {tier}: it must be 0 to {TIER_MAX}."
        )


def _settings(parameters: Parameters) -> Mapping[str, object]:
    return {name: value for name, value in parameters.items() if name in _KEPT}
