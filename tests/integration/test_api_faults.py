"""The API misbehaves on request, as boto3 and the AWS CLI see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from fix_control_plane import REGION, ControlPlane, rds_client

from chaos.testcluster.api.behaviour import Treatment
from chaos.testcluster.api.server import IDLE_TIMEOUT_S
from chaos.testcluster.records import EventRecord
from chaos.wait import wait_until

Ask = Callable[..., Any]


@pytest.fixture
def disturb(control_plane: ControlPlane) -> Iterator[Callable[..., str]]:
    """Begin a disturbance on the control address; return its id."""

    def begin(kind: str, **parameters: Any) -> str:
        body = json.dumps({"kind": kind, **parameters}).encode()
        return str(asked(control_plane, "POST", "disturbances", body)["id"])

    yield begin
    control_plane.cluster.disturbances.close()


@pytest.fixture
def client(control_plane: ControlPlane) -> Iterator[Callable[..., Any]]:
    """Make boto3 clients with some settings; they are closed after the test."""
    made: list[Any] = []

    def make(**settings: Any) -> Any:
        made.append(rds_client(control_plane.url, config=Config(**settings)))
        return made[-1]

    yield make
    for one in made:
        one.close()


FIRST_REFUSED = 9
ONCE: dict[str, Any] = {"retries": {"total_max_attempts": 1}}


def asked(control_plane: ControlPlane, method: str, path: str, body: bytes | None = None) -> Any:
    """The JSON that a request to the control address is answered with."""
    headers = {"Content-Type": "application/json"}
    url = f"{control_plane.url}/control/{path}"
    try:
        with urlopen(Request(url, body, headers, method=method), timeout=30) as answer:
            return json.load(answer)
    except HTTPError as refused:
        return {"status": refused.code, **json.load(refused)}


def error_of(call: Callable[[], Any]) -> tuple[int, str, str, int]:
    """HTTP status, code, message and number of retries of a refused call."""
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    told = answer["ResponseMetadata"]
    return (
        told["HTTPStatusCode"],
        answer["Error"]["Code"],
        answer["Error"]["Message"],
        told["RetryAttempts"],
    )


def test_a_throttled_request_is_refused_as_rds_does(disturb: Ask, client: Ask) -> None:
    disturb("api-throttle", rate_per_s=0, burst=2)
    rds = client(**ONCE)
    rds.describe_db_clusters()
    rds.describe_db_instances()
    assert error_of(rds.describe_db_clusters) == (400, "Throttling", "Rate exceeded", 0)


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_retries_of_boto3_get_through_a_throttle(disturb: Ask, client: Ask, mode: str) -> None:
    """Every mode retries the code; the seed refuses the first request and lets the second pass."""
    disturb("api-throttle", probability=0.5, seed=FIRST_REFUSED)
    answer = client(retries={"mode": mode, "total_max_attempts": 4}).describe_db_clusters()
    assert answer["DBClusters"]
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1


def test_boto3_gives_up_on_a_throttle_that_lets_nothing_pass(disturb: Ask, client: Ask) -> None:
    disturb("api-throttle", probability=1, code="ThrottlingException")
    rds = client(retries={"mode": "standard", "total_max_attempts": 2})
    status, code, message, retries = error_of(rds.describe_db_clusters)
    assert (status, code, retries) == (400, "ThrottlingException", 1)
    assert message.startswith("Rate exceeded")


@pytest.mark.parametrize(
    ("parameters", "status", "code", "message"),
    [
        ({}, 500, "InternalFailure", "unknown error, exception or failure"),
        ({"code": "ServiceUnavailable"}, 503, "ServiceUnavailable", "temporary failure"),
        ({"code": "InvalidDBClusterStateFault"}, 400, "InvalidDBClusterStateFault", "state"),
        (
            {"code": "DBClusterNotFoundFault", "message": "Gone."},
            404,
            "DBClusterNotFoundFault",
            "Go",
        ),
    ],
)
def test_errors_have_the_status_and_words_that_aws_gives_them(
    disturb: Ask, client: Ask, parameters: dict[str, str], status: int, code: str, message: str
) -> None:
    disturb("api-error", **parameters)
    seen = error_of(client(**ONCE).describe_db_clusters)
    assert seen[:2] == (status, code)
    assert message in seen[2]


def test_an_error_on_some_operations_leaves_the_others_alone_and_does_nothing(
    disturb: Ask, client: Ask, control_plane: ControlPlane
) -> None:
    disturb("api-error", operations=["Failover*", "Reboot*"])
    rds = client(**ONCE)
    error_of(lambda: rds.failover_db_cluster(DBClusterIdentifier="orders"))
    assert control_plane.cluster.calls == []
    assert rds.describe_db_clusters()["DBClusters"]


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("sts", "get_caller_identity"),
        ("cloudwatch", "list_metrics"),
        ("resourcegroupstaggingapi", "get_resources"),
    ],
)
@pytest.mark.parametrize(("code", "status"), [("Throttling", 400), ("ServiceUnavailable", 503)])
def test_every_service_fails_in_its_own_protocol(
    disturb: Ask, control_plane: ControlPlane, service: str, operation: str, code: str, status: int
) -> None:
    disturb("api-error", code=code)
    other = rds_client(control_plane.url, service=service, config=Config(**ONCE))
    assert error_of(getattr(other, operation))[:2] == (status, code)
    other.close()


def test_a_fault_of_one_service_is_not_the_others(
    disturb: Ask, client: Ask, control_plane: ControlPlane
) -> None:
    disturb("api-error", service="sts")
    sts = rds_client(control_plane.url, service="sts", config=Config(**ONCE))
    assert error_of(sts.get_caller_identity)[:2] == (500, "InternalFailure")
    sts.close()
    assert client(**ONCE).describe_db_clusters()["DBClusters"]


def test_the_aws_cli_sees_them_too(disturb: Ask, control_plane: ControlPlane) -> None:
    disturb("api-error", code="ServiceUnavailable", operations=["DescribeDBClusters"])
    done = subprocess.run(
        [sys.executable, "-m", "awscli", "rds", "describe-db-clusters"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": control_plane.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_MAX_ATTEMPTS": "2",
        },
    )
    assert done.returncode != 0
    assert "(ServiceUnavailable) when calling the DescribeDBClusters operation" in done.stderr
    assert "reached max retries: 1" in done.stderr


def test_a_slow_answer_comes_after_a_client_s_patience_and_the_operation_is_done(
    disturb: Ask, client: Ask, control_plane: ControlPlane
) -> None:
    """The client has given up before the failover begins, which is what makes slowness dangerous."""
    disturb("api-slow", delay_s=5, operations=["FailoverDBCluster"])
    rds = client(read_timeout=0.3, **ONCE)
    with pytest.raises(ReadTimeoutError):
        rds.failover_db_cluster(DBClusterIdentifier="orders")
    assert client(**ONCE).describe_db_clusters()["DBClusters"], "others do not wait for it"
    wait_until(
        lambda: control_plane.cluster.calls == [("failover", None)],
        "the failover to begin all the same",
        timeout_s=30,
    )


@pytest.mark.parametrize(
    ("parameters", "calls"),
    [({}, []), ({"carried_out": True}, [("failover", None)])],
    ids=["lost", "done"],
)
def test_a_dropped_connection_tells_nothing_of_the_operation(
    disturb: Ask, client: Ask, control_plane: ControlPlane, parameters: Any, calls: list[Any]
) -> None:
    disturb("api-drop", operations=["FailoverDBCluster"], **parameters)
    with pytest.raises(ConnectionClosedError):
        client(**ONCE).failover_db_cluster(DBClusterIdentifier="orders")
    assert control_plane.cluster.calls == calls


def test_silence_lasts_until_the_client_or_the_disturbance_ends_it(
    disturb: Ask, client: Ask, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = disturb("api-drop", silent=True)
    is_silent = struck_next(control_plane, monkeypatch)
    with pytest.raises(ReadTimeoutError):
        client(read_timeout=0.3, **ONCE).describe_db_clusters()
    assert is_silent.wait(60), "maybe only after its client gave up: it is not the next one's"
    is_silent.clear()
    with ThreadPoolExecutor(1) as threads:
        patient = threads.submit(client(read_timeout=120, **ONCE).describe_db_clusters)
        assert is_silent.wait(60)
        assert not patient.done()
        assert asked(control_plane, "DELETE", f"disturbances/{identifier}")["state"] == "ended"
        # Well before the server closes a connection on which nothing is asked.
        assert isinstance(patient.exception(IDLE_TIMEOUT_S / 2), ConnectionClosedError)
    assert client(**ONCE).describe_db_clusters()["DBClusters"]


def struck_next(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that is set whenever the rules have decided a request."""
    behaviour = control_plane.cluster.api_behaviour
    decided, treatment = threading.Event(), behaviour.treatment

    def observed(service: str, operation: str) -> Treatment:
        decision = treatment(service, operation)
        decided.set()
        return decision

    monkeypatch.setattr(behaviour, "treatment", observed)
    return decided


def test_descriptions_are_those_of_some_time_ago(disturb: Ask, client: Ask) -> None:
    """The answer of an operation is of now; what is described lags, and follows."""
    identifier = disturb("api-stale", behind_s=600)
    rds = client(**ONCE)

    def writer() -> str:
        (cluster,) = rds.describe_db_clusters()["DBClusters"]
        (found,) = [m for m in cluster["DBClusterMembers"] if m["IsClusterWriter"]]
        return str(found["DBInstanceIdentifier"])

    before = writer()
    rds.create_db_instance(
        DBInstanceIdentifier="orders-new",
        DBInstanceClass="db.serverless",
        Engine="aurora-postgresql",
        DBClusterIdentifier="orders",
    )
    answer = rds.failover_db_cluster(DBClusterIdentifier="orders")["DBCluster"]
    assert answer["Status"] == "failing-over"
    assert writer() == before
    seen = error_of(lambda: rds.describe_db_instances(DBInstanceIdentifier="orders-new"))
    assert seen[:2] == (404, "DBInstanceNotFound")
    assert len(rds.describe_db_instances()["DBInstances"]) == 3
    rds_control_end(rds, identifier)
    assert writer() != before
    assert len(rds.describe_db_instances()["DBInstances"]) == 4


def test_events_are_described_late(disturb: Ask, client: Ask, control_plane: ControlPlane) -> None:
    identifier = disturb("api-stale", behind_s=600, operations=["DescribeEvents"])
    rds = client(**ONCE)
    happened = EventRecord(
        at=datetime.now(UTC),  # noqa: TID251 - as the event log writes it
        region=REGION,
        source_type="db-cluster",
        source_id="orders",
        event_id="RDS-EVENT-0071",
        categories=("failover",),
        message="Completed failover to DB instance: orders-instance-002",
    )
    control_plane.cluster.happened.append(happened)
    assert rds.describe_events()["Events"] == []
    rds_control_end(rds, identifier)
    assert [e["Message"] for e in rds.describe_events()["Events"]] == [happened.message]


def rds_control_end(rds: Any, identifier: str) -> None:
    url = f"{rds.meta.endpoint_url}/control/disturbances/{identifier}"
    with urlopen(Request(url, method="DELETE"), timeout=30) as answer:
        assert answer.status == 200


def test_a_description_follows_after_its_lag(disturb: Ask, client: Ask) -> None:
    disturb("api-stale", behind_s=0.5)
    rds = client(**ONCE)

    def status() -> str:
        return str(rds.describe_db_clusters()["DBClusters"][0]["Status"])

    rds.failover_db_cluster(DBClusterIdentifier="orders")
    wait_until(lambda: status() == "failing-over", "the description to follow", timeout_s=30)


def test_old_and_new_descriptions_alternate(disturb: Ask, client: Ask) -> None:
    disturb("api-stale", behind_s=600, probability=0.5, seed=4)
    rds = client(**ONCE)
    rds.failover_db_cluster(DBClusterIdentifier="orders")
    seen = [rds.describe_db_clusters()["DBClusters"][0]["Status"] for _ in range(24)]
    assert set(seen) == {"available", "failing-over"}
    assert seen != sorted(seen), "it goes back and forth"
    assert seen != sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"kind": "api-throttle"}, "give either rate_per_s or probability"),
        ({"kind": "api-throttle", "rate_per_s": 1, "probability": 1}, "give either"),
        ({"kind": "api-error", "code": "Nonsense"}, "no service has the error code Nonsense"),
        ({"kind": "api-error", "operations": ["FailoverCluster"]}, "no operation FailoverCluster"),
        ({"kind": "api-error", "service": "sts", "operations": ["Failover*"]}, "Failover* of sts"),
        ({"kind": "api-slow"}, "delay_s: Field required"),
        ({"kind": "api-slow", "delay_s": 1, "probability": 0}, "probability"),
        ({"kind": "api-stale", "behind_s": 1, "operations": ["*"]}, "* may change something"),
        ({"kind": "api-stal", "behind_s": 1}, "did you mean api-stale?"),
        ({"kind": "api-drop", "loud": True}, "loud: Extra inputs are not permitted"),
    ],
)
def test_what_would_disturb_nothing_is_refused(
    control_plane: ControlPlane, fields: dict[str, Any], told: str
) -> None:
    answer = asked(control_plane, "POST", "disturbances", json.dumps(fields).encode())
    assert answer["status"] == 400
    assert told in answer["error"]
    assert asked(control_plane, "GET", "disturbances") == {"disturbances": []}
