"""What guards and the doctor ask of the account around a cluster; nothing here changes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaos.aws import cloudwatch
from chaos.aws.sending import Api
from chaos.model.account import Alarm, Caller, Deployment, MaintenanceAction, SafetyLever
from chaos.model.topology import Topology

SAFETY_LEVER = "default"
"""The one lever that every account has in every Region."""


class Account:
    """An account in one Region. All methods raise `ControlPlaneError`."""

    def __init__(self, api: Api) -> None:
        """Ask through `api`."""
        self._api = api

    def caller(self) -> Caller:
        """STS GetCallerIdentity: whose credentials these are; needs no permission."""
        answer = self._api.read("asking who the caller is", "get_caller_identity", "sts")
        return Caller(account=answer["Account"], arn=answer["Arn"])

    def maintenance(self, topology: Topology) -> tuple[MaintenanceAction, ...]:
        """DescribePendingMaintenanceActions, of a cluster and of its instances."""
        members = [member.id for member in topology.members]
        filters = [("db-cluster-id", [topology.arn])] if topology.is_cluster else []
        filters += [("db-instance-id", members)] if members else []
        return tuple(
            _action(resource["ResourceIdentifier"], action)
            for name, values in filters
            for resource in self._api.entries(
                f"reading pending maintenance of {topology.cluster}",
                "describe_pending_maintenance_actions",
                "PendingMaintenanceActions",
                Filters=[{"Name": name, "Values": values}],
            )
            for action in resource.get("PendingMaintenanceActionDetails", ())
        )

    def deployments(self, topology: Topology) -> tuple[Deployment, ...]:
        """DescribeBlueGreenDeployments: those that the cluster, or a member of it, is part of.

        All of the account are read: a filter would miss what a switchover has renamed.
        """
        arns = {topology.arn, *(_instance_arn(topology, member.id) for member in topology.members)}
        return tuple(
            Deployment(
                id=entry["BlueGreenDeploymentIdentifier"],
                name=entry.get("BlueGreenDeploymentName", ""),
                source_arn=entry.get("Source", ""),
                target_arn=entry.get("Target", ""),
                status=entry.get("Status", ""),
            )
            for entry in self._api.entries(
                f"reading blue/green deployments of {topology.cluster}",
                "describe_blue_green_deployments",
                "BlueGreenDeployments",
            )
            if arns & _parts(entry)
        )

    def alarms(self, names: Sequence[str] = (), prefixes: Sequence[str] = ()) -> tuple[Alarm, ...]:
        """DescribeAlarms, by names and by how names begin; those that there are not are left out."""
        return cloudwatch.alarms(self._api, names, prefixes)

    def safety_lever(self) -> SafetyLever:
        """FIS GetSafetyLever, of the Region."""
        answer = self._api.read(
            "reading the FIS safety lever", "get_safety_lever", "fis", id=SAFETY_LEVER
        )
        state = answer["safetyLever"]["state"]
        return SafetyLever(status=state["status"], reason=state.get("reason", ""))

    def cluster_parameters(self, group: str) -> Mapping[str, str]:
        """DescribeDBClusterParameters: the values of a group, of those parameters that have one."""
        entries = self._api.entries(
            f"reading cluster parameter group {group}",
            "describe_db_cluster_parameters",
            "Parameters",
            DBClusterParameterGroupName=group,
        )
        return {
            entry["ParameterName"]: entry["ParameterValue"]
            for entry in entries
            if entry.get("ParameterValue") is not None
        }


def _action(resource: str, action: Mapping[str, Any]) -> MaintenanceAction:
    dates = ("CurrentApplyDate", "AutoAppliedAfterDate", "ForcedApplyDate")
    return MaintenanceAction(
        resource_arn=resource,
        action=action.get("Action", ""),
        description=action.get("Description", ""),
        due_at=min((action[date] for date in dates if action.get(date)), default=None),
    )


def _instance_arn(topology: Topology, instance: str) -> str:
    # arn:aws:rds:REGION:ACCOUNT:cluster:NAME, and of an instance ...:db:NAME.
    return ":".join([*topology.arn.split(":")[:5], "db", instance])


def _parts(deployment: Mapping[str, Any]) -> set[str]:
    """Return the ARNs of all that a deployment is about."""
    details = deployment.get("SwitchoverDetails", ())
    members = [d.get(name) for d in details for name in ("SourceMember", "TargetMember")]
    return {arn for arn in (deployment.get("Source"), deployment.get("Target"), *members) if arn}
