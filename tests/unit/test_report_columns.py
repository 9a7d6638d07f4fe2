"""Downsampling drops no failure and no gap, however long the recording."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pytest

from chaos.clock import NS
from chaos.model.history import OPERATION_DTYPE, Records
from chaos.model.operation import Outcome
from reports import charts, columns

MILLION = 1_000_000


def operations(count: int, until_s: float, latency_s: float = 0.002) -> Records:
    """Evenly spread successes."""
    records = np.zeros(count, OPERATION_DTYPE)
    records["intended_ns"] = np.linspace(0, until_s * NS, count, endpoint=False).astype(np.int64)
    records["started_ns"] = records["intended_ns"]
    records["ended_ns"] = records["intended_ns"] + round(latency_s * NS)
    return records


def drawn(
    records: Records, until_s: float, **focus: Any
) -> tuple[columns.Outcomes, dict[str, str]]:
    edges = columns.edges(0.0, until_s, focus.get("focus", ()), columns_max=600, least_s=0.05)
    counts = columns.outcomes(records, 0, edges, late_s=1.0)
    milliseconds = [round(edge * 1000) for edge in edges]
    heights = counts.per_second(1.0) / charts.rate_top([counts.per_second(1.0)]) * charts.FLOOR
    return counts, charts.stack(counts, milliseconds, heights)


def heights_of(path: str) -> list[tuple[int, float]]:
    """(x, height above the floor) of every corner of an area."""
    return [(int(x), 100 - float(y)) for x, y in re.findall(r"H(\d+)V([\d.]+)", path)]


def test_one_failure_among_a_million_operations_is_drawn_where_it_happened() -> None:
    records = operations(MILLION, 3600.0)
    records["outcome"][600_000] = Outcome.FAILED
    counts, areas = drawn(records, 3600.0)
    assert counts.failed.sum() == 1
    assert counts.ok.sum() == MILLION - 1
    corners = heights_of(areas["failed"])
    at_ms = 600_000 * 3.6
    raised = [x for x, height in corners if height >= 5]
    assert len(raised) == 1
    assert raised[0] <= at_ms < raised[0] + 10_000


def test_a_million_operations_take_under_a_second_and_a_few_kilobytes() -> None:
    records = operations(MILLION, 3600.0)
    records["outcome"][::7] = Outcome.FAILED
    started = time.process_time()
    _, areas = drawn(records, 3600.0)
    edges = columns.edges(0.0, 3600.0, (), columns_max=720, least_s=0.05)
    seen = columns.latencies(records, 0, edges)
    assert time.process_time() - started < 1.0
    assert np.isfinite(seen.median).all()
    assert sum(map(len, areas.values())) < 40_000


def test_the_slowest_success_and_the_slowest_error_survive() -> None:
    records = operations(MILLION, 3600.0)
    records["ended_ns"][123_456] += 7 * NS
    records["ended_ns"][654_321] += 9 * NS
    records["outcome"][654_321] = Outcome.UNKNOWN
    edges = columns.edges(0.0, 3600.0, (), columns_max=720, least_s=0.05)
    seen = columns.latencies(records, 0, edges)
    assert np.nanmax(seen.largest) == pytest.approx(7.002)
    assert np.nanmax(seen.error_max) == pytest.approx(9.002)
    assert np.isnan(seen.error_max).sum() == len(seen.error_max) - 1


def test_a_gap_stays_a_gap() -> None:
    records = operations(6000, 60.0)
    at_s = records["intended_ns"] / NS
    records = records[(at_s < 20.0) | (at_s >= 23.0)]
    (gap,) = columns.gaps(records, 0, 0.0, 60.0)
    assert gap == pytest.approx((20.0, 23.0), abs=0.02)
    edges = columns.edges(0.0, 60.0, (), columns_max=600, least_s=0.05)
    seen = columns.latencies(records, 0, edges)
    inside = (edges[:-1] >= 20.0) & (edges[1:] <= 23.0)
    assert np.isnan(seen.median[inside]).all()
    assert charts.line([round(e * 1000) for e in edges], seen.median).count("M") == 2


def test_the_ends_of_a_recording_that_a_stream_does_not_reach_are_gaps() -> None:
    records = operations(600, 10.0)
    before, after = columns.gaps(records, 0, -5.0, 30.0)
    assert before == pytest.approx((-5.0, 0.0))
    assert after == pytest.approx((9.983, 30.0), abs=0.01)
    assert columns.gaps(records[:0], 0, 1.0, 2.0) == ((1.0, 2.0),)


def test_arrivals_that_are_merely_rare_are_no_gap() -> None:
    assert columns.gaps(operations(30, 60.0), 0, 0.0, 60.0) == ()


def test_every_operation_lands_in_a_column_also_beyond_the_edges() -> None:
    records = operations(1000, 10.0)
    edges = columns.edges(2.0, 8.0, (), columns_max=100, least_s=0.05)
    counts = columns.outcomes(records, 0, edges, late_s=1.0)
    assert counts.total.sum() == 1000


def test_a_late_success_is_neither_ok_nor_failed() -> None:
    records = operations(100, 10.0)
    records["ended_ns"][50] += 2 * NS
    counts, areas = drawn(records, 10.0)
    assert (counts.late.sum(), counts.ok.sum(), counts.failed.sum()) == (1, 99, 0)
    assert areas["failed"] == ""
    assert areas["late"]


def test_columns_are_finer_around_a_fault_of_a_long_recording() -> None:
    edges = columns.edges(0.0, 3600.0, [(1000.0, 1020.0)], columns_max=600, least_s=0.05)
    widths = np.diff(edges)
    inside = (edges[:-1] >= 1000.0) & (edges[1:] <= 1020.0)
    assert widths[inside].max() <= 0.1
    assert widths[~inside].min() > 0
    assert np.median(widths[~inside]) >= 10
    assert len(edges) <= 700
    assert edges[0] == 0.0
    assert edges[-1] == 3600.0


def test_columns_of_a_short_recording_are_even() -> None:
    widths = np.diff(columns.edges(0.0, 60.0, [(20.0, 40.0)], columns_max=600, least_s=0.05))
    assert widths == pytest.approx(np.full(600, 0.1))


@pytest.mark.parametrize("error", ["----- Missed", "----- MissedWaiting"])
def test_a_turn_that_the_probe_missed_is_not_counted(error: str) -> None:
    records = operations(10, 1.0)
    records["error"][3] = 2
    there = columns.sent(records, ("", "57P01 AdminShutdown", error))
    assert there.sum() == 9
    assert not there[3]


def test_a_steady_rate_looks_steady_in_columns_of_few_operations() -> None:
    records = operations(2400, 60.0)
    edges = columns.edges(0.0, 60.0, (), columns_max=600, least_s=0.05)
    counts = columns.outcomes(records, 0, edges, late_s=1.0)
    assert np.ptp(counts.total) >= 1, "a column holds one more or less by chance"
    assert counts.per_second(1.0) == pytest.approx(np.full(600, 40.0), rel=0.06)


def test_a_log_scale_holds_every_latency_in_whole_decades() -> None:
    seen = columns.latencies(operations(100, 1.0, 0.0042), 0, np.array([0.0, 1.0]))
    scale = charts.LogScale.of([seen])
    assert (scale.low, scale.high) == (-4, -2)
    assert scale.y(np.array([0.01, 0.0001])) == pytest.approx([0.0, 100.0])
    assert charts.LogScale.of([]).ticks[0][0] == pytest.approx(0.001)


def test_a_top_is_round_and_never_below_the_rate() -> None:
    for rate in (0.3, 7.0, 40.0, 41.0, 99.0, 1234.0):
        assert rate * 0.99 <= charts.rate_top([np.array([rate])]) <= rate * 2
    assert charts.rate_top([]) == 1.0


def test_a_stroke_is_never_too_short_to_be_seen() -> None:
    assert charts.strokes([(1.0, 1.0)], 0.0, y=50, least_ms=20) == "M1000 50h20"
