"""CloudWatch's alarms by unmodified boto3; unit tests have the rules of their evaluation."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fix_cloudwatch import Observed

_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """An alarm's and a metric's name that no other test uses."""
    return f"alarm-{next(_numbers):03}"


def refused(code: str, says: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{says}")


ALARM: dict[str, Any] = {
    "Namespace": "App",
    "Statistic": "Average",
    "Period": 10,
    "EvaluationPeriods": 1,
    "Threshold": 5.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


def test_an_alarm_is_put_evaluated_and_told_of(observed: Observed, name: str) -> None:
    cloudwatch = observed.cloudwatch
    action = "arn:aws:sns:eu-west-1:000000000000:page"
    cloudwatch.put_metric_alarm(
        AlarmName=name, MetricName=name, **ALARM, AlarmDescription="too many", AlarmActions=[action]
    )
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["StateValue"] == "INSUFFICIENT_DATA"
    assert alarm["AlarmArn"] == f"arn:aws:cloudwatch:eu-west-1:000000000000:alarm:{name}"
    assert {key: alarm[key] for key in ALARM} == ALARM
    assert (alarm["AlarmDescription"], alarm["AlarmActions"]) == ("too many", [action])
    seconds_ago = datetime.now(UTC) - timedelta(seconds=12)  # noqa: TID251 - as any script has it
    cloudwatch.put_metric_data(
        Namespace="App", MetricData=[{"MetricName": name, "Value": 9.0, "Timestamp": seconds_ago}]
    )
    cloudwatch.put_metric_alarm(AlarmName=name, MetricName=name, **ALARM)  # evaluated at once
    observed.telemetry.evaluate_alarms()
    (alarm,) = cloudwatch.describe_alarms(StateValue="ALARM", AlarmNamePrefix=name)["MetricAlarms"]
    assert alarm["StateReason"].startswith("Threshold Crossed: 1 datapoint [9.0 (")
    (same,) = cloudwatch.describe_alarms_for_metric(Namespace="App", MetricName=name)[
        "MetricAlarms"
    ]
    assert same["AlarmName"] == name
    history = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")
    (item,) = history["AlarmHistoryItems"]
    assert item["HistorySummary"] == "Alarm updated from INSUFFICIENT_DATA to ALARM"
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a drill")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert (alarm["StateValue"], alarm["StateReason"]) == ("OK", "a drill")
    cloudwatch.disable_alarm_actions(AlarmNames=[name])
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["ActionsEnabled"] is False
    cloudwatch.delete_alarms(AlarmNames=[name])
    assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"] == []


def test_the_waiter_for_an_alarm_works(observed: Observed, name: str) -> None:
    observed.cloudwatch.put_metric_alarm(AlarmName=name, MetricName=name, **ALARM)
    observed.cloudwatch.get_waiter("alarm_exists").wait(AlarmNames=[name])


def test_alarms_and_history_have_pages(observed: Observed, name: str) -> None:
    cloudwatch = observed.cloudwatch
    names = [f"{name}-{number}" for number in range(5)]
    for each in names:
        cloudwatch.put_metric_alarm(AlarmName=each, MetricName=name, **ALARM)
    pages = cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=name, PaginationConfig={"PageSize": 2}
    )
    assert [a["AlarmName"] for page in pages for a in page["MetricAlarms"]] == names
    for order, expected in (("TimestampAscending", names), ("TimestampDescending", names[::-1])):
        pages = cloudwatch.get_paginator("describe_alarm_history").paginate(
            ScanBy=order, HistoryItemType="ConfigurationUpdate", PaginationConfig={"PageSize": 2}
        )
        told = [item["AlarmName"] for page in pages for item in page["AlarmHistoryItems"]]
        assert [each for each in told if each in names] == expected


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Period": 15}, "Period 15"),
        ({"Period": 60, "EvaluationPeriods": 1000}, "keeps metrics for"),
        ({"DatapointsToAlarm": 2}, "less than or equal to EvaluationPeriods"),
        ({"TreatMissingData": "maybe"}, "notBreaching"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "anomaly"),
        ({"ExtendedStatistic": "p99"}, "Exactly one"),
        ({"Metrics": [{"Id": "q", "Expression": "1"}]}, "does not offer Metrics"),
        ({"Tags": [{"Key": "a", "Value": "b"}]}, "does not offer Tags"),
    ],
)
def test_a_wrong_alarm_is_refused(
    observed: Observed, name: str, change: dict[str, Any], says: str
) -> None:
    with refused("ValidationError", says):
        observed.cloudwatch.put_metric_alarm(
            **{"AlarmName": name, "MetricName": name, **ALARM, **change}
        )


def test_an_alarm_that_is_not_there_is_named(observed: Observed) -> None:
    cloudwatch = observed.cloudwatch
    with refused("ResourceNotFound", "nobody"):
        cloudwatch.set_alarm_state(AlarmName="nobody", StateValue="OK", StateReason="x")
    with refused("ResourceNotFound", "nobody"):
        cloudwatch.delete_alarms(AlarmNames=["nobody"])
    with refused("InvalidNextToken", "NextToken"):
        cloudwatch.describe_alarms(NextToken="%%%")
