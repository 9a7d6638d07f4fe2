"""Exchange the roles of two Regions with `SwitchoverGlobalCluster`: nothing may be lost."""

from __future__ import annotations

from typing import ClassVar, Literal

from chaos.faults.base import Before, Context
from chaos.faults.worldwide import MovesPrimary
from chaos.model.topology import Role
from chaos.safety.calls import Call


class SwitchoverGlobal(MovesPrimary):
    """Call `SwitchoverGlobalCluster`; the effect is another primary, the old writer being a reader.

    The API names the new primary. Its instances are not in this run's reach, so SQL is asked of the
    old writer: it must be in recovery.
    """

    undoes: ClassVar[str] = "switches back to the first primary"

    fault: Literal["switchover-global"] = "switchover-global"

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one switchover."""
        return (Call("SwitchoverGlobalCluster"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the switchover once."""
        context.rds.switchover_global(before.seen.target.arn)

    def writes_no_more(self, context: Context, before: Before) -> bool:
        """Tell whether the old writer says that it is a reader."""
        writer = before.topology.writer
        return writer is None or context.database.identify(writer.id).role is Role.READER
