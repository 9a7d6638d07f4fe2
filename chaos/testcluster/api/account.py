"""What else scripts ask an account for: its quotas, its subnet groups, and what it has none of.

The test cluster has no snapshots, proxies, deployments and so on. A list of them is empty; one that is
asked for by name is not found, in the words of its own modelled error.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result, named_cluster, named_instance
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.identifiers import parse_arn
from chaos.testcluster.planned import Deployment, Maintenance
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
    """DescribePendingMaintenanceActions: none but the planted, since nothing here is ever patched."""
    wanted = parameters.get("ResourceIdentifier")
    if wanted is not None:
        _require_resource(region, wanted)
    found = matching(
        [m for m in region.planned.maintenance(region.name) if wanted in {None, m.arn}],
        parameters.get("Filters", ()),
        {
            "db-cluster-id": lambda m: (m.identifier, m.arn) if m.is_cluster else (),
            "db-instance-id": lambda m: () if m.is_cluster else (m.identifier, m.arn),
        },
    )
    by_resource: dict[str, list[Maintenance]] = {}
    for maintenance in found:
        by_resource.setdefault(maintenance.arn, []).append(maintenance)
    shown, marker = page(
        [(name, _pending(name, actions)) for name, actions in by_resource.items()], parameters
    )
    return {"PendingMaintenanceActions": shown, "Marker": marker}


def _pending(name: str, actions: Sequence[Maintenance]) -> dict[str, Any]:
    """Return the `ResourcePendingMaintenanceActions` of the API."""
    return {
        "ResourceIdentifier": name,
        "PendingMaintenanceActionDetails": [
            {
                "Action": action.action,
                "AutoAppliedAfterDate": action.at,
                "CurrentApplyDate": action.at,
                "Description": action.description,
            }
            for action in actions
        ],
    }


def describe_blue_green_deployments(region: Region, parameters: Parameters) -> Result:
    """DescribeBlueGreenDeployments: none but the planted."""
    wanted = parameters.get("BlueGreenDeploymentIdentifier")
    found = [
        d
        for d in region.planned.deployments(region.name)
        if wanted is None or wanted.lower() == d.id
    ]
    if wanted is not None and not found:
        raise ApiError(
            "BlueGreenDeploymentNotFoundFault", f"Blue Green Deployment {wanted} not found."
        )
    found = matching(
        found,
        parameters.get("Filters", ()),
        {
            "blue-green-deployment-identifier": lambda d: (d.id,),
            "blue-green-deployment-name": lambda d: (d.name,),
            "source": lambda d: (d.source_arn,),
            "target": lambda d: (d.target_arn,),
        },
    )
    shown, marker = page([(d.id, _deployment(d)) for d in found], parameters)
    return {"BlueGreenDeployments": shown, "Marker": marker}


def _deployment(deployment: Deployment) -> dict[str, Any]:
    """Return the `BlueGreenDeployment` of the API."""
    return {
        "BlueGreenDeploymentIdentifier": deployment.id,
        "BlueGreenDeploymentName": deployment.name,
        "Source": deployment.source_arn,
        "Target": deployment.target_arn,
        "Status": deployment.status,
        "CreateTime": deployment.created_at,
        "SwitchoverDetails": [
            {
                "SourceMember": deployment.source_arn,
                "TargetMember": deployment.target_arn,
                "Status": deployment.status,
            }
        ],
        "Tasks": [],
        "TagList": [],
    }


def apply_pending_maintenance_action(region: Region, parameters: Parameters) -> Result:
    """ApplyPendingMaintenanceAction, which here never comes about: what is planted is only shown."""
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
    "DescribeBlueGreenDeployments": describe_blue_green_deployments,
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
