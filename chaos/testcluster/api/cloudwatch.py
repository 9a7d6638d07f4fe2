"""CloudWatch's operations on metrics, each a function of a Region's monitoring and parameters.

What is asked for that the test cluster has not got (metric math, other accounts) is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chaos.testcluster.api.selection import Parameters, following
from chaos.testcluster.metrics.monitoring import Monitoring
from chaos.testcluster.metrics.statistics import (
    HIGH_RESOLUTION_S,
    OFFERED,
    SIMPLE,
    Compute,
    aligned,
    buckets,
    is_period,
    statistic,
)
from chaos.testcluster.metrics.store import Metric, Point, TooManyMetrics
from chaos.testcluster.records import ApiError

STATISTICS_DATAPOINTS_MAX = 1_440
DATAPOINTS_MAX = 100_800
QUERIES_MAX = 500
METRICS_PAGE = 500
DATA_MAX = 1_000
VALUES_MAX = 150
PAST_MAX_S = 14 * 86_400
FUTURE_MAX_S = 2 * 3_600

Result = Mapping[str, Any]
Operation = Callable[[Monitoring, Parameters], Result]
Found = list[tuple[datetime, float]]


def get_metric_data(monitoring: Monitoring, parameters: Parameters) -> Result:
    """GetMetricData, of `MetricStat` queries; the newest datapoint first unless told otherwise."""
    queries = parameters["MetricDataQueries"]
    _require_queries(queries)
    start_s, end_s = _interval(parameters)
    left = min(parameters.get("MaxDatapoints", DATAPOINTS_MAX), DATAPOINTS_MAX)
    if left < 1:
        raise ApiError("ValidationError", "MaxDatapoints must be at least 1")
    newest_first = parameters.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    shown = [query for query in queries if query.get("ReturnData", True)]
    first, passed = _position(parameters.get("NextToken"), len(shown))
    results = []
    token = None
    for number, query in enumerate(shown[first:], first):
        found = _series(monitoring, query["MetricStat"], start_s, end_s)
        if newest_first:
            found.reverse()
        offset = _after(found, passed, newest_first=newest_first)
        part, passed = found[offset : offset + left], None
        is_whole = offset + len(part) == len(found)
        results.append(
            {
                "Id": query["Id"],
                "Label": query.get("Label", query["MetricStat"]["Metric"]["MetricName"]),
                "Timestamps": [at for at, _ in part],
                "Values": [value for _, value in part],
                "StatusCode": "Complete" if is_whole else "PartialData",
            }
        )
        left -= len(part)
        if not is_whole:
            token = f"{number}/{part[-1][0].timestamp()}"
        elif left == 0 and number + 1 < len(shown):
            token = f"{number + 1}/"
        if token is not None:
            break
    return {"MetricDataResults": results, "Messages": [], "NextToken": token}


def get_metric_statistics(monitoring: Monitoring, parameters: Parameters) -> Result:
    """GetMetricStatistics; the oldest datapoint first (AWS promises no order)."""
    names = [*parameters.get("Statistics", ()), *parameters.get("ExtendedStatistics", ())]
    if not names:
        raise ApiError(
            "MissingParameter", "At least one of Statistics or ExtendedStatistics must be given."
        )
    computes = {name: require_statistic(name, "InvalidParameterValue") for name in names}
    period = parameters["Period"]
    require_period(period, "InvalidParameterValue")
    start_s, end_s = _interval(parameters)
    origin = aligned(start_s, period)
    wanted = math.ceil((end_s - origin) / period)
    if wanted > STATISTICS_DATAPOINTS_MAX:
        raise ApiError(
            "InvalidParameterCombination",
            f"You have requested up to {wanted:,} datapoints, which exceeds the limit of "
            f"{STATISTICS_DATAPOINTS_MAX:,}. You may reduce the datapoints requested by "
            "increasing Period, or decreasing the time range.",
        )
    metric = metric_of(parameters)
    units = [parameters["Unit"]] if "Unit" in parameters else monitoring.metrics.units(metric)
    datapoints = []
    for unit in units:
        points = monitoring.metrics.points(metric, origin, end_s, unit)
        for bucket in buckets(points, origin, period):
            values = {name: compute(bucket.points) for name, compute in computes.items()}
            extended = {name: value for name, value in values.items() if name not in SIMPLE}
            datapoints.append(
                {
                    "Timestamp": instant(bucket.start_s),
                    **{name: value for name, value in values.items() if name in SIMPLE},
                    "Unit": unit,
                    **({"ExtendedStatistics": extended} if extended else {}),
                }
            )
    return {"Label": parameters["MetricName"], "Datapoints": datapoints}


def list_metrics(monitoring: Monitoring, parameters: Parameters) -> Result:
    """ListMetrics, of the last three hours."""
    if parameters.get("OwningAccount", monitoring.account) != monitoring.account:
        raise ApiError("InvalidParameterValue", "The test cluster has no linked accounts.")
    wanted = [(d["Name"], d.get("Value")) for d in parameters.get("Dimensions", ())]
    found = [
        (_sorted_by(metric), _shown(metric))
        for metric in monitoring.metrics.metrics()
        if parameters.get("Namespace", metric.namespace) == metric.namespace
        and parameters.get("MetricName", metric.name) == metric.name
        and all(_has(metric, name, value) for name, value in wanted)
    ]
    try:
        shown, token = following(found, parameters.get("NextToken"), METRICS_PAGE)
    except ValueError as error:
        raise ApiError("InvalidParameterValue", f"Invalid nextToken: {error}") from error
    return {"Metrics": shown, "NextToken": token}


def put_metric_data(monitoring: Monitoring, parameters: Parameters) -> Result:
    """PutMetricData; a statistic set is kept as samples that have just these statistics."""
    namespace = parameters["Namespace"]
    if namespace.startswith("AWS/"):
        raise ApiError(
            "InvalidParameterValue", f"The value {namespace} for parameter Namespace is invalid."
        )
    for name in ("EntityMetricData", "StrictEntityValidation"):
        if parameters.get(name):
            raise ApiError("InvalidParameterValue", f"The test cluster does not offer {name}.")
    data = parameters.get("MetricData", ())
    if not data:
        raise ApiError("MissingParameter", "The parameter MetricData is required.")
    if len(data) > DATA_MAX:
        raise ApiError(
            "InvalidParameterValue",
            f"The collection MetricData must not have a size greater than {DATA_MAX}.",
        )
    checked = [
        (metric_of({"Namespace": namespace, **datum}), datum, _points(monitoring, datum))
        for datum in data
    ]
    try:
        for metric, datum, points in checked:
            monitoring.metrics.put(metric, datum.get("Unit", "None"), points)
    except TooManyMetrics as error:
        raise ApiError("LimitExceeded", f"{error} by the test cluster.") from error
    return {}


METRIC_OPERATIONS: Mapping[str, Operation] = {
    "GetMetricData": get_metric_data,
    "GetMetricStatistics": get_metric_statistics,
    "ListMetrics": list_metrics,
    "PutMetricData": put_metric_data,
}


def metric_of(parameters: Parameters) -> Metric:
    """Return the metric that `Namespace`, `MetricName` and `Dimensions` name."""
    dimensions = {d["Name"]: d["Value"] for d in parameters.get("Dimensions", ())}
    return Metric.of(parameters["Namespace"], parameters["MetricName"], dimensions)


def require_period(period: int, code: str) -> None:
    """Raise `code` unless CloudWatch takes a period."""
    if not is_period(period):
        high = ", ".join(map(str, HIGH_RESOLUTION_S))
        raise ApiError(
            code, f"Period {period} is invalid: it must be {high} or a multiple of 60 seconds."
        )


def require_statistic(name: str, code: str) -> Compute:
    """Return a statistic, or raise `code` if it is not offered."""
    compute = statistic(name)
    if compute is None:
        raise ApiError(code, f"The test cluster does not offer the statistic {name}: {OFFERED}.")
    return compute


def dimensions_of(metric: Metric) -> list[dict[str, str]]:
    """Return a metric's dimensions as the API shows them."""
    return [{"Name": name, "Value": value} for name, value in metric.dimensions]


def instant(at_s: float) -> datetime:
    """Return seconds since 1970 as the API shows them."""
    return datetime.fromtimestamp(at_s, UTC)


def _require_queries(queries: Sequence[Mapping[str, Any]]) -> None:
    if not 1 <= len(queries) <= QUERIES_MAX:
        raise ApiError("ValidationError", f"There must be 1 to {QUERIES_MAX} MetricDataQueries.")
    names = [query["Id"] for query in queries]
    for query in queries:
        name = query["Id"]
        if not (name[0].islower() and name.replace("_", "").isalnum() and name.isascii()):
            raise ApiError(
                "ValidationError",
                f"The value {name} for parameter Id is invalid: it must begin with a lower-case "
                "letter and have only letters, digits and underscores.",
            )
        if names.count(name) > 1:
            raise ApiError("ValidationError", f"The Id {name} is not unique in MetricDataQueries.")
        if "MetricStat" not in query:
            raise ApiError(
                "ValidationError",
                f"The test cluster does not offer Expression (in {name}); give MetricStat and "
                "compute from its values.",
            )
        if "Expression" in query or "AccountId" in query or "Period" in query:
            raise ApiError(
                "ValidationError",
                f"Beside MetricStat, {name} must not have Expression, Period or AccountId here.",
            )
        require_period(query["MetricStat"]["Period"], "ValidationError")
        require_statistic(query["MetricStat"]["Stat"], "ValidationError")


def _interval(parameters: Parameters) -> tuple[float, float]:
    start_s, end_s = parameters["StartTime"].timestamp(), parameters["EndTime"].timestamp()
    if start_s >= end_s:
        raise ApiError(
            "ValidationError", "The parameter StartTime must be less than the parameter EndTime."
        )
    return start_s, end_s


def _series(
    monitoring: Monitoring, wanted: Mapping[str, Any], start_s: float, end_s: float
) -> Found:
    """Return the datapoints of one query, the oldest first."""
    metric = metric_of(wanted["Metric"] | {"Namespace": _namespace(wanted["Metric"])})
    origin = aligned(start_s, wanted["Period"])
    points = monitoring.metrics.points(metric, origin, end_s, wanted.get("Unit"))
    compute = require_statistic(wanted["Stat"], "ValidationError")
    return [
        (instant(bucket.start_s), compute(bucket.points))
        for bucket in buckets(points, origin, wanted["Period"])
    ]


def _namespace(metric: Mapping[str, Any]) -> str:
    for name in ("Namespace", "MetricName"):
        if name not in metric:
            raise ApiError(
                "ValidationError", f"The parameter MetricStat.Metric.{name} is required."
            )
    namespace: str = metric["Namespace"]
    return namespace


def _position(token: str | None, queries: int) -> tuple[int, float | None]:
    """Return the query that a token stands in, and the last instant given of it."""
    if token is None:
        return 0, None
    number, slash, last = token.partition("/")
    try:
        position = int(number), float(last) if last else None
    except ValueError:
        position = -1, None
    if not slash or not 0 <= position[0] < queries:
        raise ApiError("InvalidNextToken", "The NextToken is invalid.")
    return position


def _after(found: Found, passed: float | None, *, newest_first: bool) -> int:
    """Return how many datapoints were given on earlier pages."""
    if passed is None:
        return 0
    if newest_first:
        return sum(at.timestamp() >= passed for at, _ in found)
    return sum(at.timestamp() <= passed for at, _ in found)


def _has(metric: Metric, name: str, value: str | None) -> bool:
    return any(n == name and value in {None, v} for n, v in metric.dimensions)


def _shown(metric: Metric) -> dict[str, Any]:
    return {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": dimensions_of(metric),
    }


def _sorted_by(metric: Metric) -> str:
    words = (metric.namespace, metric.name, *(word for pair in metric.dimensions for word in pair))
    return "\0".join(words)


def _points(monitoring: Monitoring, datum: Mapping[str, Any]) -> list[Point]:
    """Return what one datum of PutMetricData says."""
    now_s = monitoring.now_s()
    at_s = datum["Timestamp"].timestamp() if "Timestamp" in datum else now_s
    if not now_s - PAST_MAX_S <= at_s <= now_s + FUTURE_MAX_S:
        raise ApiError(
            "InvalidParameterValue",
            "The parameter MetricData.member.Timestamp must be within the last two weeks and the "
            "next two hours.",
        )
    given = [name for name in ("Value", "Values", "StatisticValues") if name in datum]
    if len(given) != 1:
        raise ApiError(
            "InvalidParameterCombination",
            f"{datum['MetricName']} must have one of Value, Values and StatisticValues.",
        )
    samples = list(_SAMPLES[given[0]](datum))
    if not samples or any(not math.isfinite(v) or not w > 0 for v, w in samples):
        raise ApiError(
            "InvalidParameterValue",
            f"The values of {datum['MetricName']} must be finite, and their counts above 0.",
        )
    return [Point(at_s, value, weight) for value, weight in samples]


def _values(datum: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    values = datum["Values"]
    counts = datum.get("Counts", [1.0] * len(values))
    if len(counts) != len(values) or len(values) > VALUES_MAX:
        raise ApiError(
            "InvalidParameterValue",
            f"Values and Counts must have the same length, at most {VALUES_MAX}.",
        )
    return zip(values, counts, strict=True)


@dataclass(frozen=True, slots=True)
class _Set:
    """A statistic set: what it says about `count` samples."""

    count: float
    total: float
    low: float
    high: float

    def samples(self) -> Iterator[tuple[float, float]]:
        """Return values and weights that have exactly these four statistics."""
        if self.low == self.high or self.count <= 1:
            yield self.total / self.count, self.count
            return
        yield self.low, 1.0
        yield self.high, 1.0
        rest = self.count - 2
        if rest > 0:
            yield (self.total - self.low - self.high) / rest, rest


def _statistic_set(datum: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    given = datum["StatisticValues"]
    if not given["SampleCount"] > 0 or not given["Minimum"] <= given["Maximum"]:
        raise ApiError("InvalidParameterValue", "StatisticValues contradict each other.")
    return _Set(given["SampleCount"], given["Sum"], given["Minimum"], given["Maximum"]).samples()


_SAMPLES: Mapping[str, Callable[[Mapping[str, Any]], Iterator[tuple[float, float]]]] = {
    "Value": lambda datum: iter([(datum["Value"], 1.0)]),
    "Values": _values,
    "StatisticValues": _statistic_set,
}
