"""Requests, refusals and the control address, as HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from fix_control_plane import (
    READER,
    READER_ARN,
    REGION,
    ControlPlane,
    PaperCluster,
    rds_client,
)

from chaos.testcluster.records import (
    ApiError,
)

CRASH = json.dumps({"kind": "crash", "instance": READER})


def test_an_answer_has_a_request_id_and_else_only_what_the_operation_returns(boto_rds: Any) -> None:
    for answer, members in (
        (boto_rds.describe_db_clusters(), {"DBClusters"}),
        (boto_rds.remove_tags_from_resource(ResourceName=READER_ARN, TagKeys=["a"]), set()),
    ):
        metadata = answer.pop("ResponseMetadata")
        assert metadata["HTTPStatusCode"] == 200
        assert metadata["RequestId"] == metadata["HTTPHeaders"]["x-amzn-requestid"]
        assert set(answer) == members


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
    with pytest.raises(ClientError, match="offers rds, monitoring, fis, sts, tagging, not 'sns'"):
        client.list_topics()
    for service, method in (("s3", "list_buckets"), ("lambda", "list_functions")):
        client = rds_client(control_plane.url, service=service)
        with pytest.raises(ClientError, match=f"offers rds, monitoring, .* not '{service}'"):
            getattr(client, method)()
    with pytest.raises(ClientError, match="not 's3'"):
        rds_client(control_plane.url, service="s3").put_object(Bucket="b", Key="k", Body=b"x")


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
    connection = http.client.HTTPConnection(*plane.address, timeout=30)
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
        (("DELETE", "/control/disturbances/crash-1", None, "application/json"), 404),
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
