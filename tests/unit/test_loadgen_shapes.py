"""Rates that change: the arrivals are as many as the integral of the rate, in order, and the same."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.clock import NS
from chaos.model.shape import Shape
from loadgen.schedule import Arrivals, Schedule

ORIGIN = 1_000 * NS
FACTORS = st.floats(min_value=0.05, max_value=20)
SECONDS = st.floats(min_value=0, max_value=600)
STEPS = st.lists(st.tuples(st.floats(0, 300), FACTORS), min_size=1, max_size=6).map(
    lambda steps: {"step": [{"at_s": at_s, "factor": factor} for at_s, factor in sorted(steps)]}
)
RAMPS = st.tuples(st.floats(0, 100), st.floats(0.1, 300), FACTORS, FACTORS).map(
    lambda told: {
        "ramp": {
            "from_s": told[0],
            "to_s": told[0] + told[1],
            "from_factor": told[2],
            "to_factor": told[3],
        }
    }
)
TOLD = STEPS | RAMPS | st.just("constant")


@given(TOLD, SECONDS)
def test_an_integral_leads_back_to_its_instant(told: Any, at_s: float) -> None:
    shape = Shape.of(told)
    assert shape.instant(shape.area(at_s)) == pytest.approx(at_s, rel=1e-9, abs=1e-9)
    assert shape.instant(shape.area(-at_s)) == pytest.approx(-at_s, rel=1e-9, abs=1e-9)


@given(TOLD, st.lists(SECONDS, min_size=2, max_size=10))
def test_an_integral_grows_by_the_factors_between(told: Any, instants: list[float]) -> None:
    shape = Shape.of(told)
    factors = [factor for _, factor in shape.knots]
    for before, after in itertools.pairwise(sorted(instants)):
        grown = shape.area(after) - shape.area(before)
        assert min(factors) * (after - before) <= grown + 1e-6
        assert grown <= max(factors) * (after - before) + 1e-6


@given(TOLD, st.floats(1, 200), st.text(max_size=4), st.lists(SECONDS, min_size=2, max_size=2))
def test_arrivals_are_in_order_and_as_many_as_the_integral_says(
    told: Any, rate_per_s: float, seed: str, between: list[float]
) -> None:
    shape = Shape.of(told)
    schedule = Schedule(rate_per_s, seed, ORIGIN, shape)
    schedule.begin(ORIGIN)
    found = [schedule.next_ns() for _ in range(500)]
    assert all(earlier < later for earlier, later in itertools.pairwise(found))
    last_s = (found[-1] - ORIGIN) / NS
    low_s, high_s = sorted(min(at_s, last_s) for at_s in between)
    there = sum(low_s * NS <= at - ORIGIN < high_s * NS for at in found)
    due = rate_per_s * (shape.area(high_s) - shape.area(low_s))
    assert abs(there - due) <= 2


@given(TOLD, st.integers(0, 60))
def test_a_seed_gives_the_same_arrivals_whenever_the_shape_begins(told: Any, drawn: int) -> None:
    def arrivals() -> list[int]:
        schedule = Schedule(20.0, "7 resilient WRITE", ORIGIN, Shape.of(told))
        before = [schedule.next_ns() for _ in range(drawn)]
        schedule.begin(ORIGIN + NS)
        return before + [schedule.next_ns() for _ in range(100)]

    found = arrivals()
    assert found == arrivals()
    assert all(earlier < later for earlier, later in itertools.pairwise(found))


def test_before_the_shape_begins_the_first_factor_counts() -> None:
    """A warm-up of any length has one rate; second 0 is where the shape is told to begin."""
    shape = Shape.of({"step": [{"at_s": 0, "factor": 2}, {"at_s": 10, "factor": 4}]})
    schedule = Schedule(10.0, "seed", ORIGIN, shape)
    found = [schedule.next_ns() for _ in range(100)]
    begin = found[-1]
    schedule.begin(begin)
    found += [schedule.next_ns() for _ in range(400)]

    def rate(from_ns: int, to_ns: int) -> float:
        return sum(from_ns <= at < to_ns for at in found) / ((to_ns - from_ns) / NS)

    assert rate(ORIGIN, begin) == pytest.approx(20, rel=0.05)
    assert rate(begin, begin + 10 * NS) == pytest.approx(20, rel=0.05)
    assert rate(begin + 10 * NS, begin + 15 * NS) == pytest.approx(40, rel=0.05)


def test_a_pause_does_not_stop_the_shape() -> None:
    shape = Shape.of({"step": [{"at_s": 30, "factor": 5}]})
    arrivals = Arrivals(Schedule(10.0, "seed", ORIGIN, shape), 10_000, lambda *_: None)
    arrivals.begin(ORIGIN)
    arrivals.close(ORIGIN + 10 * NS)
    arrivals.reopen(ORIGIN + 40 * NS)
    arrivals.abandon()
    arrivals.admit(ORIGIN + 50 * NS)
    assert arrivals.waiting == pytest.approx(500, abs=3)


@pytest.mark.parametrize(
    "knots", [(), ((1.0, 1.0),), ((0.0, 1.0), (5.0, 1.0), (4.0, 1.0)), ((0.0, 0.0),)]
)
def test_what_is_no_rate_is_refused(knots: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="of a shape"):
        Shape(knots)
