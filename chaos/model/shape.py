"""How an arm's rate of arrivals goes over time: a factor of its own rate, piecewise linear.

    constant                                       1 all the time
    {"step": [{"at_s": 10, "factor": 3}, ...]}     1, then 3 from second 10 on, ...
    {"ramp": {"from_s": 0, "to_s": 60,             the first factor until from_s, then in a straight
              "from_factor": 1, "to_factor": 5}}   line to the other one at to_s, which stays

Seconds count from the beginning of the method; what comes before has the factor of second 0. The
generator draws its arrivals from this and checks ask it how many were due, so both mean the same.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Shape:
    """A rate over time as a factor. `knots` are (second, factor): straight lines between them.

    The first knot is at second 0, seconds never fall, every factor is positive. Two knots of one
    second are a step. The last factor lasts for ever.
    """

    knots: tuple[tuple[float, float], ...] = ((0.0, 1.0),)

    def __post_init__(self) -> None:
        """Refuse what would be no rate.

        Raises:
            ValueError: the knots are not in order, or a factor is not positive.
        """
        seconds = [at_s for at_s, _ in self.knots]
        if not seconds or seconds[0] != 0 or seconds != sorted(seconds):
            raise ValueError("the seconds of a shape begin with 0 and never fall")
        if min(factor for _, factor in self.knots) <= 0:
            raise ValueError("the factors of a shape are above 0")

    @classmethod
    def of(cls, told: Any) -> Shape:
        """Read a shape as an experiment tells it; None is constant."""
        if told in (None, "constant"):
            return cls()
        if "ramp" in told:
            return cls(_ramp(told["ramp"]))
        return cls(_steps(told["step"]))

    @property
    def constant(self) -> bool:
        """Whether it is 1 all the time."""
        return all(factor == 1.0 for _, factor in self.knots)

    def factor(self, at_s: float) -> float:
        """Return the factor at an instant; at a step, the one after it."""
        piece = self._pieces[self._piece_at(at_s)]
        return piece.factor + piece.slope * max(0.0, at_s - piece.at_s)

    def area(self, at_s: float) -> float:
        """Return the integral of the factor from second 0 to an instant; negative before 0."""
        if at_s < 0:
            return at_s * self.knots[0][1]
        return self._pieces[self._piece_at(at_s)].area_by(at_s)

    def instant(self, area: float) -> float:
        """Return the instant by which the integral has grown to `area`: the inverse of `area`."""
        if area < 0:
            return area / self.knots[0][1]
        place = bisect.bisect_right(self._areas, area) - 1
        return self._pieces[place].instant_of(area)

    @cached_property
    def _pieces(self) -> tuple[_Piece, ...]:
        pieces: list[_Piece] = []
        area = 0.0
        ends = (*self.knots[1:], (math.inf, self.knots[-1][1]))
        for (at_s, factor), (to_s, to_factor) in zip(self.knots, ends, strict=True):
            if to_s == at_s:
                continue
            slope = 0.0 if math.isinf(to_s) else (to_factor - factor) / (to_s - at_s)
            pieces.append(_Piece(at_s, area, factor, slope))
            if not math.isinf(to_s):
                area += (to_s - at_s) * (factor + to_factor) / 2
        return tuple(pieces)

    @cached_property
    def _areas(self) -> tuple[float, ...]:
        return tuple(piece.area for piece in self._pieces)

    @cached_property
    def _begins(self) -> tuple[float, ...]:
        return tuple(piece.at_s for piece in self._pieces)

    def _piece_at(self, at_s: float) -> int:
        return max(0, bisect.bisect_right(self._begins, at_s) - 1)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A straight line from `at_s` on, and the integral up to there."""

    at_s: float
    area: float
    factor: float
    slope: float

    def area_by(self, at_s: float) -> float:
        passed_s = at_s - self.at_s
        return self.area + passed_s * (self.factor + self.slope * passed_s / 2)

    def instant_of(self, area: float) -> float:
        grown = area - self.area
        # The root of slope/2 x^2 + factor x = grown, in the form that no rounding spoils.
        root = math.sqrt(max(0.0, self.factor**2 + 2 * self.slope * grown))
        return self.at_s + 2 * grown / (self.factor + root)


def _steps(told: Sequence[Mapping[str, float]]) -> tuple[tuple[float, float], ...]:
    knots = [(0.0, 1.0)]
    for step in told:
        at_s, factor = float(step["at_s"]), float(step["factor"])
        knots += [(at_s, knots[-1][1])] * (at_s > 0) + [(at_s, factor)]
    return tuple(knots[1:] if len(knots) > 1 and knots[1][0] == 0 else knots)


def _ramp(told: Mapping[str, float]) -> tuple[tuple[float, float], ...]:
    from_s, to_s = float(told.get("from_s", 0.0)), float(told["to_s"])
    low, high = float(told.get("from_factor", 1.0)), float(told["to_factor"])
    return (*(((0.0, low),) if from_s > 0 else ()), (from_s, low), (to_s, high))
