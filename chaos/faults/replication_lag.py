"""Let a reader show every commit later than the writer made it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context
from chaos.faults.disturbance import OfInstance
from chaos.faults.sight import lag_ms
from chaos.model.topology import Topology

_SEEN_MS_MAX = 5_000


class ReplicationLag(OfInstance):
    """Replication goes on and nothing is lost; a reader shows it so much later.

    `replica-lag` blocks it instead, and works on Aurora, too. The effect is half of the lag (or 5 s) by
    `aurora_replica_status()`.
    """

    fault: Literal["replication-lag"] = "replication-lag"
    target: str = Field(
        "any reader", description="`any reader`, `reader:tier=N` or a reader's identifier."
    )
    lag_s: float = Field(gt=0, le=3600, description="So much later it shows commits.")

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the reader; refuse the writer, which is behind nobody."""
        targets = super().resolve(topology)
        if topology.writer and topology.writer.id == targets[0]:
            raise GuardRefused(f"replication-lag: {targets[0]} is the writer; name a reader")
        return targets

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> None:
        """Refuse a reader that is behind already."""
        super().see(context, topology, targets)
        lag = lag_ms(context, topology, targets[0], writing=False)
        if lag >= self._seen_ms:
            raise GuardRefused(f"replication-lag: {targets[0]} is {lag:.0f} ms behind already")

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the reader once it is behind."""
        behind = lag_ms(context, before.topology, before.target) >= self._seen_ms
        return before.target if behind else None

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and the reader has caught up."""
        if not super().is_recovered(context, before):
            return False
        now = context.rds.topology()
        return lag_ms(context, now, before.target) < self._seen_ms

    @property
    def _seen_ms(self) -> float:
        """At which lag it counts as behind."""
        return min(self.lag_s * 500, _SEEN_MS_MAX)
