"""What a few repeats say of a quantile, whatever the distribution: order statistics.

Assumed is only that the repeats are alike and independent of each other. Then the number of n values
that do not exceed the p-quantile is binomial (n, p), and between the k-th and the m-th smallest value
it lies with a probability of at least `cdf(m - 1) - cdf(k - 1)`. Ties and steps in the distribution
only raise that. (H. A. David, H. N. Nagaraja, Order Statistics, 3rd ed. 2003, section 7.1.)

Where each value is only known to lie between two bounds, the ends of the interval are taken from the
sorted lower and the sorted upper bounds: each is beyond the order statistic that it stands for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from statistics import NormalDist

CONFIDENCE = 0.95
# Above this many values the binomial is summed as a normal distribution, one rank wider each side.
_EXACT_MAX = 1000


@dataclass(frozen=True, slots=True)
class Ranks:
    """Two ranks, the smallest value being 1, and how probably a quantile lies between them."""

    low: int
    high: int
    confidence: float


@lru_cache(maxsize=256)
def _cumulated(n: int, p: float) -> tuple[float, ...]:
    """Return the probabilities of at most 0, 1, ... n successes in `n` trials."""
    terms, ways = [], 1
    for k in range(n + 1):
        # Whole numbers and powers: exact for a coin, and within a double's range up to `_EXACT_MAX`.
        terms.append(ways * p**k * (1 - p) ** (n - k))
        ways = ways * (n - k) // (k + 1)
    return tuple(min(1.0, total) for total in accumulate(terms))


def binomial_cdf(count: int, n: int, p: float) -> float:
    """Return the probability of at most `count` successes in `n` trials that succeed with `p`.

    `n` is 1000 at most.
    """
    if count < 0:
        return 0.0
    return 1.0 if count >= n else _cumulated(n, p)[count]


def quantile_ranks(n: int, p: float) -> Ranks:
    """Return the ranks between which the p-quantile lies, with half of the risk on each side.

    Where n values are too few for 95 %, an end is the smallest or the largest
    of them, and `confidence` is what that gives: 93.75 % for the median of five, from 1 to 5.

    Raises:
        ValueError: there is no value.
    """
    if n < 1:
        raise ValueError("no value: a quantile needs at least one")
    risk = (1 - CONFIDENCE) / 2
    if n > _EXACT_MAX:
        spread = NormalDist().inv_cdf(1 - risk) * math.sqrt(n * p * (1 - p))
        low = max(1, math.floor(n * p - spread))
        return Ranks(low, min(n, math.ceil(n * p + spread) + 1), CONFIDENCE)
    low, high = 1, n
    while low < n and binomial_cdf(low, n, p) <= risk:
        low += 1
    while high > 1 and 1 - binomial_cdf(high - 2, n, p) <= risk:
        high -= 1
    high = max(low, high)
    return Ranks(low, high, binomial_cdf(high - 1, n, p) - binomial_cdf(low - 1, n, p))


def rank_above(n: int, p: float) -> int | None:
    """Return the lowest rank whose value the p-quantile does not exceed; None: n is too small."""
    return next((r for r in range(1, n + 1) if binomial_cdf(r - 1, n, p) >= CONFIDENCE), None)


def rank_below(n: int, p: float) -> int | None:
    """Return the highest rank whose value does not exceed the p-quantile; None: n is too small."""
    return next((r for r in range(n, 0, -1) if 1 - binomial_cdf(r - 1, n, p) >= CONFIDENCE), None)


def repeats_needed(p: float) -> int:
    """Return how many values are needed for the largest to be no less than the p-quantile.

    The largest of n is below it with the probability p**n: 5 for the median, 29 for p90.
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(p))


def nearest_rank(n: int, p: float) -> int:
    """Return the rank of the p-quantile of n values themselves, the smallest being 1.

    It is the smallest value that a share p does not exceed: of fewer than 1 / (1 - p) the largest.
    """
    return max(1, math.ceil(round(p * n, 6)))  # 0.07 * 100 is a little above 7


def quantile(values: Sequence[float], p: float) -> float:
    """Return the p-quantile of some values, which is one of them."""
    return sorted(values)[nearest_rank(len(values), p) - 1]


@dataclass(frozen=True, slots=True)
class Median:
    """The median of several lengths, each known between two bounds, and an interval for it."""

    at_least: float
    """The median of the lower bounds."""
    at_most: float
    """The median of the upper bounds; infinite where half of them have none."""
    low: float
    high: float
    confidence: float
    """How probably [`low`, `high`] holds the median that ever more repeats would show."""


def median(lowers: Sequence[float], uppers: Sequence[float]) -> Median:
    """Return the median of values that lie between `lowers` and `uppers` (infinite: no bound).

    Raises:
        ValueError: there is no value.
    """
    low, high = sorted(lowers), sorted(uppers)
    ranks = quantile_ranks(len(low), 0.5)
    return Median(
        _middle(low), _middle(high), low[ranks.low - 1], high[ranks.high - 1], ranks.confidence
    )


def _middle(values: Sequence[float]) -> float:
    """Return the median of sorted values, one of which may be infinite."""
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
