"""The API, the names and the databases of one real cluster tell the same story."""

from __future__ import annotations

import http.client
import json
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from fix_server import LiveCluster

from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(20)

IS_READER = "SELECT pg_is_in_recovery()"


@pytest.fixture(autouse=True)
def _available_again(live: LiveCluster) -> Any:
    yield
    live.await_available(members=3)


@pytest.fixture
def valid(live: LiveCluster) -> Any:
    """Check every answer that the client gets meanwhile against its output shape."""
    wrong: list[str] = []
    model = botocore.session.get_session().get_service_model("rds")

    def check(parsed: dict[str, Any], model_name: str = "", **more: Any) -> None:
        if "Error" in parsed:
            return
        shape = model.operation_model(more["model"].name).output_shape
        if shape is None:
            return
        body = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        report = ParamValidator().validate(body, shape)
        if report.has_errors():
            wrong.append(report.generate_report())

    live.rds.meta.events.register("after-call.rds.*", check, "check")
    yield
    live.rds.meta.events.unregister("after-call.rds.*", unique_id="check")
    assert wrong == []


def test_every_endpoint_leads_to_the_instance_that_the_api_names(
    live: LiveCluster, valid: None
) -> None:
    writer = live.api_writer()
    assert live.dns_writer() == writer
    assert live.sql("cluster", IS_READER) is False
    assert live.sql("reader", IS_READER) is True
    for instance in live.instances():
        assert live.sql(instance, "SELECT aurora_db_instance_identifier()") == instance
        assert live.sql(instance, IS_READER) is (instance != writer)


def test_a_failover_moves_role_api_and_name_in_this_order(live: LiveCluster, valid: None) -> None:
    old = live.api_writer()
    target = next(i for i in live.instances() if i != old)
    answer = live.rds.failover_db_cluster(
        DBClusterIdentifier="live", TargetDBInstanceIdentifier=target
    )
    assert answer["DBCluster"]["Status"] == "failing-over"
    seen: list[tuple[bool, bool, bool]] = []

    def moved() -> bool:
        # Who moves last is looked at first: whatever comes between two looks, the later ones moved.
        by_name = live.dns_writer() == target
        by_api = live.api_writer() == target
        by_role = live.sql(target, IS_READER) is False
        seen.append((by_role, by_api, by_name))
        return all(seen[-1])

    wait_until(moved, "the failover", timeout_s=60, interval_s=0.01, errors=(Exception,))
    assert all(by_role >= by_api >= by_name for by_role, by_api, by_name in seen)
    live.await_available(members=3)
    assert live.sql(old, IS_READER) is True, "the old writer is back as a reader"
    messages = [e["Message"] for e in live.rds.describe_events(SourceType="db-cluster")["Events"]]
    assert f"Completed failover to DB instance: {target}" in messages


def test_a_second_failover_during_the_first_is_refused(live: LiveCluster) -> None:
    def is_refused() -> bool:  # The first may be over, where nobody ran for a while.
        try:
            for _ in range(2):
                live.rds.failover_db_cluster(DBClusterIdentifier="live")
        except live.rds.exceptions.InvalidDBClusterStateFault:
            return True
        return False

    wait_until(is_refused, "a failover to be refused", timeout_s=60)


def test_the_writer_is_no_target_of_a_failover(live: LiveCluster) -> None:
    with pytest.raises(live.rds.exceptions.ClientError) as refused:
        live.rds.failover_db_cluster(
            DBClusterIdentifier="live", TargetDBInstanceIdentifier=live.api_writer()
        )
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_reboot_shows_and_ends(live: LiveCluster, valid: None) -> None:
    reader = next(i for i in live.instances() if i != live.api_writer())
    before = live.sql(reader, "SELECT pg_postmaster_start_time()")
    answer = live.rds.reboot_db_instance(DBInstanceIdentifier=reader)
    assert answer["DBInstance"]["DBInstanceStatus"] == "rebooting"
    live.await_available(members=3)
    assert live.sql(reader, "SELECT pg_postmaster_start_time()") > before


def test_a_reader_comes_and_goes(live: LiveCluster, valid: None) -> None:
    made = live.rds.create_db_instance(
        DBInstanceIdentifier="Live-Extra",
        DBClusterIdentifier="live",
        DBInstanceClass="db.serverless",
        Engine="aurora-postgresql",
        PromotionTier=9,
        Tags=[{"Key": "kept", "Value": "yes"}],
    )["DBInstance"]
    assert (made["DBInstanceStatus"], made["PromotionTier"]) == ("creating", 9)
    assert "Endpoint" not in made
    with pytest.raises(live.rds.exceptions.DBInstanceAlreadyExistsFault):
        live.rds.create_db_instance(
            DBInstanceIdentifier="live-extra",
            DBClusterIdentifier="live",
            DBInstanceClass="db.serverless",
            Engine="aurora-postgresql",
        )
    live.await_available(members=4)
    extra = live.instances()["live-extra"]
    assert extra["TagList"] == [{"Key": "kept", "Value": "yes"}]
    assert extra["Endpoint"]["Address"].startswith("live-extra.")
    answer = live.rds.delete_db_instance(DBInstanceIdentifier="live-extra", SkipFinalSnapshot=True)
    assert answer["DBInstance"]["DBInstanceStatus"] == "deleting"
    live.await_available(members=3)
    with pytest.raises(live.rds.exceptions.DBInstanceNotFoundFault):
        live.rds.describe_db_instances(DBInstanceIdentifier="live-extra")


def test_capacity_moves_into_its_new_bounds(live: LiveCluster, valid: None) -> None:
    answer = live.rds.modify_db_cluster(
        DBClusterIdentifier="live",
        ServerlessV2ScalingConfiguration={"MinCapacity": 2.0, "MaxCapacity": 16.0},
    )
    assert answer["DBCluster"]["Status"] == "modifying"
    live.await_available(members=3)
    assert live.cluster()["ServerlessV2ScalingConfiguration"] == {
        "MinCapacity": 2.0,
        "MaxCapacity": 16.0,
    }
    wait_until(
        lambda: {i["capacity_acu"] for i in _status(live)["instances"]} == {2.0},
        "the capacity to follow",
        timeout_s=60,
    )


def test_tags_come_and_go(live: LiveCluster, valid: None) -> None:
    """Taking the opt-in tag away is how a user forbids game days on a cluster."""
    arn = live.cluster()["DBClusterArn"]
    instance = next(iter(live.instances().values()))["DBInstanceArn"]
    live.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["gameday"])
    assert live.cluster()["TagList"] == []
    for resource in (arn, instance):
        tags = [{"Key": "gameday", "Value": "allowed"}]
        live.rds.add_tags_to_resource(ResourceName=resource, Tags=tags)
        assert live.rds.list_tags_for_resource(ResourceName=resource)["TagList"] == tags
    with pytest.raises(live.rds.exceptions.ClientError, match="at most 50"):
        live.rds.add_tags_to_resource(
            ResourceName=arn, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)]
        )


def test_the_control_address_crashes_an_instance(live: LiveCluster) -> None:
    writer = live.api_writer()
    before = {i["id"]: i["pid"] for i in _status(live)["instances"]}
    connection = http.client.HTTPConnection(*live.state.control, timeout=30)
    connection.request(
        "POST",
        "/control/disturbances",
        json.dumps({"kind": "crash", "instance": writer}),
        {"Content-Type": "application/json"},
    )
    assert connection.getresponse().status == 202
    connection.close()
    wait_until(lambda: live.api_writer() != writer, "a crash failover", timeout_s=60)
    live.await_available(members=3)
    after = {i["id"]: i["pid"] for i in _status(live)["instances"]}
    assert after[writer] not in {None, before[writer]}


def _status(live: LiveCluster) -> dict[str, Any]:
    connection = http.client.HTTPConnection(*live.state.control, timeout=30)
    connection.request("GET", "/control/status")
    status: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return status
