"""Restart instances with `RebootDBInstance`; on Aurora no failover is requested."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from chaos.faults.base import MULTI_AZ, Before, Context, Fault
from chaos.faults.restarts import restarted, started
from chaos.faults.targets import SEVERAL, select_several
from chaos.model.topology import Topology
from chaos.safety.calls import Call


class RebootInstance(Fault):
    """Call `RebootDBInstance` on each target; the effect is that every server started later."""

    works_on: ClassVar[str] = MULTI_AZ
    asks_again: ClassVar[bool] = True
    expected_s: ClassVar[float] = 60.0

    fault: Literal["reboot-instance"] = "reboot-instance"
    target: str = Field("writer", description=SEVERAL)

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instances that the selector means now."""
        return tuple(member.id for member in select_several(self.target, topology))

    def see(
        self, context: Context, topology: Topology, targets: tuple[str, ...]
    ) -> Mapping[str, datetime]:
        """Ask the instances since when they run."""
        return started(context, targets)

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one reboot of each."""
        return (Call("RebootDBInstance", len(before.targets)),)

    def inject(self, context: Context, before: Before) -> None:
        """Request one reboot of each."""
        for instance in before.targets:
            context.rds.reboot(instance)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the targets once each server says that it started later than before."""
        return restarted(context, before)
