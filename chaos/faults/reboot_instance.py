"""Restart one instance with `RebootDBInstance`; on Aurora no failover is requested."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.faults.base import Before, Context, Fault
from chaos.faults.targets import select
from chaos.model.identity import Identity
from chaos.model.topology import Topology
from chaos.safety.calls import Call


class RebootInstance(Fault):
    """Call `RebootDBInstance` on one instance; the effect is a younger server process."""

    asks_again: ClassVar[bool] = True
    expected_s: ClassVar[float] = 60.0

    fault: Literal["reboot-instance"] = "reboot-instance"
    target: str = Field(
        "writer", description="`writer`, `any reader`, `reader:tier=N` or an instance identifier."
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance that the selector means now."""
        return (select(self.target, topology).id,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Identity:
        """Ask the instance since when it runs."""
        return context.database.identify(targets[0])

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one reboot."""
        return (Call("RebootDBInstance"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the reboot once."""
        context.rds.reboot(before.target)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once its server says that it started later than before."""
        now = context.database.identify(before.target)
        return before.target if now.started_at > before.seen.started_at else None
