"""The cluster's records in the shapes that RDS describes them with.

What this cluster does not have (VPC, backups, encryption, monitoring) is answered as a plain Aurora
cluster without it would be.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chaos.testcluster.identifiers import arn
from chaos.testcluster.parameters import default_group
from chaos.testcluster.records import ACCOUNT, ClusterRecord, EventRecord, InstanceRecord
from chaos.testcluster.serverless.bounds import as_shown

HOSTED_ZONE = "ZTESTCLUSTER00"
CERTIFICATE_AUTHORITY = "rds-ca-rsa2048-g1"
MAINTENANCE_WINDOW = "mon:03:00-mon:03:30"
BACKUP_WINDOW = "02:00-02:30"

# CreateDBInstance members that are kept and shown as given: request member -> (member of the
# description, value where none was given).
KEPT_SETTINGS: Mapping[str, tuple[str, Any]] = {
    "AutoMinorVersionUpgrade": ("AutoMinorVersionUpgrade", True),
    "CACertificateIdentifier": ("CACertificateIdentifier", CERTIFICATE_AUTHORITY),
    "CopyTagsToSnapshot": ("CopyTagsToSnapshot", False),
    "DatabaseInsightsMode": ("DatabaseInsightsMode", "standard"),
    "EnablePerformanceInsights": ("PerformanceInsightsEnabled", False),
    "LicenseModel": ("LicenseModel", "postgresql-license"),
    "MonitoringInterval": ("MonitoringInterval", 0),
    "MonitoringRoleArn": ("MonitoringRoleArn", None),
    "NetworkType": ("NetworkType", "IPV4"),
    "PerformanceInsightsKMSKeyId": ("PerformanceInsightsKMSKeyId", None),
    "PerformanceInsightsRetentionPeriod": ("PerformanceInsightsRetentionPeriod", None),
    "PreferredMaintenanceWindow": ("PreferredMaintenanceWindow", MAINTENANCE_WINDOW),
    "PubliclyAccessible": ("PubliclyAccessible", False),
}


def db_cluster(cluster: ClusterRecord) -> dict[str, Any]:
    """Return the `DBCluster` of the API."""
    return {
        "DBClusterIdentifier": cluster.id,
        "DBClusterArn": cluster_arn(cluster),
        "DbClusterResourceId": cluster.resource_id,
        "Status": cluster.status,
        "Engine": cluster.engine,
        "EngineVersion": cluster.engine_version,
        "EngineMode": "provisioned",
        "Endpoint": cluster.cluster_endpoint,
        "ReaderEndpoint": cluster.reader_endpoint,
        "CustomEndpoints": [e.endpoint for e in cluster.custom_endpoints],
        "Port": cluster.port,
        "HostedZoneId": HOSTED_ZONE,
        "MasterUsername": cluster.user,
        "DatabaseName": cluster.database,
        "AvailabilityZones": list(cluster.availability_zones),
        "MultiAZ": len({i.availability_zone for i in cluster.instances}) > 1,
        "DBClusterMembers": [
            {
                "DBInstanceIdentifier": instance.id,
                "IsClusterWriter": instance.is_writer,
                "DBClusterParameterGroupStatus": (
                    "pending-reboot" if instance.awaits_reboot else instance.cluster_parameters
                ),
                "PromotionTier": instance.promotion_tier,
            }
            for instance in cluster.instances
        ],
        "ServerlessV2ScalingConfiguration": as_shown(cluster.serverless),
        "ClusterCreateTime": cluster.created_at,
        "TagList": tags(cluster.tags),
        "DBClusterParameterGroup": cluster.parameter_group,
        "DBSubnetGroup": "default",
        "AllocatedStorage": 1,
        "BackupRetentionPeriod": 1,
        "PreferredBackupWindow": BACKUP_WINDOW,
        "PreferredMaintenanceWindow": MAINTENANCE_WINDOW,
        "ReadReplicaIdentifiers": [],
        "VpcSecurityGroups": [],
        "AssociatedRoles": [],
        "DomainMemberships": [],
        "StorageEncrypted": False,
        "IAMDatabaseAuthenticationEnabled": False,
        "HttpEndpointEnabled": False,
        "DeletionProtection": False,
        "CopyTagsToSnapshot": False,
        "CrossAccountClone": False,
        "AutoMinorVersionUpgrade": True,
        "ActivityStreamStatus": "stopped",
        "NetworkType": "IPV4",
    }


def db_instance(cluster: ClusterRecord, instance: InstanceRecord) -> dict[str, Any]:
    """Return the `DBInstance` of the API; it has no `Endpoint` while it is being created."""
    settings = instance.settings
    return {
        "DBInstanceIdentifier": instance.id,
        "DBInstanceArn": instance_arn(cluster, instance.id),
        "DbiResourceId": _resource_id(cluster, instance.id, instance.created_at),
        "DBClusterIdentifier": cluster.id,
        "DBInstanceStatus": instance.status,
        "DBInstanceClass": instance.instance_class,
        "Engine": cluster.engine,
        "EngineVersion": cluster.engine_version,
        "MasterUsername": cluster.user,
        "DBName": cluster.database,
        "Endpoint": (
            None
            if instance.status == "creating"
            else {
                "Address": instance.endpoint,
                "Port": instance.port,
                "HostedZoneId": HOSTED_ZONE,
            }
        ),
        "DbInstancePort": 0,  # AWS's answer too: the port is the endpoint's
        "AvailabilityZone": instance.availability_zone,
        "MultiAZ": False,
        "PromotionTier": instance.promotion_tier,
        "InstanceCreateTime": instance.created_at,
        "TagList": tags(instance.tags),
        "DBParameterGroups": [
            {
                "DBParameterGroupName": settings.get(
                    "DBParameterGroupName", default_group(cluster.engine, cluster.engine_version)
                ),
                "ParameterApplyStatus": instance.parameters,
            }
        ],
        "DBSecurityGroups": [],
        "VpcSecurityGroups": [],
        "OptionGroupMemberships": [],
        "ReadReplicaDBInstanceIdentifiers": [],
        "DomainMemberships": [],
        "AssociatedRoles": [],
        "PendingModifiedValues": {},
        "AllocatedStorage": 1,
        "BackupRetentionPeriod": 1,
        "PreferredBackupWindow": BACKUP_WINDOW,
        "StorageType": "aurora",
        "StorageEncrypted": False,
        "IAMDatabaseAuthenticationEnabled": False,
        "DeletionProtection": False,
        "CustomerOwnedIpEnabled": False,
        **{
            shown: settings.get(member, default)
            for member, (shown, default) in KEPT_SETTINGS.items()
        },
    }


def event(record: EventRecord) -> dict[str, Any]:
    """Return the `Event` of the API."""
    kind = record.source_type.removeprefix("db-")
    return {
        "SourceIdentifier": record.source_id,
        "SourceType": record.source_type,
        "SourceArn": arn(
            record.region, ACCOUNT, "db" if kind == "instance" else kind, record.source_id
        ),
        "Message": record.message,
        "EventCategories": list(record.categories),
        "Date": record.at,
    }


def cluster_arn(cluster: ClusterRecord) -> str:
    """Return the cluster's ARN."""
    return arn(cluster.region, cluster.account, "cluster", cluster.id)


def instance_arn(cluster: ClusterRecord, instance: str) -> str:
    """Return the ARN of one of the cluster's instances."""
    return arn(cluster.region, cluster.account, "db", instance)


def tags(by_key: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as the API lists them."""
    return [{"Key": key, "Value": value} for key, value in by_key.items()]


def _resource_id(cluster: ClusterRecord, instance: str, created_at: datetime) -> str:
    """Return an id that an instance created anew under the same name does not share."""
    seed = f"{cluster.resource_id} {instance} {created_at.isoformat()}"
    return f"db-{base64.b32encode(hashlib.sha256(seed.encode()).digest()).decode()[:26]}"
