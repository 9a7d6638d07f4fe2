"""The cluster's records in the shapes that RDS describes them with.

What this cluster does not have (VPC, backups, encryption, monitoring) is answered as a plain Aurora
cluster without it would be.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from chaos.testcluster.identifiers import arn
from chaos.testcluster.parameters.offered import default_group
from chaos.testcluster.records import ACCOUNT, ClusterRecord, EventRecord, InstanceRecord
from chaos.testcluster.serverless.bounds import as_shown

HOSTED_ZONE = "ZTESTCLUSTER00"
CERTIFICATE_AUTHORITY = "rds-ca-rsa2048-g1"
MAINTENANCE_WINDOW = "mon:03:00-mon:03:30"
BACKUP_WINDOW = "02:00-02:30"
VPC = "vpc-00000000000000000"

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

# The same of CreateDBCluster and ModifyDBCluster.
KEPT_CLUSTER_SETTINGS: Mapping[str, tuple[str, Any]] = {
    "AutoMinorVersionUpgrade": ("AutoMinorVersionUpgrade", True),
    "BackupRetentionPeriod": ("BackupRetentionPeriod", 1),
    "CopyTagsToSnapshot": ("CopyTagsToSnapshot", False),
    "DBSubnetGroupName": ("DBSubnetGroup", "default"),
    "DatabaseInsightsMode": ("DatabaseInsightsMode", "standard"),
    "DeletionProtection": ("DeletionProtection", False),
    "EnableCloudwatchLogsExports": ("EnabledCloudwatchLogsExports", None),
    "EnableIAMDatabaseAuthentication": ("IAMDatabaseAuthenticationEnabled", False),
    "EnablePerformanceInsights": ("PerformanceInsightsEnabled", False),
    "EngineLifecycleSupport": ("EngineLifecycleSupport", "open-source-rds-extended-support"),
    "KmsKeyId": ("KmsKeyId", None),
    "MonitoringInterval": ("MonitoringInterval", 0),
    "MonitoringRoleArn": ("MonitoringRoleArn", None),
    "NetworkType": ("NetworkType", "IPV4"),
    "PerformanceInsightsKMSKeyId": ("PerformanceInsightsKMSKeyId", None),
    "PerformanceInsightsRetentionPeriod": ("PerformanceInsightsRetentionPeriod", None),
    "PreferredBackupWindow": ("PreferredBackupWindow", BACKUP_WINDOW),
    "PreferredMaintenanceWindow": ("PreferredMaintenanceWindow", MAINTENANCE_WINDOW),
    "StorageEncrypted": ("StorageEncrypted", False),
    "StorageType": ("StorageType", None),
    "VpcSecurityGroupIds": ("VpcSecurityGroups", ()),
}

# What an instance shows of its cluster's.
_SHARED = (
    "BackupRetentionPeriod",
    "DeletionProtection",
    "EnabledCloudwatchLogsExports",
    "EngineLifecycleSupport",
    "IAMDatabaseAuthenticationEnabled",
    "KmsKeyId",
    "PreferredBackupWindow",
    "StorageEncrypted",
    "VpcSecurityGroups",
)


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
        "AllocatedStorage": 1,
        "ReadReplicaIdentifiers": [],
        "AssociatedRoles": [],
        "DomainMemberships": [],
        "HttpEndpointEnabled": False,
        "CrossAccountClone": False,
        "ActivityStreamStatus": "stopped",
        "PendingModifiedValues": cluster.pending or None,
        **_cluster_settings(cluster),
    }


def _cluster_settings(cluster: ClusterRecord) -> dict[str, Any]:
    """Return what a cluster's members share, by the names of its description."""
    settings = {**cluster.settings}
    groups: Any = settings.get("VpcSecurityGroupIds", ())
    settings["VpcSecurityGroupIds"] = [
        {"VpcSecurityGroupId": group, "Status": "active"} for group in groups
    ]
    return {
        shown: settings.get(member, default)
        for member, (shown, default) in KEPT_CLUSTER_SETTINGS.items()
    }


def db_subnet_group(cluster: ClusterRecord) -> dict[str, Any]:
    """Return the `DBSubnetGroup` that a cluster's instances are shown in."""
    return subnet_group(cluster.region, str(cluster.settings.get("DBSubnetGroupName", "default")))


def subnet_group(region: str, name: str) -> dict[str, Any]:
    """Return a `DBSubnetGroup` of a Region: there is no network, but every zone of it is in reach."""
    return {
        "DBSubnetGroupName": name,
        "DBSubnetGroupDescription": name,
        "DBSubnetGroupArn": arn(region, ACCOUNT, "subgrp", name),
        "SubnetGroupStatus": "Complete",
        "VpcId": VPC,
        "SupportedNetworkTypes": ["IPV4"],
        "Subnets": [
            {
                "SubnetIdentifier": f"subnet-0000000000000000{letter}",
                "SubnetAvailabilityZone": {"Name": f"{region}{letter}"},
                "SubnetOutpost": {},
                "SubnetStatus": "Active",
            }
            for letter in "abc"
        ],
    }


def db_instance(cluster: ClusterRecord, instance: InstanceRecord) -> dict[str, Any]:
    """Return the `DBInstance` of the API; it has no `Endpoint` while it is being created."""
    settings = instance.settings
    shared = _cluster_settings(cluster)
    return {
        "DBInstanceIdentifier": instance.id,
        "DBInstanceArn": instance_arn(cluster, instance.id),
        "DbiResourceId": _resource_id(cluster, instance),
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
        "DBSubnetGroup": db_subnet_group(cluster),
        "OptionGroupMemberships": [
            {
                "OptionGroupName": f"default:{cluster.engine}-{_major(cluster)}",
                "Status": "in-sync",
            }
        ],
        "ReadReplicaDBInstanceIdentifiers": [],
        "DomainMemberships": [],
        "AssociatedRoles": [],
        "PendingModifiedValues": instance.pending,
        "AllocatedStorage": 1,
        "CustomerOwnedIpEnabled": False,
        **{name: shared[name] for name in _SHARED},
        "StorageType": shared["StorageType"] or "aurora",
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


def _major(cluster: ClusterRecord) -> str:
    return cluster.engine_version.partition(".")[0]


def _resource_id(cluster: ClusterRecord, instance: InstanceRecord) -> str:
    """Return an id that stays when an instance is renamed, and that no later one shares."""
    seed = f"{cluster.resource_id} {instance.address} {instance.created_at.isoformat()}"
    return f"db-{base64.b32encode(hashlib.sha256(seed.encode()).digest()).decode()[:26]}"
