"""Delay every request of clients to an instance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.faults.base import Before, Context
from chaos.faults.disturbance import OfInstance
from chaos.faults.sight import READ, is_slower, trips
from chaos.model.answers import RoundTrips
from chaos.model.topology import Topology


class Latency(OfInstance):
    """Requests reach an instance late, by the same time or varied by a jitter.

    An approximation: connecting and replication are not delayed. The effect is a statement that takes
    at least half of the delay longer than before, on average.
    """

    fault: Literal["latency"] = "latency"
    delay_ms: float = Field(gt=0, le=10_000, description="Delay of each request.")
    jitter_ms: float = Field(
        0.0, ge=0, le=10_000, description="By so much it is longer or shorter at most."
    )

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> RoundTrips:
        """Measure a statement."""
        super().see(context, topology, targets)
        return trips(context, targets[0], READ)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once statements are late."""
        now = trips(context, before.target, READ)
        return before.target if is_slower(now, before.seen, self.delay_ms / 1000) else None
