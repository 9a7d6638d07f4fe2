"""How capacity follows load: a model, since AWS publishes none.

An instance wants the larger of two: the capacity at which its processor time of late would be half of
what the capacity allows (half as much again where it was held back, since what it would have used is
not known), and the capacity that its connections' memory takes. It rises by 0.5 ACU or half of what it
has, whichever is more, so the faster the larger it is; it falls, by a quarter, only after it
wanted less for a while. Within the bounds, always, in steps of 0.5.

Readers of promotion tiers 0 and 1 have at least the writer's capacity, at once, so that they can take
over; the others follow their own load (the user guide's "How Aurora Serverless v2 works").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos.testcluster.records import ServerlessBounds
from chaos.testcluster.serverless.bounds import STEP_ACU
from chaos.testcluster.serverless.settings import connection_weight_acu

UTILIZATION_AIM = 0.5
FOLLOWING_TIER_MAX = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one instance did of late."""

    cores: float
    """Processor time that its sessions took, in seconds per second."""
    connections: int
    held_back: bool
    """Whether its capacity kept it from taking more."""


def wanted_capacity(load: Load, current: float, cores_per_acu: float) -> float:
    """Return the capacity that the load asks for, in whole steps, without regard to bounds."""
    by_cpu = load.cores / cores_per_acu / UTILIZATION_AIM
    if load.held_back:
        by_cpu = max(by_cpu, current * 1.5)
    by_memory = load.connections * connection_weight_acu()
    return math.ceil(round(max(by_cpu, by_memory) / STEP_ACU, 6)) * STEP_ACU


def within(capacity: float, bounds: ServerlessBounds) -> float:
    """Return the nearest capacity that an instance which is not paused can have."""
    return min(max(capacity, bounds.min_acu, STEP_ACU), bounds.max_acu)


def next_capacity(current: float, wanted: float, bounds: ServerlessBounds) -> float:
    """Return the capacity one step nearer to the wanted one within the bounds."""
    goal = within(wanted, bounds)
    if goal > current:
        return min(current + _steps(current / 2), goal)
    if goal < current:
        # Bounds that exclude it are not waited for: it halves.
        share = 2 if current > bounds.max_acu else 4
        return max(current - _steps(current / share), goal)
    return current


def _steps(acu: float) -> float:
    return max(STEP_ACU, acu // STEP_ACU * STEP_ACU)


class Scaler:
    """One instance's capacity over time.

    Args:
        step_s: from one step to the next.
        hold_s: how long less has to be wanted before it falls.
    """

    def __init__(self, *, step_s: float, hold_s: float) -> None:
        self._step_s = step_s
        self._hold_s = hold_s
        self._stepped_at = -math.inf
        self._enough_since: float | None = None

    def next(self, now_s: float, current: float, wanted: float, bounds: ServerlessBounds) -> float:
        """Return the capacity from `now_s` on; `current` where it is not time for a step yet."""
        following = next_capacity(current, wanted, bounds)
        if following >= current or current > bounds.max_acu:
            self._enough_since = None
        elif self._enough_since is None:
            self._enough_since = now_s
        falling_too_soon = (
            self._enough_since is not None and now_s - self._enough_since < self._hold_s
        )
        if following == current or falling_too_soon or now_s - self._stepped_at < self._step_s:
            return current
        self._stepped_at = now_s
        return following


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One instance's place in its cluster, as far as capacity depends on it."""

    id: str
    is_writer: bool
    promotion_tier: int
    capacity_acu: float
    """The present capacity; of a provisioned instance the one that has its memory."""
    serverless: bool = True

    @property
    def tied(self) -> bool:
        """Whether it is the writer, or a reader that scales and pauses with it."""
        return self.is_writer or self.promotion_tier <= FOLLOWING_TIER_MAX


def with_writer(
    places: Sequence[Place], own: Mapping[str, float], bounds: ServerlessBounds
) -> dict[str, float]:
    """Return the capacities of Serverless instances, given what each would have by its own load."""
    writer = next((place for place in places if place.is_writer), None)
    least = 0.0
    if writer is not None:
        least = own.get(writer.id, writer.capacity_acu)
    return {
        place.id: within(max(own[place.id], least), bounds) if _follows(place) else own[place.id]
        for place in places
        if place.serverless and place.id in own
    }


def _follows(place: Place) -> bool:
    return place.tied and not place.is_writer
