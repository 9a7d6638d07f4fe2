"""The requests of each fault, and of what undoes it, against botocore's model of the service.

A parameter that the model does not have, or another one than is listed here, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
from fix_aws import Stubs
from fix_rds import VirtualClock, topology
from fix_service import REPORTS, SECONDARY, WORLD, FakeService, multi_az

from chaos.aws.rds import ControlPlane
from chaos.faults.add_reader import AddReader
from chaos.faults.base import Before, Context, Fault
from chaos.faults.change_custom_endpoint import ChangeCustomEndpoint
from chaos.faults.change_instance_class import ChangeInstanceClass
from chaos.faults.change_promotion_tier import ChangePromotionTier
from chaos.faults.delete_all_readers import DeleteAllReaders
from chaos.faults.delete_reader import DeleteReader
from chaos.faults.delete_writer import DeleteWriter
from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.failover_global import FailoverGlobal
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.reboot_with_failover import RebootWithFailover
from chaos.faults.scale_capacity import ScaleCapacity
from chaos.faults.stop_cluster import StopCluster
from chaos.faults.switchover_global import SwitchoverGlobal
from chaos.model.topology import Topology
from chaos.run.session import look_before
from chaos.safety.ports import Restorer

CLUSTER = {"DBClusterIdentifier": "c1"}
SETTINGS = {"DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql"}
Request = tuple[str, Mapping[str, Any]]


def deleted(name: str) -> Request:
    return ("delete_db_instance", {"DBInstanceIdentifier": name, "SkipFinalSnapshot": True})


def created(name: str, **settings: Any) -> Request:
    wanted = {"DBInstanceIdentifier": name, **CLUSTER, **SETTINGS, **settings}
    return ("create_db_instance", wanted)


def modified(name: str, **settings: Any) -> Request:
    wanted = {"DBInstanceIdentifier": name, "ApplyImmediately": True, **settings}
    return ("modify_db_instance", wanted)


def members(*, static: list[str], excluded: list[str]) -> Request:
    wanted = {
        "DBClusterEndpointIdentifier": "reports",
        "StaticMembers": static,
        "ExcludedMembers": excluded,
    }
    return ("modify_db_cluster_endpoint", wanted)


def bounds(least: float, most: float) -> Request:
    wanted = {"MinCapacity": least, "MaxCapacity": most}
    return ("modify_db_cluster", {**CLUSTER, "ServerlessV2ScalingConfiguration": wanted})


def rebooted(name: str, **how: bool) -> Request:
    return ("reboot_db_instance", {"DBInstanceIdentifier": name, **how})


# Fault, cluster, requests of the injection, requests of its undoing.
REQUESTS: list[tuple[Fault, Topology, list[Request], list[Request]]] = [
    (FailoverCluster(), topology(), [("failover_db_cluster", CLUSTER)], []),
    (
        FailoverCluster(target="i3"),
        topology(),
        [("failover_db_cluster", {**CLUSTER, "TargetDBInstanceIdentifier": "i3"})],
        [],
    ),
    (RebootWithFailover(), topology(), [("failover_db_cluster", CLUSTER)], []),
    (RebootWithFailover(), multi_az(), [rebooted("i1", ForceFailover=True)], []),
    (RebootInstance(target="all readers"), topology(), [rebooted("i2"), rebooted("i3")], []),
    (
        DeleteReader(),
        topology(),
        [deleted("i2")],
        [members(static=["i2"], excluded=[]), created("i2", PromotionTier=1)],
    ),
    (DeleteWriter(), topology(), [deleted("i1")], [created("i1", PromotionTier=1)]),
    (
        DeleteAllReaders(),
        topology(),
        [deleted("i2"), deleted("i3")],
        [
            members(static=["i2"], excluded=[]),
            created("i2", PromotionTier=1),
            created("i3", PromotionTier=2),
        ],
    ),
    (
        AddReader(instance_class="db.r6g.xlarge", availability_zone="eu-west-1b", promotion_tier=9),
        topology(),
        [
            created(
                "c1-gameday-1",
                DBInstanceClass="db.r6g.xlarge",
                AvailabilityZone="eu-west-1b",
                PromotionTier=9,
            )
        ],
        [deleted("c1-gameday-1")],
    ),
    (
        StopCluster(),
        topology(),
        [("stop_db_cluster", CLUSTER)],
        [("start_db_cluster", CLUSTER)],
    ),
    (
        ChangeInstanceClass(target="i2", instance_class="db.r6g.xlarge"),
        topology(),
        [modified("i2", DBInstanceClass="db.r6g.xlarge")],
        [modified("i2", DBInstanceClass="db.r6g.large")],
    ),
    (
        ChangePromotionTier(tier=15),
        topology(),
        [modified("i2", PromotionTier=15)],
        [modified("i2", PromotionTier=1)],
    ),
    (
        ChangeCustomEndpoint(endpoint="reports", excluded_members=("i3",)),
        topology(),
        [members(static=[], excluded=["i3"])],
        [members(static=["i2"], excluded=[])],
    ),
    (ScaleCapacity(min_acu=0.5, max_acu=2), topology(), [bounds(0.5, 2)], [bounds(1, 8)]),
]
by_fault = pytest.mark.parametrize(
    ("fault", "state", "injecting", "undoing"),
    REQUESTS,
    ids=[f"{fault.fault}-{number}" for number, (fault, *_) in enumerate(REQUESTS)],
)


def before(fault: Fault, state: Topology) -> Before:
    """Look at a cluster in memory, as a run does at the real one."""
    service = FakeService(VirtualClock(), state=state, endpoints=(REPORTS,))
    if fault.fault.endswith("-global"):
        service.worldwide = WORLD
    return look_before(fault, service.context, None, "key")


class Undoing:
    """What undo records send through: the real API, which described a cluster a moment ago."""

    def __init__(self, plane: ControlPlane, state: Topology) -> None:
        self.rds = self
        self._plane = plane
        self._state = state

    def topology(self) -> Topology:
        return self._state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane, name)


@by_fault
def test_exactly_these_requests_are_sent(
    fault: Fault,
    state: Topology,
    injecting: list[Request],
    undoing: list[Request],
    plane: ControlPlane,
    stubs: Stubs,
) -> None:
    for operation, parameters in (*injecting, *undoing):
        stubs("rds").add_response(operation, {}, parameters)
    seen = before(fault, state)
    fault.inject(Context(plane, FakeService(VirtualClock())), seen)
    for record in fault.undo(seen):
        record.send(cast("Restorer", Undoing(plane, state)))


@by_fault
def test_plan_and_policy_are_told_of_them(
    fault: Fault, state: Topology, injecting: list[Request], undoing: list[Request]
) -> None:
    seen = before(fault, state)
    told = {c.operation.lower(): c.count for c in fault.calls(seen)}
    assert sum(told.values()) == len(injecting)
    assert set(told) == {operation.replace("_", "") for operation, _ in injecting}
    undo = [call.operation.lower() for record in fault.undo(seen) for call in record.calls()]
    assert undo == [operation.replace("_", "") for operation, _ in undoing]


GLOBAL = {"GlobalClusterIdentifier": "world", "TargetDbClusterIdentifier": SECONDARY}
DESCRIBED = {
    "GlobalClusters": [
        {
            "GlobalClusterIdentifier": "world",
            "Status": "available",
            "GlobalClusterMembers": [
                {"DBClusterArn": member.arn, "IsWriter": member.is_primary}
                for member in WORLD.members
            ],
        }
    ]
}


@pytest.mark.parametrize(
    ("fault", "operation", "region", "parameters"),
    [
        (SwitchoverGlobal(), "switchover_global_cluster", "eu-west-1", GLOBAL),
        (
            FailoverGlobal(),
            "failover_global_cluster",
            "us-east-1",
            {**GLOBAL, "AllowDataLoss": True},
        ),
    ],
    ids=lambda value: getattr(value, "fault", ""),
)
def test_a_region_is_asked_for_the_change_of_the_primary(
    fault: Fault,
    operation: str,
    region: str,
    parameters: dict[str, Any],
    plane: ControlPlane,
    stubs: Stubs,
) -> None:
    """A switchover is asked of the present primary's Region, a failover of the target's."""
    stubs("rds").add_response("describe_global_clusters", DESCRIBED)
    stubs("rds", region).add_response(operation, {}, parameters)
    seen = before(fault, topology())
    fault.inject(Context(plane, FakeService(VirtualClock())), seen)
    assert [c.operation.lower() for c in fault.calls(seen)] == [operation.replace("_", "")]
