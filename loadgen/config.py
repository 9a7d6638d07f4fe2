"""What the runner tells the traffic and probe processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTraffic:
    """The arrivals of one arm, per second; they follow the schedule whatever happens."""

    arm: str
    writes_per_s: float
    reads_per_s: float
    users: int = 20
    """Locust users for each kind of operation; more operations than users wait in the queue."""
    queue_max: int = 1000
    """Arrivals of a kind that may wait for a user; more are recorded as failed, never sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficConfig:
    """All arms of one run. `run` is the run's id, with which every write is marked."""

    run: str
    arms: tuple[ArmTraffic, ...]
    seed: int = 0
