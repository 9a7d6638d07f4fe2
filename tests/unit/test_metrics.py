"""Metrics kept, found by their dimensions, summed up by period."""

from __future__ import annotations

import statistics as python_statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.testcluster.metrics import store as store_module
from chaos.testcluster.metrics.statistics import (
    SIMPLE,
    aligned,
    buckets,
    is_period,
    statistic,
)
from chaos.testcluster.metrics.store import (
    KEPT_S,
    Metric,
    MetricStore,
    Point,
    Sample,
    TooManyMetrics,
)

INSTANCE = (("DBInstanceIdentifier", "a"),)
CLUSTER = (("DBClusterIdentifier", "c"),)
CPU = Metric("AWS/RDS", "CPUUtilization", INSTANCE)


def test_a_sample_is_found_under_each_set_of_dimensions_it_was_published_with() -> None:
    store = MetricStore()
    other = (("DBInstanceIdentifier", "b"),)
    store.publish("AWS/RDS", (INSTANCE, CLUSTER), 10, {"CPUUtilization": Sample(1, "Percent")})
    store.publish("AWS/RDS", (other, CLUSTER), 10, {"CPUUtilization": Sample(3, "Percent")})
    of_cluster = Metric("AWS/RDS", "CPUUtilization", CLUSTER)
    assert store.points(CPU, 0, 20) == [Point(10, 1)]
    assert store.points(of_cluster, 0, 20) == [Point(10, 1), Point(10, 3)]
    assert len(store.metrics()) == 3
    assert store.units(CPU) == ["Percent"]
    assert store.points(CPU, 0, 20, "Seconds") == []


def test_an_interval_has_its_start_and_not_its_end() -> None:
    store = MetricStore()
    store.put(CPU, "None", [Point(at, at) for at in (3.0, 1.0, 2.0)])
    assert [point.at_s for point in store.points(CPU, 1, 3)] == [1, 2]


def test_points_are_bounded_and_the_oldest_go() -> None:
    store = MetricStore()
    store.put(CPU, "None", [Point(at, 0) for at in range(2 * KEPT_S)])
    kept = store.points(CPU, 0, 3 * KEPT_S)
    assert KEPT_S <= len(kept) <= 1.05 * KEPT_S
    assert kept[-1].at_s == 2 * KEPT_S - 1


def test_weights_stay_with_their_values() -> None:
    store = MetricStore()
    store.put(CPU, "None", [Point(2, 20), Point(1, 10, 5.0), Point(3, 30)])
    assert store.points(CPU, 0, 9) == [Point(1, 10, 5.0), Point(2, 20), Point(3, 30)]


def test_metrics_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SERIES_MAX", 2)
    store = MetricStore()
    for name in ("a", "b", "a"):
        store.put(Metric("X", name), "None", [Point(1, 1)])
    with pytest.raises(TooManyMetrics):
        store.put(Metric("X", "c"), "None", [Point(1, 1)])


def test_a_metric_that_nobody_publishes_any_more_is_forgotten() -> None:
    store = MetricStore()
    for name, at in (("old", 1.0), ("new", 100.0)):
        store.put(Metric("X", name), "None", [Point(at, 1)])
    store.forget(before_s=50)
    assert store.metrics() == [Metric("X", "new")]
    store.put(Metric("X", "old"), "None", [Point(200, 1)])
    assert store.points(Metric("X", "old"), 0, 300) == [Point(200, 1)]


@pytest.mark.parametrize(
    ("period", "allowed"), [(1, True), (5, True), (7, False), (0, False), (60, True), (90, False)]
)
def test_periods_are_cloudwatchs(period: int, *, allowed: bool) -> None:
    assert is_period(period) is allowed


def test_the_start_of_a_question_is_rounded_down() -> None:
    assert aligned(754, 300) == 720
    assert aligned(757, 5) == 755
    assert aligned(757.9, 1) == 757


def test_periods_without_points_are_left_out() -> None:
    found = buckets([Point(61, 1), Point(179, 2), Point(119.9, 3)], 0, 60)
    assert [(bucket.start_s, len(bucket.points)) for bucket in found] == [(60, 2), (120, 1)]


VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(VALUES)
def test_simple_statistics_are_what_they_say(values: list[float]) -> None:
    points = [Point(0, value) for value in values]
    got = {name: compute(points) for name in SIMPLE if (compute := statistic(name))}
    assert got["SampleCount"] == len(values)
    assert got["Sum"] == pytest.approx(sum(values), abs=1e-6)
    assert got["Average"] == pytest.approx(python_statistics.fmean(values), abs=1e-6)
    assert (got["Minimum"], got["Maximum"]) == (min(values), max(values))


@given(VALUES, st.integers(0, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(
    values: list[float], percent: int
) -> None:
    compute = statistic(f"p{percent}")
    assert compute is not None
    found = compute([Point(0, value) for value in values])
    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) <= percent * len(values)


def test_a_percentile_counts_weights() -> None:
    compute = statistic("p50")
    assert compute is not None
    assert compute([Point(0, 1, 9.0), Point(0, 100, 1.0)]) == 1


@pytest.mark.parametrize("name", ["average", "p101", "p", "tm99", "p99.x", ""])
def test_other_statistics_are_not_offered(name: str) -> None:
    assert statistic(name) is None
