"""Exactly these requests reach AWS: botocore's stub rejects any other parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from fix_aws import ACCESS, ARN, Stubs

from chaos.aws.rds import ApiAccess, ControlPlane
from chaos.errors import ControlPlaneError
from chaos.model.topology import Capacity

CLUSTER = {"DBClusterIdentifier": "c1"}
SETTINGS = {
    "DBInstanceClass": "db.r6g.large",
    "Engine": "aurora-postgresql",
    "PromotionTier": 2,
    "AvailabilityZone": "eu-west-1b",
    "Tags": [{"Key": "a", "Value": "b"}],
}
Calls = Callable[[ControlPlane], None]
CHANGES: list[tuple[str, dict[str, Any], Calls]] = [
    ("failover_db_cluster", CLUSTER, lambda plane: plane.failover(None)),
    (
        "failover_db_cluster",
        {**CLUSTER, "TargetDBInstanceIdentifier": "i2"},
        lambda plane: plane.failover("i2"),
    ),
    ("reboot_db_instance", {"DBInstanceIdentifier": "i1"}, lambda plane: plane.reboot("i1")),
    (
        "reboot_db_instance",
        {"DBInstanceIdentifier": "i1", "ForceFailover": True},
        lambda plane: plane.reboot("i1", force_failover=True),
    ),
    (
        "delete_db_instance",
        {"DBInstanceIdentifier": "i2", "SkipFinalSnapshot": True},
        lambda plane: plane.delete_instance("i2"),
    ),
    (
        "create_db_instance",
        {"DBInstanceIdentifier": "i2", **CLUSTER, **SETTINGS},
        lambda plane: plane.create_instance("i2", SETTINGS),
    ),
    (
        "modify_db_instance",
        {"DBInstanceIdentifier": "i2", "PromotionTier": 15, "ApplyImmediately": True},
        lambda plane: plane.modify_instance("i2", {"PromotionTier": 15}),
    ),
    (
        "modify_db_cluster",
        {
            **CLUSTER,
            "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4.0},
        },
        lambda plane: plane.set_capacity(Capacity(min_acu=0.5, max_acu=4.0)),
    ),
    (
        "modify_db_cluster",
        {
            **CLUSTER,
            "ServerlessV2ScalingConfiguration": {
                "MinCapacity": 0,
                "MaxCapacity": 4,
                "SecondsUntilAutoPause": 300,
            },
        },
        lambda plane: plane.set_capacity(Capacity(min_acu=0, max_acu=4, pause_after_s=300)),
    ),
    ("stop_db_cluster", CLUSTER, lambda plane: plane.stop_cluster()),
    ("start_db_cluster", CLUSTER, lambda plane: plane.start_cluster()),
    (
        "modify_db_cluster_endpoint",
        {
            "DBClusterEndpointIdentifier": "e1",
            "StaticMembers": ["i1", "i2"],
            "ExcludedMembers": [],
        },
        lambda plane: plane.modify_endpoint("e1", static=("i1", "i2"), excluded=()),
    ),
    (
        "modify_db_cluster_endpoint",
        {"DBClusterEndpointIdentifier": "e1", "StaticMembers": [], "ExcludedMembers": ["i3"]},
        lambda plane: plane.modify_endpoint("e1", static=(), excluded=("i3",)),
    ),
]


@pytest.mark.parametrize(("operation", "parameters", "call"), CHANGES)
def test_a_change_is_exactly_one_documented_request_and_is_told(
    plane: ControlPlane, stubs: Stubs, operation: str, parameters: dict[str, Any], call: Calls
) -> None:
    told: list[Any] = []
    plane.on_change(told.append)
    stub = stubs("rds")
    stub.add_response(
        operation, {"ResponseMetadata": {"RequestId": "r-1", "HTTPStatusCode": 200}}, parameters
    )
    call(plane)
    assert told == [
        {
            "operation": stub.client.meta.method_to_api_mapping[operation],
            "parameters": parameters,
            "request_id": "r-1",
            "error_code": None,
        }
    ]
    assert plane.reads() == {}


def test_tags_are_the_cluster_s_whose_arn_is_asked_for_once(
    plane: ControlPlane, stubs: Stubs
) -> None:
    stub = stubs("rds")
    stubs.describe()
    stub.add_response(
        "add_tags_to_resource",
        {},
        {"ResourceName": ARN, "Tags": [{"Key": "gameday-lease", "Value": "until"}]},
    )
    stub.add_response(
        "remove_tags_from_resource", {}, {"ResourceName": ARN, "TagKeys": ["gameday-lease"]}
    )
    plane.set_tags({"gameday-lease": "until"})
    plane.remove_tags(["gameday-lease"])
    assert plane.reads() == {"DescribeDBClusters": 1, "DescribeDBInstances": 1}


NEAR, FAR = ARN, "arn:aws:rds:us-east-1:123456789012:cluster:c2"
WORLD = {
    "GlobalClusterIdentifier": "w",
    "Status": "available",
    "Endpoint": "w.global-x.global.rds.amazonaws.com",
    "GlobalClusterMembers": [
        {"DBClusterArn": FAR, "IsWriter": True, "Readers": [NEAR]},
        {"DBClusterArn": NEAR, "IsWriter": False, "Readers": []},
    ],
}


def test_a_switchover_is_asked_of_the_primary_s_region(plane: ControlPlane, stubs: Stubs) -> None:
    stubs("rds").add_response("describe_global_clusters", {"GlobalClusters": [WORLD]}, {})
    stubs("rds", "us-east-1").add_response(
        "switchover_global_cluster",
        {},
        {"GlobalClusterIdentifier": "w", "TargetDbClusterIdentifier": NEAR},
    )
    calls: list[Any] = []
    plane.on_call(calls.append)
    plane.switchover_global(NEAR)
    assert [(call.region, call.operation) for call in calls] == [
        ("eu-west-1", "DescribeGlobalClusters"),
        ("us-east-1", "SwitchoverGlobalCluster"),
    ]


def test_a_lossy_failover_is_asked_of_the_region_that_takes_over(
    plane: ControlPlane, stubs: Stubs
) -> None:
    world = {**WORLD, "GlobalClusterMembers": WORLD["GlobalClusterMembers"][::-1]}  # type: ignore[index]
    stubs("rds").add_response("describe_global_clusters", {"GlobalClusters": [world]}, {})
    stubs("rds", "us-east-1").add_response(
        "failover_global_cluster",
        {},
        {
            "GlobalClusterIdentifier": "w",
            "TargetDbClusterIdentifier": FAR,
            "AllowDataLoss": True,
        },
    )
    plane.failover_global(FAR)


def test_without_a_global_cluster_nothing_is_sent(plane: ControlPlane, stubs: Stubs) -> None:
    other = {**WORLD, "GlobalClusterMembers": [{"DBClusterArn": FAR, "IsWriter": True}]}
    for _ in range(2):
        stubs("rds").add_response("describe_global_clusters", {"GlobalClusters": [other]}, {})
    assert plane.global_cluster() is None
    with pytest.raises(ControlPlaneError, match="c1 is in no global cluster") as raised:
        plane.switchover_global(FAR)
    assert raised.value.permanent


def test_a_refusal_keeps_the_service_s_code_and_is_told(plane: ControlPlane, stubs: Stubs) -> None:
    told: list[Any] = []
    plane.on_change(told.append)
    stubs("rds").add_client_error(
        "failover_db_cluster",
        "InvalidDBClusterStateFault",
        "not now",
        400,
        response_meta={"RequestId": "r-9"},
    )
    with pytest.raises(ControlPlaneError, match="failing over in cluster c1: not now") as raised:
        plane.failover(None)
    assert raised.value.code == "InvalidDBClusterStateFault"
    assert not raised.value.permanent
    assert (told[0]["error_code"], told[0]["request_id"]) == ("InvalidDBClusterStateFault", "r-9")


def test_a_request_that_boto3_does_not_know_is_not_worth_asking_again(
    plane: ControlPlane,
) -> None:
    with pytest.raises(ControlPlaneError, match='Unknown parameter in input: "Colour"') as raised:
        plane.create_instance("i2", {**SETTINGS, "Colour": "red"})
    assert raised.value.permanent
    assert "\n" not in str(raised.value)


def test_an_unreachable_api_says_where_it_was_looked_for() -> None:
    access = ApiAccess(
        region="eu-west-1", access_key="any", secret_key="any", endpoint_url="http://127.0.0.1:9"
    )
    plane = ControlPlane("c1", access)
    with pytest.raises(ControlPlaneError, match=r"127\.0\.0\.1:9") as raised:
        plane.topology()
    assert isinstance(raised.value.__cause__, EndpointConnectionError)
    assert (raised.value.code, raised.value.permanent) == (None, False)
    assert ACCESS.endpoint_url is None
