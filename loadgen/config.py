"""What the runner tells the traffic and probe processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTraffic:
    """The arrivals of one arm, per second; they follow the schedule whatever happens."""

    arm: str
    """Its own name in this run."""
    client: Mapping[str, Any] = field(default_factory=dict)
    """Which client it is (`loadgen.configured`); empty: the catalogue's of that name."""
    writes_per_s: float = 0.0
    reads_per_s: float = 0.0
    """Of a profile of single writes and reads."""
    profile: str = "oltp-small"
    operations_per_s: float | None = None
    """Of all streams of the profile, divided by their shares; None: the two rates above."""
    shape: Any = None
    """How the rate goes over time, as an experiment tells it (chaos.model.shape); None: constant."""
    users: int = 20
    """Locust users for each stream; more operations than users wait in the queue."""
    think_time_s: float = 0.0
    """How long a user pauses after an operation before it takes the next arrival."""
    queue_max: int = 1000
    """Arrivals of a stream that may wait for a user; more are recorded as failed, never sent."""
    workers: int = 1
    """How many workers send the arm's traffic between them: each has this part of its retry budget."""

    def share(self, of: int) -> ArmTraffic:
        """Return what each of `of` workers sends, so that all of them together send this."""
        return replace(
            self,
            writes_per_s=self.writes_per_s / of,
            reads_per_s=self.reads_per_s / of,
            operations_per_s=self.operations_per_s and self.operations_per_s / of,
            users=math.ceil(self.users / of),
            queue_max=math.ceil(self.queue_max / of),
            workers=of,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficConfig:
    """All arms of one run. `run` is the run's id, with which every write is marked."""

    run: str
    arms: tuple[ArmTraffic, ...]
    seed: int = 0
    process: int = 0
    """Number of the worker that sends it, 0 without workers; write ids differ by it."""

    def share(self, of: int, process: int) -> TrafficConfig:
        """Return the part of one of `of` workers; its arrivals lie between those of the others."""
        return replace(self, arms=tuple(arm.share(of) for arm in self.arms), process=process)
