"""Block the replication to readers with `aurora_inject_replica_failure`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context
from chaos.faults.injected import Injected
from chaos.faults.sight import lag_ms
from chaos.faults.targets import select_several
from chaos.model.topology import Role, Topology


class ReplicaLag(Injected):
    """Readers fall behind the writer; afterwards they catch up by themselves.

    The effect is a lag of `lag_ms_min` by `aurora_replica_status()`.
    """

    fault: Literal["replica-lag"] = "replica-lag"
    target: str = Field(
        "any reader",
        description="`any reader`, `all readers`, `reader:tier=N` or a reader's identifier.",
    )
    lag_ms_min: float = Field(
        500.0, ge=50, le=600_000, description="Lag at which a reader counts as behind."
    )

    @model_validator(mode="after")
    def _can_lag(self) -> Self:
        if self.lag_ms_min >= self.for_s * 1000:
            raise ValueError("lag_ms_min must be less than for_s, or no reader lags for so long")
        return self

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the readers; refuse the writer, which is behind nobody."""
        self.require_aurora_postgresql(topology)
        members = select_several(self.target, topology)
        if any(member.role is not Role.READER for member in members):
            raise GuardRefused(f"replica-lag: {members[0].id} is the writer; name a reader")
        return tuple(member.id for member in members)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> None:
        """Refuse a reader that is behind already."""
        for target in targets:
            lag = lag_ms(context, topology, target, writing=False)
            if lag >= self.lag_ms_min:
                raise GuardRefused(f"replica-lag: {target} is {lag:.0f} ms behind already")

    def inject(self, context: Context, before: Before) -> None:
        """Ask the writer for it, for each reader."""
        for target in before.targets:
            self.ask(
                context,
                before,
                f"aurora_inject_replica_failure({self.percent}, {self.for_s}, '{target}')",
            )

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the readers once each is behind."""
        behind = [
            lag_ms(context, before.topology, target) >= self.lag_ms_min for target in before.targets
        ]
        return before.target if all(behind) else None

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and the readers have caught up."""
        if not super().is_recovered(context, before):
            return False
        now = context.rds.topology()
        return all(lag_ms(context, now, target) < self.lag_ms_min for target in before.targets)
