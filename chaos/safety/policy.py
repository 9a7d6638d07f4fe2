"""The least-privilege IAM policy of calls: which action on which resources, under which condition.

The table is after the service authorization references of RDS, CloudWatch and FIS (actions, resource
types, dependent actions), https://docs.aws.amazon.com/service-authorization/latest/reference/ .
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.safety.calls import Call
from chaos.safety.guards import OPT_IN_TAG, OPT_IN_VALUE
from chaos.safety.lease import LEASE_TAG

ANY = "any"
"""All resources: the action has no resource type, or lists what is not known by name."""
CLUSTER = "cluster"
ENDPOINT = "cluster-endpoint"
GLOBAL = "global-cluster"
GLOBAL_MEMBER = "cluster of the global cluster"
INSTANCE = "db"
EVERY_INSTANCE = "every db"
MADE = "db that the run deletes or creates"
USED = "what a new db uses"

_OPTED_IN = {"StringEquals": {f"aws:ResourceTag/{OPT_IN_TAG}": OPT_IN_VALUE}}
_LEASE_ONLY = {"ForAllValues:StringEquals": {"aws:TagKeys": [LEASE_TAG]}}


@dataclass(frozen=True, slots=True)
class Rule:
    """What one operation needs: a statement's name, resources, condition."""

    sid: str
    resources: tuple[str, ...]
    condition: Mapping[str, Any] = field(default_factory=dict)


_OF_CLUSTER = Rule("ChangeCluster", (CLUSTER,), _OPTED_IN)
_LEASE = Rule("HoldLease", (CLUSTER,), {**_OPTED_IN, **_LEASE_ONLY})
_OF_INSTANCES = Rule("ChangeInstances", (INSTANCE,))
_OF_GLOBAL = Rule("MoveGlobalCluster", (GLOBAL, GLOBAL_MEMBER))
_LIST = Rule("List", (ANY,))

RULES: Mapping[tuple[str, str], Rule] = {
    ("cloudwatch", "DescribeAlarms"): _LIST,  # Scoped to *, or composite alarms are left out.
    ("cloudwatch", "GetMetricData"): _LIST,
    ("fis", "GetSafetyLever"): Rule("ReadSafetyLever", ("safety-lever",)),
    ("rds", "AddTagsToResource"): _LEASE,
    ("rds", "CreateDBInstance"): Rule("CreateInstances", (MADE, USED, CLUSTER)),
    ("rds", "DeleteDBInstance"): Rule("DeleteInstances", (MADE,)),
    ("rds", "DescribeBlueGreenDeployments"): _LIST,
    ("rds", "DescribeDBClusterEndpoints"): Rule("ReadEndpoints", (CLUSTER, ENDPOINT)),
    ("rds", "DescribeDBClusters"): Rule("ReadCluster", (CLUSTER,)),
    ("rds", "DescribeDBInstances"): Rule("ReadInstances", (EVERY_INSTANCE,)),
    ("rds", "DescribeEvents"): _LIST,
    ("rds", "DescribeGlobalClusters"): Rule("ReadGlobalClusters", ("every global-cluster",)),
    ("rds", "DescribePendingMaintenanceActions"): _LIST,
    ("rds", "FailoverDBCluster"): _OF_CLUSTER,
    ("rds", "FailoverGlobalCluster"): _OF_GLOBAL,
    ("rds", "ModifyDBCluster"): _OF_CLUSTER,
    ("rds", "ModifyDBClusterEndpoint"): Rule("ChangeEndpoints", (ENDPOINT,)),
    ("rds", "ModifyDBInstance"): _OF_INSTANCES,
    ("rds", "RebootDBInstance"): _OF_INSTANCES,
    ("rds", "RemoveTagsFromResource"): _LEASE,
    ("rds", "StartDBCluster"): _OF_CLUSTER,
    ("rds", "StopDBCluster"): _OF_CLUSTER,
    ("rds", "SwitchoverGlobalCluster"): _OF_GLOBAL,
}
"""What each operation needs. One that is missing here can be in no policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The resources, by ARN, that a run may touch.

    `made` are the instances that it deletes or creates, `used` the parameter groups and such that a
    new one needs. `role` and `key` are the monitoring role and the KMS key of instances that are made
    again. `instances_opted_in`: each bears the opt-in tag itself.
    """

    cluster: str
    is_cluster: bool
    instances: tuple[str, ...]
    made: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    made_tags: frozenset[str] = frozenset()
    endpoints: tuple[str, ...] = ()
    global_cluster: str = ""
    global_members: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    instances_opted_in: bool = False

    def arn(self, kind: str, name: str, *, service: str = "rds") -> str:
        """Return the ARN of a resource in the cluster's account and Region."""
        _, partition, _, region, account, *_ = self.cluster.split(":")
        colon = "/" if service == "fis" else ":"
        return f"arn:{partition}:{service}:{region}:{account}:{kind}{colon}{name}"

    def resources(self, kind: str) -> tuple[str, ...]:
        """Return the ARNs of a kind of resource."""
        _, partition, _, _, account, *_ = self.cluster.split(":")
        every_global = f"arn:{partition}:rds::{account}:global-cluster:*"
        return {
            ANY: ("*",),
            # Of an instance that is in no cluster, the service is asked as of a cluster first.
            CLUSTER: (self.cluster,)
            if self.is_cluster
            else (self.cluster, self.arn("cluster", self.cluster.rpartition(":")[2])),
            ENDPOINT: self.endpoints or (self.arn("cluster-endpoint", "*"),),
            GLOBAL: (self.global_cluster or every_global,),
            GLOBAL_MEMBER: self.global_members or (self.cluster,),
            INSTANCE: self.instances,
            EVERY_INSTANCE: (self.arn("db", "*"),),
            MADE: self.made,
            USED: self.used,
            "every global-cluster": (every_global,),
            "safety-lever": (self.arn("safety-lever", "default", service="fis"),),
        }[kind]


def document(calls: Iterable[Call], scope: Scope) -> dict[str, Any]:
    """Return the policy that allows these calls on these resources, and nothing else.

    Raises:
        KeyError: an operation is not in the table.
    """
    statements: dict[str, dict[str, Any]] = {}

    def allow(
        sid: str, action: str, resources: Iterable[str], condition: Mapping[str, Any]
    ) -> None:
        made = statements.setdefault(
            sid, {"Sid": sid, "Effect": "Allow", "Action": set(), "Resource": set()}
        )
        made["Action"].add(action)
        made["Resource"].update(resources)
        if condition:
            made["Condition"] = dict(condition)

    operations = {(call.service, call.operation) for call in calls}
    for service, operation in sorted(operations):
        rule = RULES[service, operation]
        condition = rule.condition
        if rule is _OF_INSTANCES and scope.instances_opted_in:
            condition = _OPTED_IN
        resources = (arn for kind in rule.resources for arn in scope.resources(kind))
        allow(rule.sid, f"{service}:{operation}", resources, condition)
    if ("rds", "CreateDBInstance") in operations:
        _what_creation_depends_on(allow, scope)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {**one, "Action": sorted(one["Action"]), "Resource": sorted(one["Resource"])}
            for _, one in sorted(statements.items())
        ],
    }


def _what_creation_depends_on(allow: Any, scope: Scope) -> None:
    """Allow the dependent actions of CreateDBInstance, where the instances have what needs them."""
    if scope.made_tags:
        keys = {"ForAllValues:StringEquals": {"aws:TagKeys": sorted(scope.made_tags)}}
        allow("TagInstances", "rds:AddTagsToResource", scope.made, keys)
    if scope.roles:
        to = {"StringEquals": {"iam:PassedToService": "monitoring.rds.amazonaws.com"}}
        allow("PassMonitoringRole", "iam:PassRole", scope.roles, to)
    for action in ("CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKey"):
        if scope.keys:
            allow("UseKeys", f"kms:{action}", scope.keys, {})
