"""CloudWatch: what a cluster's instances measured, and the state of alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from chaos.aws.sending import Api
from chaos.clock import Anchor
from chaos.model.account import Alarm

PERIOD_S = 60
"""RDS publishes a datapoint a minute; a shorter period is not for its metrics."""
WINDOW = timedelta(minutes=10)
NAMES_MAX = 100
NEXT = "NextToken"


def latest(
    api: Api, metric: str, instances: Sequence[str], statistic: str = "Average"
) -> Mapping[str, float]:
    """GetMetricData: the newest value of an instance's RDS metric, of those that have one.

    The newest datapoint is of the present minute where the service has published a part of it.
    """
    if not instances:
        return {}
    names = {f"m{number}": instance for number, instance in enumerate(instances)}
    anchor = Anchor.take()
    now = anchor.wall(anchor.monotonic_ns)
    pages = api.pages(
        f"reading {metric}",
        "get_metric_data",
        "cloudwatch",
        token=NEXT,
        MetricDataQueries=[
            {"Id": number, "MetricStat": _statistic(metric, instance, statistic)}
            for number, instance in names.items()
        ],
        StartTime=now - WINDOW,
        EndTime=now + timedelta(seconds=PERIOD_S),
        ScanBy="TimestampDescending",
    )
    found: dict[str, float] = {}
    for result in (result for page in pages for result in page["MetricDataResults"]):
        if result.get("Values"):
            found.setdefault(names[result["Id"]], result["Values"][0])
    return found


def series(
    api: Api, metric: str, instances: Sequence[str], since: datetime
) -> Mapping[str, Sequence[tuple[datetime, float]]]:
    """GetMetricData: each instance's datapoints of an RDS metric since an instant, oldest first.

    Asked for by the second, which CloudWatch answers with what it has: of RDS's metrics a datapoint a
    minute, which may come a minute late or more. How long one stands for is told by those around it.
    """
    if not instances:
        return {}
    names = {f"m{number}": instance for number, instance in enumerate(instances)}
    anchor = Anchor.take()
    pages = api.pages(
        f"reading {metric}",
        "get_metric_data",
        "cloudwatch",
        token=NEXT,
        MetricDataQueries=[
            {"Id": number, "MetricStat": {**_statistic(metric, instance, "Average"), "Period": 1}}
            for number, instance in names.items()
        ],
        StartTime=since,
        EndTime=anchor.wall(anchor.monotonic_ns) + timedelta(seconds=PERIOD_S),
        ScanBy="TimestampAscending",
    )
    found: dict[str, list[tuple[datetime, float]]] = {}
    for result in (result for page in pages for result in page["MetricDataResults"]):
        points = zip(result.get("Timestamps", ()), result.get("Values", ()), strict=True)
        found.setdefault(names[result["Id"]], []).extend(points)
    return found


def alarms(api: Api, names: Sequence[str] = (), prefixes: Sequence[str] = ()) -> tuple[Alarm, ...]:
    """DescribeAlarms: metric and composite alarms by name, and those whose name begins so.

    A name or a prefix that no alarm has is not in the answer: who asked has to compare.
    """
    found: dict[str, Alarm] = {}
    for start in range(0, len(names), NAMES_MAX):
        part = names[start : start + NAMES_MAX]
        found |= _described(api, f"reading alarms {', '.join(part)}", AlarmNames=list(part))
    for prefix in prefixes:
        found |= _described(api, f"reading alarms {prefix}*", AlarmNamePrefix=prefix)
    return tuple(found.values())


def _described(api: Api, doing: str, **which: Any) -> dict[str, Alarm]:
    pages = api.pages(
        doing,
        "describe_alarms",
        "cloudwatch",
        token=NEXT,
        AlarmTypes=["MetricAlarm", "CompositeAlarm"],
        **which,
    )
    return {
        entry["AlarmName"]: Alarm(
            name=entry["AlarmName"],
            state=entry["StateValue"],
            reason=entry.get("StateReason", ""),
        )
        for page in pages
        for key in ("MetricAlarms", "CompositeAlarms")
        for entry in page.get(key, ())
    }


def _statistic(metric: str, instance: str, statistic: str) -> dict[str, Any]:
    return {
        "Metric": {
            "Namespace": "AWS/RDS",
            "MetricName": metric,
            "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": instance}],
        },
        "Period": PERIOD_S,
        "Stat": statistic,
    }
