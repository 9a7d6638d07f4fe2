"""Custom endpoints through boto3: their life, and where their names lead through failovers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fix_control_plane import ControlPlane
from fix_rds_model import Refused, Served

from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(20)

HERE = "eu-west-1.rds.amazonaws.com"


@pytest.fixture(scope="module")
def orders(served: Served) -> Served:
    """A writer and two readers: orders-instance-1 to 3."""
    served.start_cluster(id="orders", readers=2)
    served.start_cluster(id="stock", readers=0)
    return served


@pytest.fixture
def endpoint(orders: Served) -> Iterator[Any]:
    """Create custom endpoints of `orders`, and wait until they serve; gone after the test."""
    made: list[str] = []

    def create(name: str, kind: str, **lists: list[str]) -> str:
        answer = orders.rds.create_db_cluster_endpoint(
            DBClusterIdentifier="orders",
            DBClusterEndpointIdentifier=name,
            EndpointType=kind,
            **lists,
        )
        made.append(name)
        assert answer["Status"] == "creating"
        await_status(orders, name, "available")
        found: str = answer["Endpoint"]
        return found

    yield create
    for name in made:
        orders.rds.delete_db_cluster_endpoint(DBClusterEndpointIdentifier=name)
    wait_until(lambda: not custom(orders), "the endpoints to be gone", timeout_s=60)


def custom(served: Served, **wanted: Any) -> list[dict[str, Any]]:
    found = served.rds.describe_db_cluster_endpoints(**wanted)["DBClusterEndpoints"]
    return [e for e in found if e["EndpointType"] == "CUSTOM"]


def status(served: Served, name: str) -> str:
    (found,) = custom(served, DBClusterEndpointIdentifier=name)
    shown: str = found["Status"]
    return shown


def await_status(served: Served, name: str, wanted: str) -> None:
    wait_until(lambda: status(served, name) == wanted, f"{name} to be {wanted}", timeout_s=60)


def at(served: Served, *numbers: int) -> set[str]:
    return {served.address(f"orders-instance-{number}") for number in numbers}


def test_the_built_in_endpoints_are_listed_with_the_custom_ones(
    orders: Served, endpoint: Any
) -> None:
    name = endpoint("Reports", "reader", StaticMembers=["ORDERS-instance-2"])
    assert name.startswith("reports.cluster-custom-")
    assert name.endswith(HERE)
    found = orders.rds.describe_db_cluster_endpoints(DBClusterIdentifier="orders")
    by_type = {e["EndpointType"]: e for e in found["DBClusterEndpoints"]}
    cluster = orders.cluster("orders")
    assert by_type["WRITER"]["Endpoint"] == cluster["Endpoint"]
    assert by_type["READER"]["Endpoint"] == cluster["ReaderEndpoint"]
    assert cluster["CustomEndpoints"] == [name]
    made = by_type["CUSTOM"]
    assert made["CustomEndpointType"] == "READER"
    assert made["StaticMembers"] == ["orders-instance-2"]
    arn = made["DBClusterEndpointArn"]
    assert arn.endswith(":cluster-endpoint:reports")
    orders.rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "a", "Value": "1"}])
    assert orders.rds.list_tags_for_resource(ResourceName=arn)["TagList"] == [
        {"Key": "a", "Value": "1"}
    ]
    assert custom(orders, DBClusterEndpointIdentifier=arn) == [made]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("db-cluster-endpoint-type", ["writer"], 2),
        ("db-cluster-endpoint-type", ["custom", "reader"], 3),
        ("db-cluster-endpoint-custom-type", ["ANY"], 1),
        ("db-cluster-endpoint-custom-type", ["reader"], 0),
        ("db-cluster-endpoint-id", ["all"], 1),
        ("db-cluster-endpoint-status", ["available"], 5),
    ],
)
def test_filters(
    orders: Served, endpoint: Any, name: str, values: list[str], expected: int
) -> None:
    endpoint("all", "ANY")
    found = orders.rds.describe_db_cluster_endpoints(Filters=[{"Name": name, "Values": values}])
    assert len(found["DBClusterEndpoints"]) == expected


def test_a_secondary_cluster_s_writer_endpoint_is_inactive(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    record = replace(control_plane.cluster.record, is_secondary=True)
    control_plane.cluster.record = record
    found = boto_rds.describe_db_cluster_endpoints()["DBClusterEndpoints"]
    statuses = {e["EndpointType"]: e["Status"] for e in found}
    assert statuses == {"WRITER": "inactive", "READER": "available"}


def test_a_name_exists_from_available_to_deleting_and_follows_its_group(
    orders: Served, endpoint: Any
) -> None:
    name = endpoint("some", "ANY", StaticMembers=["orders-instance-1", "orders-instance-2"])
    assert orders.behind(name) == at(orders, 1, 2)
    answer = orders.rds.modify_db_cluster_endpoint(
        DBClusterEndpointIdentifier="some", ExcludedMembers=["orders-instance-1"]
    )
    assert (answer["Status"], answer["StaticMembers"]) == ("modifying", [])
    assert answer["ExcludedMembers"] == ["orders-instance-1"]
    await_status(orders, "some", "available")
    assert orders.behind(name) == at(orders, 2, 3)
    orders.rds.create_db_cluster_endpoint(
        DBClusterIdentifier="orders", DBClusterEndpointIdentifier="brief", EndpointType="ANY"
    )
    await_status(orders, "brief", "available")
    gone = orders.rds.delete_db_cluster_endpoint(DBClusterEndpointIdentifier="brief")
    assert gone["Status"] == "deleting"
    assert orders.behind(gone["Endpoint"]) == set()


def test_through_a_failover_lists_stay_and_names_lead_to_what_serves(
    orders: Served, endpoint: Any
) -> None:
    writer = next(
        m["DBInstanceIdentifier"]
        for m in orders.cluster("orders")["DBClusterMembers"]
        if m["IsClusterWriter"]
    )
    target = next(f"orders-instance-{n}" for n in (2, 3) if f"orders-instance-{n}" != writer)
    both = endpoint("both", "ANY", StaticMembers=[writer, target])
    readers = endpoint("readers", "READER")
    pinned = endpoint("pinned", "READER", StaticMembers=[target])
    assert orders.behind(readers) == at(orders, 1, 2, 3) - {orders.address(writer)}
    orders.rds.failover_db_cluster(DBClusterIdentifier="orders", TargetDBInstanceIdentifier=target)
    orders.await_available("orders", 3)
    assert orders.behind(readers) == at(orders, 1, 2, 3) - {orders.address(target)}
    assert orders.behind(both) == {orders.address(writer), orders.address(target)}
    (shown,) = custom(orders, DBClusterEndpointIdentifier="pinned")
    assert shown["StaticMembers"] == [target]
    assert orders.behind(pinned) == {orders.address(target)}


def test_a_member_that_is_down_is_not_handed_out_and_a_deleted_one_leaves_the_lists(
    orders: Served, endpoint: Any
) -> None:
    orders.rds.create_db_instance(
        DBInstanceIdentifier="extra",
        DBClusterIdentifier="orders",
        DBInstanceClass="db.serverless",
        Engine="aurora-postgresql",
    )
    orders.await_available("orders", 4)
    listed = endpoint("listed", "ANY", StaticMembers=["extra", "orders-instance-3"])
    wide = endpoint("wide", "ANY")
    without = endpoint("without", "ANY", ExcludedMembers=["extra"])
    extra = orders.address("extra")
    assert extra in orders.behind(wide)
    assert extra not in orders.behind(without)

    def left_out_while_rebooting() -> bool:
        if orders.instance("extra")["DBInstanceStatus"] == "available":
            orders.rds.reboot_db_instance(DBInstanceIdentifier="extra")
        return orders.behind(listed) == at(orders, 3)

    wait_until(left_out_while_rebooting, "the reboot to be seen", timeout_s=60, interval_s=0.01)
    orders.await_available("orders", 4)
    assert orders.behind(listed) == {extra, *at(orders, 3)}
    orders.rds.delete_db_instance(DBInstanceIdentifier="extra")
    assert extra not in orders.behind(listed) | orders.behind(wide)
    orders.await_available("orders", 3)
    by_name = {e["DBClusterEndpointIdentifier"]: e for e in custom(orders)}
    assert by_name["listed"]["StaticMembers"] == ["orders-instance-3"]
    assert by_name["without"]["ExcludedMembers"] == []


def test_what_is_refused(orders: Served, endpoint: Any, refused: Refused) -> None:
    rds = orders.rds
    fields = {"DBClusterIdentifier": "orders", "EndpointType": "ANY"}

    def create(code: str, **changed: Any) -> str:
        fresh = {"DBClusterEndpointIdentifier": "fresh", **fields, **changed}
        return refused(code, rds.create_db_cluster_endpoint, **fresh)

    for number in range(5):
        endpoint(f"e{number}", "ANY")
    assert "maximum of 5" in create("DBClusterEndpointQuotaExceededFault")
    create("DBClusterEndpointAlreadyExistsFault", DBClusterEndpointIdentifier="E1")
    # The name is taken in the whole Region.
    create(
        "DBClusterEndpointAlreadyExistsFault",
        DBClusterEndpointIdentifier="e1",
        DBClusterIdentifier="stock",
    )
    create("DBClusterNotFoundFault", DBClusterIdentifier="none")
    create("DBInstanceNotFound", StaticMembers=["stock-instance-1"])
    create("InvalidParameterValue", EndpointType="WRITER")
    create("InvalidParameterValue", DBClusterEndpointIdentifier="-no-")
    create(
        "InvalidParameterCombination",
        StaticMembers=["orders-instance-1"],
        ExcludedMembers=["orders-instance-2"],
    )
    modify = rds.modify_db_cluster_endpoint
    refused("DBClusterEndpointNotFoundFault", modify, DBClusterEndpointIdentifier="none")
    refused("InvalidParameterCombination", modify, DBClusterEndpointIdentifier="e1")
    refused(
        "DBInstanceNotFound", modify, DBClusterEndpointIdentifier="e1", StaticMembers=["nobody"]
    )
    delete = rds.delete_db_cluster_endpoint
    refused("DBClusterEndpointNotFoundFault", delete, DBClusterEndpointIdentifier="none")
    busy = wait_until(lambda: refusal_while_modifying(rds), "it to be busy", timeout_s=60)
    assert "modifying" in busy
    await_status(orders, "e1", "available")


def refusal_while_modifying(rds: Any) -> str | None:
    """Return why a second change at once is refused; None where the first was done already."""
    try:
        for kind in ("READER", "ANY"):
            rds.modify_db_cluster_endpoint(DBClusterEndpointIdentifier="e1", EndpointType=kind)
    except rds.exceptions.InvalidDBClusterEndpointStateFault as error:
        message: str = error.response["Error"]["Message"]
        return message
    return None
