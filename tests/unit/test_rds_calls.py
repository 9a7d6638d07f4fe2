"""Exactly these requests reach AWS: botocore's stub rejects any other parameter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import ANY, Stubber

from chaos.aws.rds import ApiAccess, ControlPlane
from chaos.errors import ControlPlaneError
from chaos.model.topology import Capacity

ACCESS = ApiAccess(region="eu-west-1", access_key="any", secret_key="any")


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane("c1", ACCESS)


@pytest.fixture
def stub(plane: ControlPlane) -> Iterator[Stubber]:
    with Stubber(plane._api.client()) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("operation", "parameters", "call"),
    [
        (
            "failover_db_cluster",
            {"DBClusterIdentifier": "c1"},
            lambda plane: plane.failover(None),
        ),
        (
            "failover_db_cluster",
            {"DBClusterIdentifier": "c1", "TargetDBInstanceIdentifier": "i2"},
            lambda plane: plane.failover("i2"),
        ),
        ("reboot_db_instance", {"DBInstanceIdentifier": "i1"}, lambda plane: plane.reboot("i1")),
        (
            "delete_db_instance",
            {"DBInstanceIdentifier": "i2", "SkipFinalSnapshot": True},
            lambda plane: plane.delete_instance("i2"),
        ),
        (
            "create_db_instance",
            {
                "DBInstanceIdentifier": "i2",
                "DBClusterIdentifier": "c1",
                "DBInstanceClass": "db.r6g.large",
                "Engine": "aurora-postgresql",
                "PromotionTier": 2,
                "AvailabilityZone": "eu-west-1b",
                "Tags": [{"Key": "a", "Value": "b"}],
            },
            lambda plane: plane.create_instance(
                "i2",
                {
                    "DBInstanceClass": "db.r6g.large",
                    "Engine": "aurora-postgresql",
                    "PromotionTier": 2,
                    "AvailabilityZone": "eu-west-1b",
                    "Tags": [{"Key": "a", "Value": "b"}],
                },
            ),
        ),
        (
            "modify_db_cluster",
            {
                "DBClusterIdentifier": "c1",
                "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4.0},
            },
            lambda plane: plane.set_capacity(Capacity(min_acu=0.5, max_acu=4.0)),
        ),
    ],
)
def test_a_change_is_exactly_one_documented_request_and_is_told(
    plane: ControlPlane, stub: Stubber, operation: str, parameters: dict[str, Any], call: Any
) -> None:
    told: list[Any] = []
    plane.on_change(told.append)
    stub.add_response(
        operation, {"ResponseMetadata": {"RequestId": "r-1", "HTTPStatusCode": 200}}, parameters
    )
    call(plane)
    assert told == [
        {
            "operation": plane._api.client().meta.method_to_api_mapping[operation],
            "parameters": parameters,
            "request_id": "r-1",
            "error_code": None,
        }
    ]


def test_a_refusal_keeps_the_service_s_code_and_is_told(plane: ControlPlane, stub: Stubber) -> None:
    told: list[Any] = []
    plane.on_change(told.append)
    stub.add_client_error("failover_db_cluster", "InvalidDBClusterStateFault", "not now", 400)
    with pytest.raises(ControlPlaneError, match="not now") as raised:
        plane.failover(None)
    assert raised.value.code == "InvalidDBClusterStateFault"
    assert told[0]["error_code"] == "InvalidDBClusterStateFault"


def test_throttling_is_retried_and_nothing_else_is(plane: ControlPlane, stub: Stubber) -> None:
    stub.add_client_error("reboot_db_instance", "Throttling", "slow down", 400)
    stub.add_response("reboot_db_instance", {"ResponseMetadata": {"RequestId": "r-2"}})
    plane.reboot("i1")
    stub.add_client_error("reboot_db_instance", "InternalFailure", "oops", 500)
    with pytest.raises(ControlPlaneError, match="oops"):
        plane.reboot("i1")


def test_a_topology_joins_cluster_and_instances(plane: ControlPlane, stub: Stubber) -> None:
    stub.add_response(
        "describe_db_clusters",
        {
            "DBClusters": [
                {
                    "DBClusterIdentifier": "c1",
                    "DBClusterArn": "arn:aws:rds:eu-west-1:123456789012:cluster:c1",
                    "Status": "available",
                    "Engine": "aurora-postgresql",
                    "Port": 5432,
                    "Endpoint": "c1.cluster-x",
                    "ReaderEndpoint": "c1.cluster-ro-x",
                    "DBClusterMembers": [
                        {"DBInstanceIdentifier": "i1", "IsClusterWriter": True, "PromotionTier": 0},
                        {
                            "DBInstanceIdentifier": "i2",
                            "IsClusterWriter": False,
                            "PromotionTier": 3,
                        },
                    ],
                    "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 8.0},
                    "TagList": [{"Key": "gameday", "Value": "allowed"}],
                }
            ]
        },
        {"DBClusterIdentifier": "c1"},
    )
    stub.add_response(
        "describe_db_instances",
        {
            "DBInstances": [
                {
                    "DBInstanceIdentifier": "i1",
                    "DBInstanceStatus": "available",
                    "DBInstanceClass": "db.serverless",
                    "Engine": "aurora-postgresql",
                    "Endpoint": {"Address": "i1.x", "Port": 5432},
                    "DBParameterGroups": [{"DBParameterGroupName": "mine"}],
                }
            ]
        },
        {"Filters": ANY},
    )
    topology = plane.topology()
    assert topology.writer is not None
    assert topology.writer.settings == {
        "DBInstanceClass": "db.serverless",
        "Engine": "aurora-postgresql",
        "DBParameterGroupName": "mine",
    }
    assert topology.member("i2").status == "unknown"  # type: ignore[union-attr]
    assert topology.capacity == Capacity(min_acu=0.5, max_acu=8.0)
    assert not topology.all_available()


def test_an_unreachable_api_says_where_it_was_looked_for() -> None:
    plane = ControlPlane("c1", ApiAccess(**{**_fields(), "endpoint_url": "http://127.0.0.1:9"}))
    with pytest.raises(ControlPlaneError, match=r"127\.0\.0\.1:9") as raised:
        plane.topology()
    assert isinstance(raised.value.__cause__, EndpointConnectionError)


def _fields() -> dict[str, Any]:
    return {"region": "eu-west-1", "access_key": "any", "secret_key": "any"}
