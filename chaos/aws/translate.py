"""RDS API dictionaries and errors in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from chaos.errors import ControlPlaneError
from chaos.model.topology import Capacity, Member, Role, Topology

# What CreateDBInstance needs to make a deleted instance again as it was: request member -> how the
# description of an instance shows it.
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


def topology(cluster: Mapping[str, Any], instances: list[Mapping[str, Any]]) -> Topology:
    """Join one DescribeDBClusters entry and its DescribeDBInstances entries."""
    described = {instance["DBInstanceIdentifier"]: instance for instance in instances}
    bounds = cluster.get("ServerlessV2ScalingConfiguration")
    return Topology(
        cluster=cluster["DBClusterIdentifier"],
        arn=cluster["DBClusterArn"],
        resource_id=cluster.get("DbClusterResourceId", ""),
        status=cluster["Status"],
        engine=cluster["Engine"],
        engine_version=cluster.get("EngineVersion", ""),
        port=cluster["Port"],
        cluster_endpoint=cluster["Endpoint"],
        reader_endpoint=cluster.get("ReaderEndpoint", ""),
        members=tuple(
            _member(entry, described.get(entry["DBInstanceIdentifier"], {}), cluster["Port"])
            for entry in cluster["DBClusterMembers"]
        ),
        capacity=(
            Capacity(min_acu=bounds["MinCapacity"], max_acu=bounds["MaxCapacity"])
            if bounds and "MaxCapacity" in bounds
            else None
        ),
        tags={tag["Key"]: tag.get("Value", "") for tag in cluster.get("TagList", [])},
    )


def _member(entry: Mapping[str, Any], instance: Mapping[str, Any], port: int) -> Member:
    endpoint = instance.get("Endpoint", {})
    return Member(
        id=entry["DBInstanceIdentifier"],
        role=Role.WRITER if entry["IsClusterWriter"] else Role.READER,
        status=instance.get("DBInstanceStatus", "unknown"),
        endpoint=endpoint.get("Address", ""),
        port=endpoint.get("Port", port),
        promotion_tier=entry.get("PromotionTier", instance.get("PromotionTier", 1)),
        instance_class=instance.get("DBInstanceClass", ""),
        availability_zone=instance.get("AvailabilityZone", ""),
        settings=_settings(instance),
    )


def _settings(instance: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        name: instance[shown] for name, shown in _KEPT.items() if instance.get(shown) is not None
    }
    # Tags that begin with aws: belong to services such as CloudFormation; nobody else may set them.
    tags = [tag for tag in instance.get("TagList", []) if not tag["Key"].startswith("aws:")]
    if tags:
        kept["Tags"] = tags
    groups = instance.get("DBParameterGroups") or []
    if groups:
        kept["DBParameterGroupName"] = groups[0]["DBParameterGroupName"]
    return kept


@contextmanager
def errors_of(doing: str) -> Iterator[None]:
    """Turn what botocore raises while `doing` something into a `ControlPlaneError`, chained."""
    try:
        yield
    except ClientError as error:
        answer = error.response["Error"]
        code = answer.get("Code", "Unknown")
        raise ControlPlaneError(
            f"{doing}: {answer.get('Message', 'no message')} ({code})", code=code
        ) from error
    except NoCredentialsError as error:
        raise ControlPlaneError(
            f"{doing}: no AWS credentials found; configure a profile or set AWS_ACCESS_KEY_ID"
        ) from error
    except NoRegionError as error:
        raise ControlPlaneError(
            f"{doing}: no AWS Region set; set AWS_DEFAULT_REGION or a profile with a Region"
        ) from error
    except BotoCoreError as error:
        raise ControlPlaneError(f"{doing}: {error}") from error
