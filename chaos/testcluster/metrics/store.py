"""Datapoints by metric: what was published, bounded in number and time.

A sample is stored once and found under every set of dimensions it was published with, as RDS publishes
one value for the instance, its cluster, its role in the cluster, its engine. Instants are seconds since
1970 of a clock that never goes back.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

KEPT_S = 3 * 3600
SERIES_MAX = 20_000

_POINTS_MAX = KEPT_S  # at one a second
_SLACK = 1.05  # points are dropped from the front only once in a while: that copies the rest

Dimensions = tuple[tuple[str, str], ...]


class TooManyMetrics(Exception):  # noqa: N818 - a limit, which its caller words
    """No more metrics can be kept."""


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """The identity of a metric; `dimensions` are sorted pairs of name and value."""

    namespace: str
    name: str
    dimensions: Dimensions = ()

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, str]) -> Metric:
        """Return the metric with these dimensions in any order."""
        return cls(namespace, name, tuple(sorted(dimensions.items())))


class Point(NamedTuple):
    """`weight` samples of one value at one instant."""

    at_s: float
    value: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A value with its unit, as CloudWatch names it (`Percent`)."""

    value: float
    unit: str


class _Series:
    """The points of one publisher, in order of time."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._at = array("d")
        self._values = array("d")
        self._weights: array[float] | None = None  # all 1 until one is not

    def add(self, point: Point) -> None:
        index = len(self._at)
        if index and point.at_s < self._at[-1]:
            index = bisect_left(self._at, point.at_s)
        if point.weight != 1.0 and self._weights is None:
            self._weights = array("d", [1.0]) * len(self._at)
        self._at.insert(index, point.at_s)
        self._values.insert(index, point.value)
        if self._weights is not None:
            self._weights.insert(index, point.weight)
        if len(self._at) > _POINTS_MAX * _SLACK:
            self._drop(len(self._at) - _POINTS_MAX)

    def _drop(self, count: int) -> None:
        del self._at[:count]
        del self._values[:count]
        if self._weights is not None:
            del self._weights[:count]

    def between(self, start_s: float, end_s: float) -> Iterable[Point]:
        first, last = bisect_left(self._at, start_s), bisect_left(self._at, end_s)
        weights = self._weights[first:last] if self._weights is not None else [1.0] * (last - first)
        return map(Point, self._at[first:last], self._values[first:last], weights)

    @property
    def last_s(self) -> float:
        return self._at[-1] if self._at else 0.0


_Publisher = tuple[str, tuple[Dimensions, ...], str, str]


class MetricStore:
    """The metrics of one Region; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._publishers: dict[_Publisher, _Series] = {}
        self._by_metric: dict[Metric, list[_Series]] = {}

    def publish(
        self,
        namespace: str,
        dimension_sets: tuple[Dimensions, ...],
        at_s: float,
        samples: Mapping[str, Sample],
    ) -> None:
        """Add one sample of several metrics, to be found under each set of dimensions.

        Raises:
            TooManyMetrics: it would be one more than `SERIES_MAX`.
        """
        with self._lock:
            for name, sample in samples.items():
                series = self._series(namespace, dimension_sets, name, sample.unit)
                series.add(Point(at_s, sample.value))

    def put(self, metric: Metric, unit: str, points: Iterable[Point]) -> None:
        """Add points of one metric.

        Raises:
            TooManyMetrics: it would be one more than `SERIES_MAX`.
        """
        with self._lock:
            series = self._series(metric.namespace, (metric.dimensions,), metric.name, unit)
            for point in points:
                series.add(point)

    def _series(
        self, namespace: str, dimension_sets: tuple[Dimensions, ...], name: str, unit: str
    ) -> _Series:
        publisher = (namespace, dimension_sets, name, unit)
        series = self._publishers.get(publisher)
        if series is None:
            if len(self._publishers) >= SERIES_MAX:
                raise TooManyMetrics(f"{SERIES_MAX} metrics are kept already")
            series = self._publishers[publisher] = _Series(unit)
            for dimensions in dimension_sets:
                self._by_metric.setdefault(Metric(namespace, name, dimensions), []).append(series)
        return series

    def metrics(self) -> list[Metric]:
        """Return what was published within the time that is kept, sorted."""
        with self._lock:
            return sorted(self._by_metric)

    def units(self, metric: Metric) -> list[str]:
        """Return the units that a metric has points in."""
        with self._lock:
            return sorted({series.unit for series in self._by_metric.get(metric, ())})

    def points(
        self, metric: Metric, start_s: float, end_s: float, unit: str | None = None
    ) -> list[Point]:
        """Return the points from `start_s` to before `end_s`; `unit` None takes any."""
        with self._lock:
            return [
                point
                for series in self._by_metric.get(metric, ())
                if unit in {None, series.unit}
                for point in series.between(start_s, end_s)
            ]

    def forget(self, before_s: float) -> None:
        """Drop the metrics that nothing was published for since `before_s`."""
        with self._lock:
            self._publishers = {
                key: series for key, series in self._publishers.items() if series.last_s >= before_s
            }
            kept = {id(series) for series in self._publishers.values()}
            left = {
                metric: [series for series in found if id(series) in kept]
                for metric, found in self._by_metric.items()
            }
            self._by_metric = {metric: found for metric, found in left.items() if found}
