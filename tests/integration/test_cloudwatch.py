"""CloudWatch, STS and the tagging API by unmodified boto3."""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from fix_cloudwatch import Observed
from fix_control_plane import REGION

from chaos.testcluster.api.wire import service_model
from chaos.testcluster.metrics.store import Metric, Point
from chaos.testcluster.parameters.parameter_groups import Group, Level

START = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
START_S = START.timestamp()
_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """A metric's name that no other test uses."""
    return f"metric-{next(_numbers)}"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def fill(observed: Observed, name: str, values: Mapping[int, float], **dimensions: str) -> None:
    """Publish values at seconds after START."""
    points = [Point(START_S + second, value) for second, value in values.items()]
    observed.monitoring.metrics.put(Metric.of("App", name, dimensions), "Count", points)


def query(name: str, *, period: int = 60, stat: str = "Average", **more: Any) -> dict[str, Any]:
    metric = {"Namespace": "App", "MetricName": name}
    return {"Id": "q", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}, **more}


def refused(code: str, says: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{says}")


def test_metric_data_by_period_the_newest_first(observed: Observed, name: str) -> None:
    fill(observed, name, {0: 1.0, 30: 3.0, 60: 5.0, 119: 7.0, 180: 9.0})
    answer = observed.cloudwatch.get_metric_data(
        MetricDataQueries=[
            query(name),
            query(name, stat="Maximum") | {"Id": "high", "Label": "the worst"},
            query(name, stat="p50", period=10) | {"Id": "hidden", "ReturnData": False},
        ],
        StartTime=START,
        EndTime=at(180),
    )
    average, high = answer["MetricDataResults"]
    assert average["Timestamps"] == [at(60), at(0)]
    assert average["Values"] == [6.0, 2.0]
    assert (average["Label"], average["StatusCode"]) == (name, "Complete")
    assert (high["Id"], high["Label"], high["Values"]) == ("high", "the worst", [7.0, 3.0])
    assert "NextToken" not in answer


@pytest.mark.parametrize("period", [1, 5, 10, 30])
def test_high_resolution_periods(observed: Observed, name: str, period: int) -> None:
    fill(observed, name, {second: float(second) for second in range(60)})
    answer = observed.cloudwatch.get_metric_data(
        MetricDataQueries=[query(name, period=period, stat="Minimum")],
        StartTime=START,
        EndTime=at(60),
        ScanBy="TimestampAscending",
    )
    assert answer["MetricDataResults"][0]["Values"] == list(range(0, 60, period))


@pytest.mark.parametrize("order", ["TimestampAscending", "TimestampDescending"])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_pages_have_every_datapoint_once(
    observed: Observed, name: str, order: str, size: int
) -> None:
    fill(observed, name, {60 * minute: float(minute) for minute in range(5)})
    other = f"{name}-other"
    fill(observed, other, {60 * minute: float(-minute) for minute in range(4)})
    pages = observed.cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[query(name), query(other) | {"Id": "other"}],
        StartTime=START,
        EndTime=at(600),
        ScanBy=order,
        MaxDatapoints=size,
    )
    found: dict[str, list[float]] = {"q": [], "other": []}
    for page in pages:
        assert sum(len(result["Values"]) for result in page["MetricDataResults"]) <= size
        for result in page["MetricDataResults"]:
            found[result["Id"]] += result["Values"]
    step = 1 if order == "TimestampAscending" else -1
    assert found == {"q": [0, 1, 2, 3, 4][::step], "other": [0, -1, -2, -3][::step]}


def test_metric_statistics(observed: Observed, name: str) -> None:
    fill(observed, name, {0: 1.0, 30: 3.0, 300: 5.0}, Kind="x")
    answer = observed.cloudwatch.get_metric_statistics(
        Namespace="App",
        MetricName=name,
        Dimensions=[{"Name": "Kind", "Value": "x"}],
        StartTime=at(12),  # rounded down to the minute
        EndTime=at(400),
        Period=300,
        Statistics=["SampleCount", "Average", "Sum", "Minimum", "Maximum"],
    )
    assert answer["Label"] == name
    assert answer["Datapoints"] == [
        {"Timestamp": START, "SampleCount": 2.0, "Average": 2.0, "Sum": 4.0, "Minimum": 1.0}
        | {"Maximum": 3.0, "Unit": "Count"},
        {"Timestamp": at(300), "SampleCount": 1.0, "Average": 5.0, "Sum": 5.0, "Minimum": 5.0}
        | {"Maximum": 5.0, "Unit": "Count"},
    ]
    extended = observed.cloudwatch.get_metric_statistics(
        Namespace="App",
        MetricName=name,
        Dimensions=[{"Name": "Kind", "Value": "x"}],
        StartTime=START,
        EndTime=at(60),
        Period=60,
        ExtendedStatistics=["p99.9"],
    )
    assert extended["Datapoints"][0]["ExtendedStatistics"] == {"p99.9": 3.0}


def test_metrics_are_listed_by_name_and_dimension(observed: Observed, name: str) -> None:
    for kind in ("x", "y"):
        fill(observed, name, {0: 1.0}, Kind=kind)
    fill(observed, name, {0: 1.0})
    listing = observed.cloudwatch.list_metrics
    everything = listing(Namespace="App", MetricName=name)["Metrics"]
    assert [metric["Dimensions"] for metric in everything] == [
        [],
        [{"Name": "Kind", "Value": "x"}],
        [{"Name": "Kind", "Value": "y"}],
    ]
    assert len(listing(MetricName=name, Dimensions=[{"Name": "Kind"}])["Metrics"]) == 2
    (one,) = listing(MetricName=name, Dimensions=[{"Name": "Kind", "Value": "y"}])["Metrics"]
    assert one == {
        "Namespace": "App",
        "MetricName": name,
        "Dimensions": [{"Name": "Kind", "Value": "y"}],
    }
    assert listing(Namespace="Other")["Metrics"] == []


def test_more_metrics_than_a_page_are_all_listed(observed: Observed, name: str) -> None:
    for number in range(501):
        fill(observed, name, {0: 1.0}, Number=f"{number:03}")
    pages = list(observed.cloudwatch.get_paginator("list_metrics").paginate(MetricName=name))
    assert [len(page["Metrics"]) for page in pages] == [500, 1]


def test_own_metrics_come_back(observed: Observed, name: str) -> None:
    now = datetime.now(UTC)  # noqa: TID251 - the client's clock, as any script has it
    observed.cloudwatch.put_metric_data(
        Namespace="App",
        MetricData=[
            {"MetricName": name, "Value": 1.0, "Unit": "Seconds", "Timestamp": now},
            {"MetricName": name, "Values": [2.0, 3.0], "Counts": [1.0, 4.0], "Unit": "Seconds"},
            {
                "MetricName": name,
                "Unit": "Seconds",
                "StatisticValues": {
                    "SampleCount": 4.0,
                    "Sum": 30.0,
                    "Minimum": 6.0,
                    "Maximum": 9.0,
                },
            },
        ],
    )
    answer = observed.cloudwatch.get_metric_data(
        MetricDataQueries=[
            query(name, period=3600, stat=stat) | {"Id": stat.lower()}
            for stat in ("SampleCount", "Sum", "Minimum", "Maximum")
        ],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=10),
    )
    values = {result["Id"]: sum(result["Values"]) for result in answer["MetricDataResults"]}
    assert values == {"samplecount": 10.0, "sum": 45.0, "minimum": 1.0, "maximum": 9.0}


def test_a_large_put_is_compressed_by_the_sdk_and_understood(observed: Observed, name: str) -> None:
    observed.cloudwatch.put_metric_data(
        Namespace="App",
        MetricData=[
            {"MetricName": name, "Value": 1.0, "Dimensions": [{"Name": "N", "Value": str(n)}]}
            for n in range(400)
        ],
    )
    assert len(observed.cloudwatch.list_metrics(MetricName=name)["Metrics"]) == 400


@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "query", "json"])
def test_every_protocol_is_answered_over_http(observed: Observed, name: str, protocol: str) -> None:
    fill(observed, name, {0: 1.0, 30: 2.0})
    model = service_model("cloudwatch").operation_model("GetMetricData")
    request = create_serializer(protocol).serialize_to_request(
        {"MetricDataQueries": [query(name)], **RANGE}, model
    )
    body = request["body"]
    scope = "Credential=any/20261121/eu-west-1/monitoring/aws4_request"
    connection = http.client.HTTPConnection(observed.url.removeprefix("http://"), timeout=30)
    connection.request(
        "POST",
        request["url_path"],
        urlencode(body) if isinstance(body, dict) else body,
        {**request["headers"], "Authorization": f"AWS4-HMAC-SHA256 {scope}"},
    )
    response = connection.getresponse()
    answer = {"status_code": response.status, "headers": {}, "body": response.read()}
    connection.close()
    parsed = create_parser(protocol).parse(answer, model.output_shape)
    (result,) = parsed["MetricDataResults"]
    assert (result["Timestamps"], result["Values"]) == ([START], [1.5])


def test_the_cli_reads_metrics(
    observed: Observed, name: str, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    fill(observed, name, {0: 1.0, 30: 2.0})
    done = subprocess.run(
        [
            *(sys.executable, Path(sys.executable).parent / "aws", "cloudwatch"),
            *("get-metric-statistics", "--namespace", "App", "--metric-name", name),
            *("--start-time", "2026-11-21T20:00:00Z", "--end-time", "2026-11-21T20:01:00Z"),
            *("--period", "60", "--statistics", "Average", "--endpoint-url", observed.url),
        ],
        env={
            **plain_environment,
            "HOME": str(tmp_path),
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_DEFAULT_OUTPUT": "json",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (datapoint,) = json.loads(done.stdout)["Datapoints"]
    assert (datapoint["Average"], datapoint["Unit"]) == (1.5, "Count")


RANGE = {"StartTime": START, "EndTime": at(60)}
MATH = {"Id": "e", "Expression": "q * 2"}


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"MetricDataQueries": [MATH]}, "ValidationError", "does not offer Expression"),
        ({"MetricDataQueries": []}, "ValidationError", "1 to 500"),
        ({"MetricDataQueries": [query("a"), query("b")]}, "ValidationError", "not unique"),
        ({"MetricDataQueries": [query("a", period=7)]}, "ValidationError", "Period 7"),
        ({"MetricDataQueries": [query("a", stat="tm90")]}, "ValidationError", "tm90"),
        ({"MetricDataQueries": [query("a") | {"Id": "Q"}]}, "ValidationError", "lower-case"),
        ({"EndTime": START}, "ValidationError", "StartTime must be less"),
        ({"NextToken": "rubbish"}, "InvalidNextToken", "NextToken"),
        ({"NextToken": "5/"}, "InvalidNextToken", "NextToken"),
        ({"MaxDatapoints": 0}, "ValidationError", "MaxDatapoints"),
    ],
)
def test_a_wrong_question_is_refused(
    observed: Observed, change: dict[str, Any], code: str, says: str
) -> None:
    with refused(code, says):
        observed.cloudwatch.get_metric_data(
            **{"MetricDataQueries": [query("a")], **RANGE, **change}
        )


def test_too_many_datapoints_are_refused_in_awss_words(observed: Observed) -> None:
    with refused("InvalidParameterCombination", "up to 1,441 datapoints"):
        observed.cloudwatch.get_metric_statistics(
            Namespace="App",
            MetricName="a",
            StartTime=START,
            EndTime=at(1441 * 60),
            Period=60,
            Statistics=["Sum"],
        )


@pytest.mark.parametrize(
    ("datum", "code", "says"),
    [
        ({}, "InvalidParameterCombination", "one of Value"),
        ({"Value": float("inf")}, "InvalidParameterValue", "finite"),
        ({"Value": 1.0, "Timestamp": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidP", "two weeks"),
        ({"Values": [1.0], "Counts": [1.0, 2.0]}, "InvalidParameterValue", "same length"),
    ],
)
def test_a_wrong_datum_is_refused(
    observed: Observed, datum: dict[str, Any], code: str, says: str
) -> None:
    with pytest.raises(ClientError, match=says) as error:
        observed.cloudwatch.put_metric_data(
            Namespace="App", MetricData=[{"MetricName": "a", **datum}]
        )
    assert error.value.response["Error"]["Code"].startswith(code)


def test_nobody_writes_into_awss_namespaces(observed: Observed) -> None:
    with pytest.raises(observed.cloudwatch.exceptions.InvalidParameterValueException):
        observed.cloudwatch.put_metric_data(
            Namespace="AWS/RDS", MetricData=[{"MetricName": "a", "Value": 1.0}]
        )


def test_the_caller_is_a_user_of_the_account_that_aws_never_issues(observed: Observed) -> None:
    identity = observed.sts.get_caller_identity()
    assert identity["Account"] == "000000000000"
    assert identity["Arn"] == "arn:aws:iam::000000000000:user/gameday"


def test_resources_are_found_by_their_tags(observed: Observed) -> None:
    cluster = observed.cluster
    first, *others = cluster.record.instances
    marked = replace(first, tags={"team": "orders", "gameday": "allowed"})
    cluster.record = replace(cluster.record, instances=(marked, *others), tags={})

    def found(**conditions: Any) -> list[str]:
        answer = observed.tagging.get_resources(**conditions)
        assert answer["PaginationToken"] == ""
        return [
            r["ResourceARN"].partition("000000000000:")[2] for r in answer["ResourceTagMappingList"]
        ]

    instances = [f"db:{i.id}" for i in cluster.record.instances]
    assert found() == instances, "a resource without tags is none"
    assert found(ResourceTypeFilters=["rds:db"]) == found(ResourceTypeFilters=["rds"]) == instances
    assert found(ResourceTypeFilters=["rds:cluster"]) == []
    assert found(TagFilters=[{"Key": "team"}]) == instances[:1]
    assert found(TagFilters=[{"Key": "gameday", "Values": ["x", "allowed"]}]) == instances
    cluster.parameter_groups.create(
        REGION,
        Group(
            level=Level.CLUSTER,
            name="tuned",
            family="aurora-postgresql15",
            description="d",
            tags={"gameday": "allowed"},
        ),
    )
    assert found(ResourceTypeFilters=["rds:cluster-pg"]) == ["cluster-pg:tuned"]
    cluster.parameter_groups.delete(REGION, Level.CLUSTER, "tuned", ())
    both = [{"Key": "team", "Values": ["orders"]}, {"Key": "gameday", "Values": ["no"]}]
    assert found(TagFilters=both) == []
    arn = f"arn:aws:rds:eu-west-1:000000000000:{instances[1]}"
    assert found(ResourceARNList=[arn]) == instances[1:2]
    pages = observed.tagging.get_paginator("get_resources").paginate(ResourcesPerPage=2)
    sizes = [len(page["ResourceTagMappingList"]) for page in pages]
    assert sizes == [2, 1]
    assert observed.tagging.get_tag_keys()["TagKeys"] == ["gameday", "team"]
    assert observed.tagging.get_tag_values(Key="team")["TagValues"] == ["orders"]


def test_a_wrong_question_for_resources_is_refused(observed: Observed) -> None:
    tagging = observed.tagging
    with pytest.raises(tagging.exceptions.InvalidParameterException, match="TagsPerPage"):
        tagging.get_resources(TagsPerPage=100)
    with pytest.raises(tagging.exceptions.InvalidParameterException, match="beside"):
        tagging.get_resources(ResourceARNList=["arn:x"], ResourceTypeFilters=["rds:db"])
    with pytest.raises(tagging.exceptions.PaginationTokenExpiredException):
        tagging.get_resources(PaginationToken="%%%")
