"""Statistics of points over periods, with CloudWatch's names for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from chaos.testcluster.metrics.store import Point

HIGH_RESOLUTION_S = (1, 5, 10, 20, 30)
MINUTE_S = 60
SIMPLE = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
OFFERED = f"{', '.join(SIMPLE)}, p0 to p100"

_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,10})?)")
_ALL = 100.0

Compute = Callable[[Sequence[Point]], float]


@dataclass(frozen=True, slots=True)
class Bucket:
    """The points of one period, at least one; `start_s` is when it begins."""

    start_s: float
    points: Sequence[Point]


def is_period(period_s: int) -> bool:
    """Tell whether CloudWatch takes a period: high resolution, or whole minutes."""
    return period_s in HIGH_RESOLUTION_S or (period_s > 0 and period_s % MINUTE_S == 0)


def aligned(at_s: float, period_s: int) -> float:
    """Return the instant rounded down as CloudWatch rounds the start of a question.

    To the minute; for high-resolution periods to a multiple of the period.
    """
    step = min(period_s, MINUTE_S)
    return at_s // step * step


def buckets(points: Iterable[Point], origin_s: float, period_s: int) -> list[Bucket]:
    """Return the points by period, counted from `origin_s`; the oldest first, empty ones left out."""
    by_number: dict[int, list[Point]] = {}
    for point in points:
        by_number.setdefault(int((point.at_s - origin_s) // period_s), []).append(point)
    return [
        Bucket(origin_s + number * period_s, found) for number, found in sorted(by_number.items())
    ]


def statistic(name: str) -> Compute | None:
    """Return the statistic of that name, None if it is not offered."""
    if name in _SIMPLE:
        return _SIMPLE[name]
    match = _PERCENTILE.fullmatch(name)
    if match is None or float(match[1]) > _ALL:
        return None
    share = float(match[1]) / _ALL
    return lambda points: _percentile(points, share)


def _count(points: Sequence[Point]) -> float:
    return sum(point.weight for point in points)


def _sum(points: Sequence[Point]) -> float:
    return sum(point.value * point.weight for point in points)


def _average(points: Sequence[Point]) -> float:
    return _sum(points) / _count(points)


def _percentile(points: Sequence[Point], share: float) -> float:
    """Return the smallest value that `share` of the samples do not exceed."""
    ordered = sorted(points, key=lambda point: point.value)
    wanted = share * _count(ordered)
    passed = 0.0
    for point in ordered:
        passed += point.weight
        if passed >= wanted:
            return point.value
    return ordered[-1].value


_SIMPLE: dict[str, Compute] = {
    "SampleCount": _count,
    "Average": _average,
    "Sum": _sum,
    "Minimum": lambda points: min(point.value for point in points),
    "Maximum": lambda points: max(point.value for point in points),
}
