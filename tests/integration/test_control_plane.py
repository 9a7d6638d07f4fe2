"""Unmodified boto3 against the control plane, in front of a cluster without servers."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from fix_control_plane import (
    CREATED,
    REGION,
    ControlPlane,
    PaperCluster,
    cluster_record,
    rds_client,
)

from chaos.clock import Anchor
from chaos.testcluster.records import (
    ApiError,
    ClusterChanges,
    EventRecord,
    InstanceSpec,
    ServerlessBounds,
)

CLUSTER_ARN = f"arn:aws:rds:{REGION}:000000000000:cluster:orders"
READER = "orders-instance-002"
READER_ARN = f"arn:aws:rds:{REGION}:000000000000:db:{READER}"
CRASH = json.dumps({"kind": "crash", "instance": READER})
ANCHOR = Anchor.take()
NOW = ANCHOR.wall(ANCHOR.monotonic_ns)


def event(
    message: str, *, minutes_ago: float = 0, source: str = "orders", **more: Any
) -> EventRecord:
    fields = {"source_type": "db-cluster", "categories": ("failover",), **more}
    return EventRecord(
        at=NOW - timedelta(minutes=minutes_ago),
        source_id=source,
        region=REGION,
        event_id="RDS-EVENT-0071",
        message=message,
        **fields,
    )


def require_valid(operation: str, answer: dict[str, Any]) -> None:
    """Check an answer against the output shape, in which every name and type is AWS's."""
    shape = botocore.session.get_session().get_service_model("rds").operation_model(operation)
    body = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    if shape.output_shape is None:
        assert body == {}
        return
    report = ParamValidator().validate(body, shape.output_shape)
    assert not report.has_errors(), report.generate_report()


REQUESTS: dict[str, dict[str, Any]] = {
    "AddTagsToResource": {"ResourceName": CLUSTER_ARN, "Tags": [{"Key": "a", "Value": "b"}]},
    "CreateDBInstance": {
        "DBInstanceIdentifier": "orders-4",
        "DBClusterIdentifier": "orders",
        "DBInstanceClass": "db.serverless",
        "Engine": "aurora-postgresql",
        "Tags": [{"Key": "a", "Value": "b"}],
    },
    "DeleteDBInstance": {"DBInstanceIdentifier": READER, "SkipFinalSnapshot": True},
    "DescribeDBClusters": {"DBClusterIdentifier": "orders"},
    "DescribeDBInstances": {"DBInstanceIdentifier": READER},
    "DescribeEvents": {"SourceType": "db-cluster", "SourceIdentifier": "orders"},
    "FailoverDBCluster": {"DBClusterIdentifier": "orders", "TargetDBInstanceIdentifier": READER},
    "ListTagsForResource": {"ResourceName": CLUSTER_ARN},
    "ModifyDBCluster": {
        "DBClusterIdentifier": "orders",
        "ServerlessV2ScalingConfiguration": {"MinCapacity": 1.0, "MaxCapacity": 4.0},
        "ApplyImmediately": True,
    },
    "RebootDBInstance": {"DBInstanceIdentifier": READER},
    "RemoveTagsFromResource": {"ResourceName": READER_ARN, "TagKeys": ["a"]},
}


@pytest.mark.parametrize("operation", sorted(REQUESTS))
def test_every_offered_operation_answers_in_its_output_shape(
    control_plane: ControlPlane, boto_rds: Any, operation: str
) -> None:
    control_plane.cluster.happened.append(event("Completed failover"))
    method = next(m for m, name in boto_rds.meta.method_to_api_mapping.items() if name == operation)
    answer = getattr(boto_rds, method)(**REQUESTS[operation])
    require_valid(operation, answer)
    metadata = answer["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 200
    assert metadata["RequestId"] == metadata["HTTPHeaders"]["x-amzn-requestid"]
    tells = operation not in {"AddTagsToResource", "RemoveTagsFromResource"}
    assert (len(answer) > 1) == tells


def test_a_cluster_is_described_where_clients_look(boto_rds: Any) -> None:
    (cluster,) = boto_rds.describe_db_clusters()["DBClusters"]
    assert cluster["DBClusterArn"] == CLUSTER_ARN
    assert cluster["Endpoint"] == "orders.cluster-abc123def456.eu-west-1.rds.amazonaws.com"
    assert cluster["ReaderEndpoint"] == "orders.cluster-ro-abc123def456.eu-west-1.rds.amazonaws.com"
    assert [m["IsClusterWriter"] for m in cluster["DBClusterMembers"]] == [True, False, False]
    assert cluster["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0.5, "MaxCapacity": 8.0}
    assert cluster["TagList"] == [{"Key": "gameday", "Value": "allowed"}]
    assert cluster["ClusterCreateTime"] == CREATED
    assert cluster["MultiAZ"] is True
    assert (cluster["Port"], cluster["Status"]) == (5432, "available")


def test_an_instance_has_no_endpoint_until_it_is_created(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    made = boto_rds.create_db_instance(**REQUESTS["CreateDBInstance"])["DBInstance"]
    assert made["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in made
    (other,) = boto_rds.describe_db_instances(DBInstanceIdentifier=READER)["DBInstances"]
    assert other["Endpoint"]["Address"] == f"{READER}.abc123def456.eu-west-1.rds.amazonaws.com"
    assert other["Endpoint"]["Port"] == 5432


@pytest.mark.parametrize("name", ["orders", "ORDERS", CLUSTER_ARN])
def test_a_cluster_is_found_by_name_or_arn_in_any_case(boto_rds: Any, name: str) -> None:
    assert boto_rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]["Status"]
    by_filter = boto_rds.describe_db_clusters(Filters=[{"Name": "db-cluster-id", "Values": [name]}])
    assert len(by_filter["DBClusters"]) == 1


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([{"Name": "db-cluster-id", "Values": ["orders"]}], 3),
        ([{"Name": "db-cluster-id", "Values": [CLUSTER_ARN]}], 3),
        ([{"Name": "db-cluster-id", "Values": ["other"]}], 0),
        ([{"Name": "db-instance-id", "Values": [READER, "orders-instance-003"]}], 2),
        ([{"Name": "db-instance-id", "Values": [READER_ARN]}], 1),
        ([{"Name": "engine", "Values": ["aurora-postgresql"]}], 3),
        ([{"Name": "engine", "Values": ["mysql"]}], 0),
        ([{"Name": "domain", "Values": ["corp"]}], 0),
        (
            [
                {"Name": "db-cluster-id", "Values": ["orders"]},
                {"Name": "db-instance-id", "Values": [READER]},
            ],
            1,
        ),
    ],
)
def test_filters_choose_instances(boto_rds: Any, filters: list[dict[str, Any]], found: int) -> None:
    assert len(boto_rds.describe_db_instances(Filters=filters)["DBInstances"]) == found


def test_an_unknown_filter_is_refused(boto_rds: Any) -> None:
    with pytest.raises(ClientError, match="Unrecognized filter name: colour") as refused:
        boto_rds.describe_db_instances(Filters=[{"Name": "colour", "Values": ["red"]}])
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_pages_are_complete_and_without_repetition(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    control_plane.cluster.record = cluster_record(instances=47)
    pages = list(
        boto_rds.get_paginator("describe_db_instances").paginate(PaginationConfig={"PageSize": 20})
    )
    assert [len(page["DBInstances"]) for page in pages] == [20, 20, 7]
    ids = [instance["DBInstanceIdentifier"] for page in pages for instance in page["DBInstances"]]
    assert ids == sorted(ids)
    assert len(set(ids)) == 47


def test_a_page_after_a_deleted_instance_skips_nothing(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    control_plane.cluster.record = cluster_record(instances=30)
    first = boto_rds.describe_db_instances(MaxRecords=20)
    control_plane.cluster.delete_instance(first["DBInstances"][-1]["DBInstanceIdentifier"])
    second = boto_rds.describe_db_instances(MaxRecords=20, Marker=first["Marker"])
    assert second["DBInstances"][0]["DBInstanceIdentifier"] == "orders-instance-021"


@pytest.mark.parametrize(
    "parameters", [{"MaxRecords": 19}, {"MaxRecords": 101}, {"Marker": "not ours"}]
)
def test_wrong_paging_is_refused(boto_rds: Any, parameters: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as refused:
        boto_rds.describe_db_clusters(**parameters)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_unknown_names_raise_the_modelled_classes(boto_rds: Any) -> None:
    with pytest.raises(
        boto_rds.exceptions.DBClusterNotFoundFault, match="DBCluster nope not found"
    ) as f:
        boto_rds.describe_db_clusters(DBClusterIdentifier="nope")
    assert f.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    with pytest.raises(
        boto_rds.exceptions.DBInstanceNotFoundFault, match="DBInstance nope not found"
    ):
        boto_rds.describe_db_instances(DBInstanceIdentifier="nope")
    for call in (boto_rds.reboot_db_instance, boto_rds.delete_db_instance):
        with pytest.raises(boto_rds.exceptions.DBInstanceNotFoundFault):
            call(DBInstanceIdentifier="nope")
    for call in (boto_rds.failover_db_cluster, boto_rds.modify_db_cluster):
        with pytest.raises(boto_rds.exceptions.DBClusterNotFoundFault):
            call(DBClusterIdentifier="nope")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("InvalidDBClusterStateFault", "InvalidDBClusterStateFault"),
        ("InvalidDBInstanceState", "InvalidDBInstanceStateFault"),
        ("InvalidDBInstanceStateFault", "InvalidDBInstanceStateFault"),
    ],
)
def test_the_cluster_s_own_refusal_reaches_the_client(
    control_plane: ControlPlane, boto_rds: Any, code: str, name: str
) -> None:
    control_plane.cluster.refusal = ApiError(code, "not now")
    with pytest.raises(getattr(boto_rds.exceptions, name), match="not now"):
        boto_rds.failover_db_cluster(DBClusterIdentifier="orders")


def test_failover_passes_the_target_and_shows_the_state(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    answer = boto_rds.failover_db_cluster(
        DBClusterIdentifier=CLUSTER_ARN, TargetDBInstanceIdentifier=READER.upper()
    )
    assert control_plane.cluster.calls == [("failover", READER)]
    assert answer["DBCluster"]["Status"] == "failing-over"


def test_reboot_passes_force_failover_on(control_plane: ControlPlane, boto_rds: Any) -> None:
    boto_rds.reboot_db_instance(DBInstanceIdentifier=READER, ForceFailover=True)
    assert control_plane.cluster.calls == [("reboot", (READER, True))]


def test_what_an_instance_was_created_with_is_shown_and_creates_it_again(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    """Delete and create again gives the same instance: what a fault's recovery relies on."""
    settings = {
        "DBParameterGroupName": "mine",
        "MonitoringInterval": 5,
        "PubliclyAccessible": True,
        "CopyTagsToSnapshot": True,
        "AutoMinorVersionUpgrade": False,
        "PreferredMaintenanceWindow": "sun:05:00-sun:05:30",
        "CACertificateIdentifier": "rds-ca-ecc384-g1",
        "MonitoringRoleArn": "arn:aws:iam::000000000000:role/monitor",
    }
    boto_rds.create_db_instance(
        **REQUESTS["CreateDBInstance"], PromotionTier=7, AvailabilityZone="eu-west-1b", **settings
    )
    assert control_plane.cluster.calls == [
        (
            "create_instance",
            InstanceSpec(
                id="orders-4",
                availability_zone="eu-west-1b",
                promotion_tier=7,
                tags={"a": "b"},
                settings=settings,
            ),
        )
    ]
    (made,) = boto_rds.describe_db_instances(DBInstanceIdentifier="orders-4")["DBInstances"]
    assert made["DBParameterGroups"][0]["DBParameterGroupName"] == "mine"
    assert {name: made[name] for name in settings if name in made} == {
        name: value for name, value in settings.items() if name != "DBParameterGroupName"
    }
    assert (made["PromotionTier"], made["TagList"]) == (7, [{"Key": "a", "Value": "b"}])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"DBClusterIdentifier": None}, "InvalidParameterCombination"),
        ({"DBClusterIdentifier": "other"}, "DBClusterNotFoundFault"),
        ({"Engine": "aurora-mysql"}, "InvalidParameterCombination"),
        ({"EngineVersion": "11.1"}, "InvalidParameterCombination"),
        ({"DBInstanceClass": "huge"}, "InvalidParameterValue"),
        ({"PromotionTier": 16}, "InvalidParameterValue"),
        ({"AvailabilityZone": "us-east-1a"}, "InvalidParameterValue"),
        ({"MultiAZ": True}, "InvalidParameterCombination"),
        ({"MasterUsername": "boss"}, "InvalidParameterCombination"),
        ({"Iops": 3000}, "InvalidParameterCombination"),
        ({"DBInstanceIdentifier": "4-orders"}, "InvalidParameterValue"),
        ({"DBInstanceIdentifier": "orders--4"}, "InvalidParameterValue"),
        ({"DBInstanceIdentifier": "orders-"}, "InvalidParameterValue"),
        ({"DBInstanceIdentifier": "o" * 64}, "InvalidParameterValue"),
    ],
)
def test_an_instance_that_cannot_be_a_member_is_refused(
    control_plane: ControlPlane, boto_rds: Any, change: dict[str, Any], code: str
) -> None:
    request = {**REQUESTS["CreateDBInstance"], **change}
    with pytest.raises(ClientError) as refused:
        boto_rds.create_db_instance(**{name: v for name, v in request.items() if v is not None})
    assert refused.value.response["Error"]["Code"] == code
    assert control_plane.cluster.calls == []


@pytest.mark.parametrize(
    ("scaling", "bounds"),
    [
        ({"MinCapacity": 1, "MaxCapacity": 64}, ServerlessBounds(min_acu=1, max_acu=64)),
        ({"MaxCapacity": 2.5}, ServerlessBounds(min_acu=0.5, max_acu=2.5)),
        ({"MinCapacity": 8}, ServerlessBounds(min_acu=8, max_acu=8)),
    ],
)
def test_capacity_changes_what_it_names_and_keeps_the_rest(
    control_plane: ControlPlane, boto_rds: Any, scaling: dict[str, float], bounds: ServerlessBounds
) -> None:
    boto_rds.modify_db_cluster(
        DBClusterIdentifier="orders", ServerlessV2ScalingConfiguration=scaling
    )
    assert control_plane.cluster.calls == [("modify", ClusterChanges(serverless=bounds))]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "InvalidParameterCombination"),
        ({"Port": 80}, "InvalidParameterValue"),
        ({"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.3}}, "InvalidParameterValue"),
        ({"ServerlessV2ScalingConfiguration": {"MaxCapacity": 0.5}}, "InvalidParameterValue"),
        ({"ServerlessV2ScalingConfiguration": {"MaxCapacity": 256.5}}, "InvalidParameterValue"),
        ({"ServerlessV2ScalingConfiguration": {"MinCapacity": 9.0}}, "InvalidParameterValue"),
        (
            {"ServerlessV2ScalingConfiguration": {"MinCapacity": float("nan")}},
            "InvalidParameterValue",
        ),
        (
            {"ServerlessV2ScalingConfiguration": {"MinCapacity": 1, "SecondsUntilAutoPause": 300}},
            "InvalidParameterCombination",
        ),
    ],
)
def test_a_capacity_that_aurora_would_not_take_is_refused(
    control_plane: ControlPlane, boto_rds: Any, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        boto_rds.modify_db_cluster(DBClusterIdentifier="orders", **parameters)
    assert refused.value.response["Error"]["Code"] == code
    assert control_plane.cluster.calls == []


def test_events_are_chosen_by_source_time_and_category(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    control_plane.cluster.happened += [
        event("old", minutes_ago=90),
        event("created", minutes_ago=30, categories=("creation",)),
        event("restarted", minutes_ago=20, source=READER, source_type="db-instance"),
        event("completed", minutes_ago=10),
    ]

    def messages(**parameters: Any) -> list[str]:
        return [entry["Message"] for entry in boto_rds.describe_events(**parameters)["Events"]]

    def ago(minutes: float) -> datetime:
        return NOW - timedelta(minutes=minutes)

    assert messages() == ["created", "restarted", "completed"], "the last hour by default"
    assert messages(Duration=120)[0] == "old"
    assert messages(StartTime=ago(100)) == ["old", "created", "restarted", "completed"]
    assert messages(StartTime=ago(100), EndTime=ago(25)) == ["old", "created"]
    assert messages(StartTime=ago(100), Duration=30) == ["old"]
    assert messages(EndTime=ago(25)) == ["created"], "an hour before the end"
    assert messages(SourceType="db-instance") == ["restarted"]
    assert messages(SourceType="db-instance", SourceIdentifier=READER.upper()) == ["restarted"]
    assert messages(SourceType="db-instance", SourceIdentifier="nope") == []
    assert messages(EventCategories=["creation", "failure"]) == ["created"]
    (restarted,) = boto_rds.describe_events(SourceType="db-instance")["Events"]
    assert restarted["SourceArn"] == READER_ARN
    assert abs(restarted["Date"] - ago(20)) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"SourceIdentifier": "orders"}, "InvalidParameterCombination"),
        ({"Duration": 0}, "InvalidParameterValue"),
        ({"StartTime": NOW, "EndTime": NOW - timedelta(1)}, "InvalidParameterCombination"),
        ({"Filters": [{"Name": "engine", "Values": ["x"]}]}, "InvalidParameterValue"),
    ],
)
def test_a_contradictory_question_about_events_is_refused(
    boto_rds: Any, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        boto_rds.describe_events(**parameters)
    assert refused.value.response["Error"]["Code"] == code


def test_events_come_in_pages(control_plane: ControlPlane, boto_rds: Any) -> None:
    control_plane.cluster.happened += [event(f"number {n}") for n in range(250)]
    pages = boto_rds.get_paginator("describe_events").paginate(PaginationConfig={"PageSize": 100})
    messages = [entry["Message"] for page in pages for entry in page["Events"]]
    assert messages == [f"number {n}" for n in range(250)]


def test_tags_belong_to_a_resource(control_plane: ControlPlane, boto_rds: Any) -> None:
    cluster = control_plane.cluster
    cluster.record = replace(cluster.record, tags={"team": "payments", "empty": ""})
    assert boto_rds.list_tags_for_resource(ResourceName=CLUSTER_ARN)["TagList"] == [
        {"Key": "team", "Value": "payments"},
        {"Key": "empty", "Value": ""},
    ]
    assert boto_rds.list_tags_for_resource(ResourceName=READER_ARN)["TagList"] == [
        {"Key": "gameday", "Value": "allowed"}
    ]
    with pytest.raises(boto_rds.exceptions.DBInstanceNotFoundFault):
        boto_rds.list_tags_for_resource(ResourceName=READER_ARN + "x")
    with pytest.raises(ClientError, match="Invalid resource name"):
        boto_rds.list_tags_for_resource(ResourceName="orders")


def test_tags_are_changed_where_their_arn_says(control_plane: ControlPlane, boto_rds: Any) -> None:
    boto_rds.add_tags_to_resource(ResourceName=CLUSTER_ARN, Tags=[{"Key": "a"}])
    boto_rds.remove_tags_from_resource(ResourceName=READER_ARN, TagKeys=["gameday", "x"])
    assert control_plane.cluster.calls == [
        ("retag", (None, {"a": ""}, [])),
        ("retag", (READER, {}, ["gameday", "x"])),
    ]
    for key in ("", "aws:mine", "AWS:mine"):
        with pytest.raises(ClientError, match="cannot be a tag's key"):
            boto_rds.add_tags_to_resource(ResourceName=CLUSTER_ARN, Tags=[{"Key": key}])


def test_an_operation_that_is_not_offered_says_what_is(boto_rds: Any) -> None:
    with pytest.raises(
        ClientError, match=r"does not offer CopyDBSnapshot\. It offers .*Failover"
    ) as f:
        boto_rds.copy_db_snapshot(
            SourceDBSnapshotIdentifier="one", TargetDBSnapshotIdentifier="other"
        )
    assert f.value.response["Error"]["Code"] == "InvalidAction"
    assert f.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"region_name": "us-west-2"}, "SignatureDoesNotMatch"),
        ({"config": Config(signature_version=botocore.UNSIGNED)}, "MissingAuthenticationToken"),
    ],
)
def test_a_request_for_somewhere_else_is_refused(
    control_plane: ControlPlane, settings: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        rds_client(control_plane.url, **settings).describe_db_clusters()
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_another_service_is_told_which_there_are(control_plane: ControlPlane) -> None:
    client = rds_client(control_plane.url, service="sns")
    with pytest.raises(ClientError, match="offers rds, monitoring, sts, tagging, not 'sns'"):
        client.list_topics()


def test_a_bug_of_ours_is_answered_as_aws_answers_its_own(
    control_plane: ControlPlane, boto_rds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: PaperCluster) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(PaperCluster, "snapshot", broken)
    with pytest.raises(ClientError, match="DescribeDBClusters failed") as refused:
        boto_rds.describe_db_clusters()
    assert refused.value.response["Error"]["Code"] == "InternalFailure"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert "secret detail" not in str(refused.value)


def send(
    plane: ControlPlane, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, bytes]:
    """Send what no SDK would; the answer's status and body."""
    connection = http.client.HTTPConnection(*plane.address, timeout=5)
    with contextlib.closing(connection):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, fields)
        reply = connection.getresponse()
        return reply.status, reply.read()


def test_a_browser_is_told_what_this_is(control_plane: ControlPlane) -> None:
    status, body = send(control_plane, "GET", "/")
    assert status == 200
    assert b"test cluster" in body
    assert send(control_plane, "GET", "/favicon.ico")[0] == 404


def test_malformed_http_is_refused_and_the_server_lives_on(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential=a/20261121/{REGION}/rds/aws4_request"}
    assert send(control_plane, "POST", "/", b"Action=\xff", **signed)[0] == 400
    assert send(control_plane, "POST", "/", b"", **signed)[0] == 400
    assert send(control_plane, "POST", "/", b"x", Content_Length="999999999")[0] == 413
    assert send(control_plane, "POST", "/", b"x", Content_Length="many")[0] == 411
    assert send(control_plane, "POST", "/elsewhere", b"x")[0] == 404
    assert send(control_plane, "DELETE", "/")[0] == 404
    assert boto_rds.describe_db_clusters()["DBClusters"]


def test_status_tells_everything_but_the_password(control_plane: ControlPlane) -> None:
    code, body = send(control_plane, "GET", "/control/status")
    status = json.loads(body)
    assert code == 200
    assert status["endpoints"]["cluster"].startswith("orders.cluster-abc123def456.")
    assert status["endpoints"][READER].startswith(READER)
    assert [i["role"] for i in status["instances"]] == ["writer", "reader", "reader"]
    assert {"address", "pid", "capacity_acu", "status", "port"} <= set(status["instances"][0])
    assert (status["user"], status["database"]) == ("gameday", "gameday")
    assert status["api_url"] == control_plane.url
    assert status["name_server"]["domain"] == "eu-west-1.rds.amazonaws.com"
    assert "modelled" in status["durations"]
    assert b"password" not in body


def test_the_control_address_commands_the_cluster(control_plane: ControlPlane) -> None:
    as_json = {"Content_Type": "application/json"}
    assert send(control_plane, "POST", "/control/disturbances", CRASH.encode(), **as_json)[0] == 202
    assert control_plane.cluster.calls == [("crash", READER)]
    assert send(control_plane, "POST", "/control/shutdown", b"", **as_json)[0] == 202
    assert control_plane.stopped == [True]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (("POST", "/control/disturbances", b"{}", "application/json"), 400),
        (("POST", "/control/disturbances", b"[]", "application/json"), 400),
        (("POST", "/control/disturbances", b"{", "application/json"), 400),
        (("POST", "/control/disturbances", CRASH.encode(), "text/plain"), 415),
        (("POST", "/control/disturbances", b'{"kind": "crush"}', "application/json"), 400),
        (("POST", "/control/disturbances", b'{"kind": "crash"}', "application/json"), 400),
        (("DELETE", "/control/disturbances/crash-1", None, "application/json"), 400),
        (("POST", "/control/explode", b"{}", "application/json"), 404),
        (("GET", "/control/explode", None, "application/json"), 404),
    ],
)
def test_a_wrong_control_request_commands_nothing(
    control_plane: ControlPlane,
    request_: tuple[str, str, bytes | None, str],
    code: int,
) -> None:
    method, path, body, content_type = request_
    status, answer = send(control_plane, method, path, body, Content_Type=content_type)
    assert status == code
    assert json.loads(answer)["error"]
    assert control_plane.cluster.calls == []


def test_the_cluster_s_refusal_reaches_the_control_address(control_plane: ControlPlane) -> None:
    control_plane.cluster.refusal = ApiError("DBInstanceNotFound", "DBInstance x not found.")
    status, answer = send(
        control_plane,
        "POST",
        "/control/disturbances",
        CRASH.encode(),
        Content_Type="application/json",
    )
    assert status == 400
    assert "DBInstance x not found." in json.loads(answer)["error"]


def test_many_clients_are_served_at_once(control_plane: ControlPlane) -> None:
    answers: list[int] = []

    def ask() -> None:
        client = rds_client(control_plane.url)
        answers.extend(len(client.describe_db_clusters()["DBClusters"]) for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [1] * 80
