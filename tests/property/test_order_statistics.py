"""Quantiles from order statistics cover what they say they cover, whatever is drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from chaos.checks.order_statistics import (
    binomial_cdf,
    median,
    nearest_rank,
    quantile,
    quantile_ranks,
    rank_above,
    rank_below,
    repeats_needed,
)

TRIALS = 4000
Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
# Each with its median and its p90.
DISTRIBUTIONS: dict[str, tuple[Draw, float, float]] = {
    "exponential": (lambda r, size: r.exponential(size=size), math.log(2), math.log(10)),
    "lognormal": (lambda r, size: r.lognormal(sigma=2.0, size=size), 1.0, math.exp(2 * 1.2815516)),
    "steps": (lambda r, size: r.integers(0, 10, size=size).astype(float), 4.0, 8.0),
}
SEVERAL = pytest.mark.parametrize("drawn", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)


def covered(hits: NDArray[np.bool_], confidence: float) -> bool:
    """Tell whether a share is no less than it should be, four standard errors of luck allowed."""
    error = math.sqrt(max(confidence * (1 - confidence), 1e-4) / len(hits))
    return float(hits.mean()) >= confidence - 4 * error


@SEVERAL
@pytest.mark.parametrize("n", [2, 3, 5, 6, 8, 12, 20, 33])
def test_the_interval_of_a_median_holds_it_as_often_as_told(
    drawn: tuple[Draw, float, float], n: int
) -> None:
    draw, truth, _ = drawn
    values = np.sort(draw(np.random.default_rng(n), (TRIALS, n)), axis=1)
    ranks = quantile_ranks(n, 0.5)
    low, high = values[:, ranks.low - 1], values[:, ranks.high - 1]
    assert covered((low <= truth) & (truth <= high), ranks.confidence)
    assert n < 6 or ranks.confidence >= 0.95


@SEVERAL
@pytest.mark.parametrize(("n", "p"), [(5, 0.5), (12, 0.5), (20, 0.9), (29, 0.9), (46, 0.9)])
def test_a_bound_on_one_side_holds_as_often_as_told(
    drawn: tuple[Draw, float, float], n: int, p: float
) -> None:
    draw, *truths = drawn
    truth = truths[p > 0.5]
    values = np.sort(draw(np.random.default_rng(n), (TRIALS, n)), axis=1)
    above, below = rank_above(n, p), rank_below(n, p)
    if above is not None:
        assert covered(values[:, above - 1] >= truth, 0.95)
    if below is not None:
        assert covered(values[:, below - 1] <= truth, 0.95)


@pytest.mark.parametrize(("p", "needed"), [(0.5, 5), (0.9, 29)])
def test_with_fewer_repeats_than_needed_a_quantile_has_no_bound(p: float, needed: int) -> None:
    assert repeats_needed(p) == needed
    assert rank_above(needed - 1, p) is None
    assert rank_above(needed, p) == needed


def test_of_five_the_whole_range_gives_93_75_percent() -> None:
    ranks = quantile_ranks(5, 0.5)
    assert (ranks.low, ranks.high) == (1, 5)
    assert ranks.confidence == 0.9375
    assert quantile_ranks(1, 0.5).confidence == 0.0


def test_many_values_are_told_alike_by_both_ways_of_counting() -> None:
    exact, normal = quantile_ranks(1000, 0.99), quantile_ranks(1001, 0.99)
    assert abs(exact.low - normal.low) <= 2
    assert 0 <= normal.high - exact.high <= 3


@given(st.integers(1, 40), st.floats(0.01, 0.99))
def test_the_binomial_sums_up(n: int, p: float) -> None:
    told = [binomial_cdf(k, n, p) for k in range(-1, n + 1)]
    brute = [
        sum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k + 1))
        for k in range(-1, n + 1)
    ]
    assert told == pytest.approx(brute, abs=1e-9)
    assert all(a <= b for a, b in pairwise(told))


LENGTHS = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 10), st.floats(0, 1), st.booleans()),
    min_size=1, max_size=30,
)  # fmt: skip


@given(LENGTHS)
def test_bounds_of_each_length_only_widen_the_interval(
    lengths: list[tuple[float, float, float, bool]],
) -> None:
    """The truth lies anywhere within its bounds, or has no bound above: both ends hold it."""
    lowers = [low for low, *_ in lengths]
    truths = [low + share * width for low, width, share, _ in lengths]
    uppers = [math.inf if open_ else low + width for low, width, _, open_ in lengths]
    told, exact = median(lowers, uppers), median(truths, truths)
    assert told.low <= exact.low + 1e-9
    assert exact.high <= told.high + 1e-9
    assert told.at_least <= exact.at_most + 1e-9
    assert exact.at_least <= told.at_most + 1e-9
    assert told.confidence == exact.confidence


@given(st.integers(1, 10_000), st.integers(1, 999))
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(n: int, permille: int) -> None:
    rank = nearest_rank(n, permille / 1000)
    assert rank * 1000 >= n * permille > (rank - 1) * 1000
    assert quantile(range(n, 0, -1), permille / 1000) == rank


def test_no_value_has_no_median() -> None:
    with pytest.raises(ValueError, match="at least one"):
        median([], [])
