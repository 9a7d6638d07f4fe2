"""Plots as SVG path data: numbers only, in milliseconds to the right and 0 (top) to 100 down.

Nothing here knows of pixels: the page stretches a plot to its width, and zooming moves the view box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.columns import Floats, Latencies, Outcomes

FLOOR = 100.0
"""The y of zero."""
_SEEN = 5.0
"""The least height of anything that is not zero: one failure among a million stays visible."""
_DECADE_MIN, _DECADE_MAX = -4, 3
_TOPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogScale:
    """A logarithmic scale over whole decades of seconds."""

    low: int
    high: int

    @classmethod
    def of(cls, columns: Sequence[Latencies]) -> LogScale:
        """Return the decades that hold every latency, two at least."""
        seen = [a for c in columns for a in (c.smallest, c.largest, c.error_max)]
        values = np.concatenate(seen) if seen else np.empty(0)
        values = values[np.isfinite(values) & (values > 0)]
        if not len(values):
            return cls(low=-3, high=0)
        low = max(int(np.floor(np.log10(values.min()))), _DECADE_MIN)
        high = min(int(np.ceil(np.log10(values.max()))), _DECADE_MAX)
        return cls(low=min(low, high - 2), high=high)

    def y(self, value_s: NDArray[np.float64]) -> Floats:
        """Return heights; what lies outside is drawn at the edge."""
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (np.log10(value_s) - self.low) / (self.high - self.low)
        return np.asarray(FLOOR * (1 - np.clip(share, 0, 1)), dtype=np.float64)

    @property
    def ticks(self) -> tuple[tuple[float, float], ...]:
        """Return (value in seconds, y) of every decade."""
        decades = range(self.low, self.high + 1)
        return tuple(
            (10.0**d, FLOOR * (1 - (d - self.low) / (self.high - self.low))) for d in decades
        )


def rate_top(rates: Sequence[Floats]) -> float:
    """Return the operations per second at the top of plots of these rates."""
    highest = max((float(rate.max(initial=0)) for rate in rates), default=0.0)
    if highest <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(highest))
    return float(next(m * power for m in _TOPS if m * power >= highest * 0.99))


def stack(columns: Outcomes, milliseconds: Sequence[int], heights: Floats) -> dict[str, str]:
    """Return areas from the floor, by outcome: failed at the floor, then unknown, late and ok.

    Each column is as high as `heights` tells and divided by the shares of its outcomes. An area
    holds those below it, so they are painted from ok to failed.
    """
    reached = np.zeros(len(heights))
    total = np.maximum(columns.total, 1)
    areas: dict[str, str] = {}
    for name in ("failed", "unknown", "late", "ok"):
        counts = getattr(columns, name)
        height = np.maximum(counts / total * heights, _SEEN)
        reached = np.minimum(reached + np.where(counts > 0, height, 0.0), FLOOR)
        areas[name] = area(milliseconds, reached) if counts.any() else ""
    return areas


def area(milliseconds: Sequence[int], heights: Floats) -> str:
    """Return the outline of columns that stand on the floor."""
    parts: list[str] = []
    y_before = FLOOR
    for x, height in zip(milliseconds[:-1], heights.tolist(), strict=True):
        y = round(FLOOR - height, 1)
        if y != y_before:
            parts.append(f"H{x}V{y:g}")
            y_before = y
    if not parts:
        return ""
    return f"M{milliseconds[0]} {FLOOR:g}{''.join(parts)}H{milliseconds[-1]}V{FLOOR:g}Z"


def band(milliseconds: Sequence[int], upper: Floats, lower: Floats) -> str:
    """Return the filled outline between two y values a column; nothing where they are NaN."""
    parts = []
    for first, last in runs(upper):
        top, bottom = np.round(upper[first:last], 1), np.round(lower[first:last] + 1, 1)
        edges = milliseconds[first : last + 1]
        there = _walk(edges, top.tolist())
        back = _walk(edges[::-1], bottom[::-1].tolist())
        parts.append(f"M{edges[0]} {top[0]:g}{there}V{bottom[-1]:g}{back}Z")
    return "".join(parts)


def line(milliseconds: Sequence[int], y: Floats) -> str:
    """Return a stepped line; it breaks where `y` is NaN."""
    parts = []
    for first, last in runs(y):
        values = np.round(y[first:last], 1).tolist()
        edges = milliseconds[first : last + 1]
        parts.append(f"M{edges[0]} {values[0]:g}{_walk(edges, values)}")
    return "".join(parts)


def strokes(spans: Sequence[Span], start_s: float, *, y: float, least_ms: int) -> str:
    """Return horizontal strokes, one a span, none shorter than `least_ms`."""
    return "".join(
        f"M{round((a - start_s) * 1000)} {y:g}h{max(round((b - a) * 1000), least_ms)}"
        for a, b in spans
    )


def runs(values: Floats) -> Iterator[tuple[int, int]]:
    """Yield (first, one past the last) of each stretch without NaN."""
    known = np.concatenate(([False], np.isfinite(values), [False]))
    turns = np.flatnonzero(np.diff(known.astype(np.int8)))
    yield from zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True)


def _walk(edges: Sequence[int], y: Sequence[float]) -> str:
    parts: list[str] = []
    before = y[0]
    for x, value in zip(edges[:-1], y, strict=True):
        if value != before:
            parts.append(f"H{x}V{value:g}")
            before = value
    return f"{''.join(parts)}H{edges[-1]}"
