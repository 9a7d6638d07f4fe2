"""Restart one instance with `RebootDBInstance`; on Aurora no failover is requested."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import DatabaseError
from chaos.faults.base import Before, Context, Fault
from chaos.faults.targets import select
from chaos.model.topology import Topology


class RebootInstance(Fault):
    """Call `RebootDBInstance` on one instance; the effect is a younger server process."""

    watches_uptime: ClassVar[bool] = True

    fault: Literal["reboot-instance"] = "reboot-instance"
    target: str = Field(
        "writer", description="`writer`, `any reader`, `reader:tier=N` or an instance identifier."
    )

    def resolve(self, topology: Topology) -> str:
        """Name the instance that the selector means now."""
        return select(self.target, topology).id

    def inject(self, context: Context, before: Before) -> None:
        """Request the reboot once."""
        context.rds.reboot(before.target)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once its server says that it started later than before."""
        assert before.identity is not None, "watches_uptime"
        try:
            now = context.identify(before.target)
        except DatabaseError:
            return None  # It is down: being rebooted, but back is what proves it.
        return before.target if now.started_at > before.identity.started_at else None
