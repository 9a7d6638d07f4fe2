"""What else scripts ask an account for: its quotas, its subnet groups, and what it has none of.

The test cluster has no snapshots, proxies, deployments and so on. A list of them is empty; one that is
asked for by name is not found, in the words of its own modelled error.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result, named_cluster, named_instance
from chaos.testcluster.api.selection import Parameters, page
from chaos.testcluster.identifiers import parse_arn
from chaos.testcluster.records import ApiError

SUBNET_GROUP = "default"
INSTANCES_MAX = 40
CLUSTERS_MAX = 40


class Absent(NamedTuple):
    """One kind of resource that there is none of.

    `result` is the list in the answer; `named_by` the request member that names one, and `error` the
    code of its absence.
    """

    result: str
    named_by: str = ""
    error: str = ""


ABSENT: Mapping[str, Absent] = {
    "DescribeBlueGreenDeployments": Absent(
        "BlueGreenDeployments", "BlueGreenDeploymentIdentifier", "BlueGreenDeploymentNotFoundFault"
    ),
    "DescribeDBClusterAutomatedBackups": Absent("DBClusterAutomatedBackups"),
    "DescribeDBClusterSnapshots": Absent(
        "DBClusterSnapshots", "DBClusterSnapshotIdentifier", "DBClusterSnapshotNotFoundFault"
    ),
    "DescribeDBInstanceAutomatedBackups": Absent("DBInstanceAutomatedBackups"),
    "DescribeDBProxies": Absent("DBProxies", "DBProxyName", "DBProxyNotFoundFault"),
    "DescribeDBProxyEndpoints": Absent(
        "DBProxyEndpoints", "DBProxyEndpointName", "DBProxyEndpointNotFoundFault"
    ),
    "DescribeDBRecommendations": Absent("DBRecommendations"),
    "DescribeDBSecurityGroups": Absent(
        "DBSecurityGroups", "DBSecurityGroupName", "DBSecurityGroupNotFound"
    ),
    "DescribeDBShardGroups": Absent(
        "DBShardGroups", "DBShardGroupIdentifier", "DBShardGroupNotFound"
    ),
    "DescribeDBSnapshots": Absent("DBSnapshots", "DBSnapshotIdentifier", "DBSnapshotNotFound"),
    "DescribeEventSubscriptions": Absent(
        "EventSubscriptionsList", "SubscriptionName", "SubscriptionNotFound"
    ),
    "DescribeExportTasks": Absent("ExportTasks", "ExportTaskIdentifier", "ExportTaskNotFound"),
    "DescribeIntegrations": Absent(
        "Integrations", "IntegrationIdentifier", "IntegrationNotFoundFault"
    ),
    "DescribeReservedDBInstances": Absent(
        "ReservedDBInstances", "ReservedDBInstanceId", "ReservedDBInstanceNotFound"
    ),
    "DescribeTenantDatabases": Absent("TenantDatabases"),
}


def describe_account_attributes(region: Region, parameters: Parameters) -> Result:  # noqa: ARG001
    """DescribeAccountAttributes: what is used, of AWS's default quotas."""
    clusters = [engine.snapshot() for engine in region.clusters()]
    used = {
        "DBInstances": (sum(len(c.instances) for c in clusters), INSTANCES_MAX),
        "DBClusters": (len(clusters), CLUSTERS_MAX),
        "CustomEndpointsPerDBCluster": (
            max((len(c.custom_endpoints) for c in clusters), default=0),
            5,
        ),
        "DBSubnetGroups": (1, 50),
        "ManualClusterSnapshots": (0, 100),
        "ManualSnapshots": (0, 100),
    }
    return {
        "AccountQuotas": [
            {"AccountQuotaName": name, "Used": now, "Max": most}
            for name, (now, most) in used.items()
        ]
    }


def describe_db_subnet_groups(region: Region, parameters: Parameters) -> Result:
    """DescribeDBSubnetGroups: `default`, over all zones of the Region."""
    wanted = parameters.get("DBSubnetGroupName", SUBNET_GROUP)
    if wanted.lower() != SUBNET_GROUP:
        raise ApiError("DBSubnetGroupNotFoundFault", f"DB subnet group '{wanted}' does not exist.")
    shown, marker = page(
        [(SUBNET_GROUP, describe.subnet_group(region.name, SUBNET_GROUP))], parameters
    )
    return {"DBSubnetGroups": shown, "Marker": marker}


def describe_pending_maintenance_actions(region: Region, parameters: Parameters) -> Result:
    """DescribePendingMaintenanceActions: none, since nothing here is ever patched."""
    if "ResourceIdentifier" in parameters:
        _require_resource(region, parameters["ResourceIdentifier"])
    return {"PendingMaintenanceActions": []}


def apply_pending_maintenance_action(region: Region, parameters: Parameters) -> Result:
    """ApplyPendingMaintenanceAction, of which there is none."""
    _require_resource(region, parameters["ResourceIdentifier"])
    raise ApiError(
        "ResourceNotFoundFault",
        f"There is no pending {parameters['ApplyAction']} for {parameters['ResourceIdentifier']}.",
    )


def describe_source_regions(region: Region, parameters: Parameters) -> Result:  # noqa: ARG001
    """DescribeSourceRegions: none, since no snapshot or replica can be copied from another Region."""
    return {"SourceRegions": []}


def describe_absent(kind: Absent, region: Region, parameters: Parameters) -> Result:  # noqa: ARG001
    """Describe resources of a kind that there is none of."""
    wanted = parameters.get(kind.named_by) if kind.named_by else None
    if wanted is not None:
        raise ApiError(kind.error, f"{wanted} not found: the test cluster has no {kind.result}.")
    shown: list[Any] = []
    return {kind.result: shown}


ACTIONS: Mapping[str, Action] = {
    "ApplyPendingMaintenanceAction": apply_pending_maintenance_action,
    "DescribeAccountAttributes": describe_account_attributes,
    "DescribeDBSubnetGroups": describe_db_subnet_groups,
    "DescribePendingMaintenanceActions": describe_pending_maintenance_actions,
    "DescribeSourceRegions": describe_source_regions,
    **{name: functools.partial(describe_absent, kind) for name, kind in ABSENT.items()},
}


def _require_resource(region: Region, name: str) -> None:
    """Refuse an ARN of what is not there.

    Raises:
        ApiError: ResourceNotFoundFault.
    """
    kind, identifier = parse_arn(name) or ("", name)
    try:
        if kind == "db":
            named_instance(region, identifier)
        else:
            named_cluster(region, identifier)
    except ApiError as error:
        raise ApiError("ResourceNotFoundFault", error.message) from error
