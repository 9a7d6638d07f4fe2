"""The services beside RDS: every operation that is offered answers in its output shape."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from fix_cloudwatch import Observed
from fix_control_plane import rds_client

from chaos.testcluster.api.actions import ACTIONS
from chaos.testcluster.api.alarms import ALARM_OPERATIONS
from chaos.testcluster.api.cloudwatch import METRIC_OPERATIONS
from chaos.testcluster.api.identity import IDENTITY_OPERATIONS
from chaos.testcluster.api.safety_levers import LEVER_OPERATIONS
from chaos.testcluster.api.tagging import TAGGING_OPERATIONS
from chaos.testcluster.metrics.store import Metric, Point

START = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
END = datetime(2026, 11, 21, 20, 5, tzinfo=UTC)
METRIC = {"Namespace": "App", "MetricName": "m"}
STAT = {"Metric": METRIC, "Period": 60, "Stat": "Sum"}
RANGE = {"StartTime": START, "EndTime": END}

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "DeleteAlarms": ("cloudwatch", {"AlarmNames": ["a"]}),
    "DescribeAlarmHistory": ("cloudwatch", {}),
    "DescribeAlarms": ("cloudwatch", {}),
    "DescribeAlarmsForMetric": ("cloudwatch", METRIC),
    "DisableAlarmActions": ("cloudwatch", {"AlarmNames": ["a"]}),
    "EnableAlarmActions": ("cloudwatch", {"AlarmNames": ["a"]}),
    "GetCallerIdentity": ("sts", {}),
    "GetMetricData": (
        "cloudwatch",
        {"MetricDataQueries": [{"Id": "q", "MetricStat": STAT}], **RANGE},
    ),
    "GetMetricStatistics": (
        "cloudwatch",
        {**METRIC, **RANGE, "Period": 60, "Statistics": ["Sum"], "ExtendedStatistics": ["p90"]},
    ),
    "GetResources": ("tagging", {}),
    "GetSafetyLever": ("fis", {"id": "default"}),
    "GetTagKeys": ("tagging", {}),
    "GetTagValues": ("tagging", {"Key": "gameday"}),
    "ListMetrics": ("cloudwatch", {}),
    "PutMetricAlarm": (
        "cloudwatch",
        {
            **METRIC,
            "AlarmName": "a",
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanThreshold",
        },
    ),
    "PutMetricData": (
        "cloudwatch",
        {"Namespace": "App", "MetricData": [{"MetricName": "p", "Value": 1.0}]},
    ),
    "SetAlarmState": (
        "cloudwatch",
        {"AlarmName": "a", "StateValue": "OK", "StateReason": "a drill"},
    ),
    "UpdateSafetyLeverState": (
        "fis",
        {"id": "default", "state": {"status": "disengaged", "reason": "a drill"}},
    ),
}
OFFERED = {
    **METRIC_OPERATIONS,
    **ALARM_OPERATIONS,
    **IDENTITY_OPERATIONS,
    **LEVER_OPERATIONS,
    **TAGGING_OPERATIONS,
}


def call(observed: Observed, operation: str) -> Any:
    service, parameters = REQUESTS[operation]
    client = getattr(observed, service)
    names = client.meta.method_to_api_mapping
    return getattr(client, next(m for m, name in names.items() if name == operation))(**parameters)


@pytest.mark.parametrize("operation", sorted(OFFERED))
def test_every_offered_operation_answers_in_its_output_shape(
    observed: Observed, operation: str
) -> None:
    metric = Metric("App", "m")
    observed.monitoring.metrics.put(metric, "Count", [Point(START.timestamp(), 2.0)])
    call(observed, "PutMetricAlarm")
    answer = call(observed, operation)  # the client holds it to the model
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_each_region_has_its_own_metrics_and_alarms(observed: Observed) -> None:
    call(observed, "PutMetricAlarm")
    assert observed.telemetry.monitoring("us-east-1").alarms.alarms() == []
    assert observed.monitoring.alarms.alarms() != []


def test_there_is_one_safety_lever_and_it_keeps_its_state(observed: Observed) -> None:
    fis = observed.fis
    for status in ("engaged", "disengaged"):
        state = {"status": status, "reason": "a drill"}
        fis.update_safety_lever_state(id="default", state=state)
        shown = fis.get_safety_lever(id="default")["safetyLever"]
        assert (shown["id"], shown["state"]) == ("default", state)
        assert shown["arn"].startswith("arn:aws:fis:eu-west-1:")
    with pytest.raises(fis.exceptions.ResourceNotFoundException, match="there is only default"):
        fis.get_safety_lever(id="other")
    with pytest.raises(fis.exceptions.ValidationException, match="must be one of"):
        fis.update_safety_lever_state(id="default", state={"status": "pulled", "reason": "x"})


def test_an_operation_that_is_not_there_is_refused_with_what_is(observed: Observed) -> None:
    tagging = rds_client(observed.url, service="resourcegroupstaggingapi")
    with pytest.raises(ClientError, match=r"does not offer TagResources\. It offers GetRes"):
        tagging.tag_resources(ResourceARNList=["arn:aws:rds:x"], Tags={"a": "b"})
    tagging.close()


def test_a_password_never_reaches_the_log(
    observed: Observed, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        cast("dict[str, Any]", ACTIONS), "ModifyDBCluster", lambda *_: {"DBCluster": {}}
    )
    client = rds_client(observed.url)
    with caplog.at_level(logging.DEBUG):
        client.modify_db_cluster(DBClusterIdentifier="orders", MasterUserPassword="hunter22222")
    client.close()
    told = [r.getMessage() for r in caplog.records if r.name.startswith("chaos.")]
    assert any("ModifyDBCluster accepted" in line and "orders" in line for line in told), told
    assert not any("hunter22222" in line for line in told)


def test_a_service_that_is_not_there_is_refused_in_its_own_protocol(observed: Observed) -> None:
    for service, method in (("dynamodb", "list_tables"), ("iam", "list_users")):
        client = rds_client(observed.url, service=service)
        with pytest.raises(ClientError, match="offers rds, monitoring, fis, sts, tagging, not '"):
            getattr(client, method)()
        client.close()
