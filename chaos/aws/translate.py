"""RDS API dictionaries in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from chaos.model.topology import (
    Capacity,
    CustomEndpoint,
    GlobalCluster,
    GlobalMember,
    Member,
    Role,
    Topology,
)

# What CreateDBInstance needs to make a deleted instance again as it was: request member -> how the
# description of an instance shows it. By the API reference every other member of the request is the
# cluster's to have (storage, network, users, backups, engine version, Database Insights), or is not
# for Aurora (Multi-AZ, license, options, processor features). Tags and parameter group follow below.
_KEPT = {
    "Engine": "Engine",
    "DBInstanceClass": "DBInstanceClass",
    "AvailabilityZone": "AvailabilityZone",
    "PromotionTier": "PromotionTier",
    "AutoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "PubliclyAccessible": "PubliclyAccessible",
    "PreferredMaintenanceWindow": "PreferredMaintenanceWindow",
    "CACertificateIdentifier": "CACertificateIdentifier",
    "MonitoringInterval": "MonitoringInterval",
    "MonitoringRoleArn": "MonitoringRoleArn",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
    "PerformanceInsightsKMSKeyId": "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod": "PerformanceInsightsRetentionPeriod",
}
# Refused where what they are for is off, though the description may still show them.
_ONLY_WITH = {
    "MonitoringRoleArn": "MonitoringInterval",
    "PerformanceInsightsKMSKeyId": "EnablePerformanceInsights",
    "PerformanceInsightsRetentionPeriod": "EnablePerformanceInsights",
}


def topology(cluster: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]) -> Topology:
    """Join one DescribeDBClusters entry and its DescribeDBInstances entries.

    An instance that the cluster does not list (yet, or any more) is told as a reader.
    """
    described = {instance["DBInstanceIdentifier"]: instance for instance in instances}
    entries = {entry["DBInstanceIdentifier"]: entry for entry in cluster["DBClusterMembers"]}
    port = cluster.get("Port", 0)
    return Topology(
        cluster=cluster["DBClusterIdentifier"],
        arn=cluster["DBClusterArn"],
        resource_id=cluster.get("DbClusterResourceId", ""),
        status=cluster["Status"],
        engine=cluster["Engine"],
        engine_version=cluster.get("EngineVersion", ""),
        port=port,
        cluster_endpoint=cluster.get("Endpoint", ""),
        reader_endpoint=cluster.get("ReaderEndpoint", ""),
        members=tuple(
            _member(name, entries.get(name, {}), described.get(name, {}), port)
            for name in {**entries, **described}
        ),
        capacity=_capacity(cluster.get("ServerlessV2ScalingConfiguration")),
        serverless_platform=cluster.get("ServerlessV2PlatformVersion", ""),
        tags=_tags(cluster),
        multi_az=cluster.get("MultiAZ", False),
        parameter_group=cluster.get("DBClusterParameterGroup", ""),
        maintenance_window=cluster.get("PreferredMaintenanceWindow", ""),
        backup_window=cluster.get("PreferredBackupWindow", ""),
        pending=_pending(cluster),
    )


def lone_topology(instance: Mapping[str, Any]) -> Topology:
    """Tell an instance that is in no cluster as a cluster of one writer."""
    writer = _member(
        instance["DBInstanceIdentifier"], {"IsClusterWriter": True}, instance, _port(instance)
    )
    groups = instance.get("DBParameterGroups") or [{}]
    return Topology(
        cluster=writer.id,
        arn=instance["DBInstanceArn"],
        resource_id=instance.get("DbiResourceId", ""),
        status=writer.status,
        engine=instance["Engine"],
        engine_version=instance.get("EngineVersion", ""),
        port=writer.port,
        cluster_endpoint=writer.endpoint,
        reader_endpoint=writer.endpoint,
        members=(writer,),
        capacity=None,
        tags=_tags(instance),
        is_cluster=False,
        multi_az=instance.get("MultiAZ", False),
        parameter_group=groups[0].get("DBParameterGroupName", ""),
        maintenance_window=writer.maintenance_window,
        backup_window=instance.get("PreferredBackupWindow", ""),
        pending=writer.pending,
    )


def custom_endpoint(entry: Mapping[str, Any]) -> CustomEndpoint:
    """Translate a custom one of DescribeDBClusterEndpoints."""
    return CustomEndpoint(
        id=entry["DBClusterEndpointIdentifier"],
        address=entry.get("Endpoint", ""),
        kind=entry.get("CustomEndpointType", ""),
        status=entry["Status"],
        static=tuple(entry.get("StaticMembers", ())),
        excluded=tuple(entry.get("ExcludedMembers", ())),
    )


def global_cluster(entry: Mapping[str, Any]) -> GlobalCluster:
    """Translate one of DescribeGlobalClusters."""
    return GlobalCluster(
        id=entry["GlobalClusterIdentifier"],
        status=entry.get("Status", ""),
        members=tuple(
            GlobalMember(
                arn=member["DBClusterArn"],
                region=region_of(member["DBClusterArn"]),
                is_primary=member.get("IsWriter", False),
            )
            for member in entry.get("GlobalClusterMembers", ())
        ),
        failing_over=(entry.get("FailoverState") or {}).get("Status", ""),
    )


def region_of(arn: str) -> str:
    """Return the Region of an ARN, "" where it has none."""
    return (arn.split(":") + [""] * 4)[3]


def _member(name: str, entry: Mapping[str, Any], instance: Mapping[str, Any], port: int) -> Member:
    return Member(
        id=name,
        role=Role.WRITER if entry.get("IsClusterWriter") else Role.READER,
        status=instance.get("DBInstanceStatus", "unknown"),
        endpoint=(instance.get("Endpoint") or {}).get("Address", ""),
        port=_port(instance) or port,
        promotion_tier=entry.get("PromotionTier", instance.get("PromotionTier", 1)),
        instance_class=instance.get("DBInstanceClass", ""),
        availability_zone=instance.get("AvailabilityZone", ""),
        maintenance_window=instance.get("PreferredMaintenanceWindow", ""),
        pending=_pending(instance),
        settings=_settings(instance),
    )


def _port(instance: Mapping[str, Any]) -> int:
    port: int = (instance.get("Endpoint") or {}).get("Port", 0)
    return port


def _capacity(bounds: Mapping[str, Any] | None) -> Capacity | None:
    if not bounds or "MaxCapacity" not in bounds:
        return None
    return Capacity(
        min_acu=bounds["MinCapacity"],
        max_acu=bounds["MaxCapacity"],
        pause_after_s=bounds.get("SecondsUntilAutoPause"),
    )


def _tags(resource: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in resource.get("TagList", [])}


def _pending(resource: Mapping[str, Any]) -> dict[str, object]:
    """Return PendingModifiedValues as JSON has them, without the password."""
    pending = resource.get("PendingModifiedValues") or {}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in pending.items()
        if name != "MasterUserPassword" and value not in ({}, [])
    } | ({"MasterUserPassword": "****"} if "MasterUserPassword" in pending else {})


def _settings(instance: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        name: instance[shown] for name, shown in _KEPT.items() if instance.get(shown) is not None
    }
    for name, needed in _ONLY_WITH.items():
        if not kept.get(needed):
            kept.pop(name, None)
    # Tags that begin with aws: belong to services such as CloudFormation; nobody else may set them.
    tags = [tag for tag in instance.get("TagList", []) if not tag["Key"].startswith("aws:")]
    if tags:
        kept["Tags"] = tags
    groups = instance.get("DBParameterGroups") or []
    if groups:
        kept["DBParameterGroupName"] = groups[0]["DBParameterGroupName"]
    return kept
