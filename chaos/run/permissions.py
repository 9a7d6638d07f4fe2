"""The IAM policy of one experiment: what its plan calls, on the resources that the plan names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from chaos.definition.steps import target_of
from chaos.errors import GuardRefused
from chaos.model.topology import Topology
from chaos.run.plan import Plan
from chaos.safety.calls import Call
from chaos.safety.guards import OPT_IN_TAG, OPT_IN_VALUE
from chaos.safety.policy import Scope, document
from chaos.safety.stops import Alarm, every
from chaos.safety.undo import CreateInstance, DeleteInstance, SetEndpointMembers


def policy_of(plan: Plan) -> dict[str, Any]:
    """Return the policy document for exactly the experiment of a plan.

    Raises:
        GuardRefused: a fault finds no target, so that what it calls is not known.
        ControlPlaneError: the global cluster cannot be described.
    """
    for one in plan.foreseen:
        if one.aim.refusal:
            raise GuardRefused(
                f"what step {one.aim.step} calls is not known: {one.aim.refusal}; name a cluster "
                "on which it is possible with --cluster"
            )
    return document(calls_of(plan), scope_of(plan))


def calls_of(plan: Plan) -> Iterator[Call]:
    """Yield every call of a run: of guards, of who watches, of faults, undo records and the lease."""
    situation = plan.situation
    named = (situation.limits.alarms, situation.safety.alarms)
    alarms = any(source.names or source.prefixes for source in named) or any(
        isinstance(stop, Alarm) for stop in every(plan.experiment.stop_when)
    )
    unused = set() if alarms else {"DescribeAlarms"}
    if situation.safety.fis_safety_lever == "ignore":
        unused.add("GetSafetyLever")
    yield from (call for call in plan.reading if call.operation not in unused)
    yield from plan.changing


def scope_of(plan: Plan) -> Scope:
    """Return the resources that a run of a plan may touch."""
    topology = plan.situation.topology
    records = [record for _, record in plan.records]
    made_again = [record for record in records if isinstance(record, CreateInstance)]
    added = {record.instance for record in records if isinstance(record, DeleteInstance)}
    settings = [dict(record.settings) for record in made_again]
    if added and topology.writer:
        settings.append(dict(topology.writer.settings))
    # They are numbered, and others may be there when their turn has come.
    made = [*_removed(plan), *sorted(f"{name.rstrip('0123456789')}*" for name in added)]
    bare = Scope(cluster=topology.arn, is_cluster=topology.is_cluster, instances=())
    return Scope(
        cluster=topology.arn,
        is_cluster=topology.is_cluster,
        instances=tuple(bare.arn("db", member.id) for member in topology.members),
        made=tuple(bare.arn("db", instance) for instance in made),
        used=_used(settings, bare) if made else (),
        made_tags=frozenset(
            str(tag["Key"]) for one in settings for tag in _listed(one.get("Tags"))
        ),
        endpoints=tuple(
            bare.arn("cluster-endpoint", record.endpoint)
            for record in records
            if isinstance(record, SetEndpointMembers)
        ),
        **_worldwide(plan, topology),
        roles=_values(settings, "MonitoringRoleArn"),
        keys=_values(settings, "PerformanceInsightsKMSKeyId"),
        instances_opted_in=all(
            {"Key": OPT_IN_TAG, "Value": OPT_IN_VALUE} in _listed(member.settings.get("Tags"))
            for member in topology.members
        ),
    )


def _removed(plan: Plan) -> list[str]:
    """Return the instances that faults may delete, and undo records create again.

    A selector may mean another member when its turn has come, so then it may be any.
    """
    members = [member.id for member in plan.situation.topology.members]
    found: set[str] = set()
    for one in plan.foreseen:
        if one.aim.removed:
            named = target_of(one.fault) in members
            found.update(one.aim.removed if named else members)
    return sorted(found)


def _worldwide(plan: Plan, topology: Topology) -> dict[str, Any]:
    """Return the global cluster and its members, where a fault moves it."""
    if not any("GlobalCluster" in call.operation for call in plan.changing):
        return {}
    found = plan.situation.rds.global_cluster()
    if found is None:
        return {}
    _, partition, _, _, account, *_ = topology.arn.split(":")
    return {
        "global_cluster": f"arn:{partition}:rds::{account}:global-cluster:{found.id}",
        "global_members": tuple(member.arn for member in found.members),
    }


def _used(settings: Iterable[dict[str, Any]], bare: Scope) -> tuple[str, ...]:
    """Return the groups that a new instance is made with; the service's defaults where none is said."""
    groups = {bare.arn("og", "default*"), bare.arn("subgrp", "*")}
    for one in settings:
        groups.add(bare.arn("pg", str(one.get("DBParameterGroupName") or "default*")))
    return tuple(sorted(groups))


def _values(settings: Iterable[dict[str, Any]], name: str) -> tuple[str, ...]:
    return tuple(sorted({str(one[name]) for one in settings if one.get(name)}))


def _listed(tags: object) -> list[dict[str, str]]:
    return list(tags) if isinstance(tags, list | tuple) else []
