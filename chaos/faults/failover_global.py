"""Promote a secondary Region with `FailoverGlobalCluster` and AllowDataLoss: the newest may be lost."""

from __future__ import annotations

from typing import ClassVar, Literal

from chaos.errors import DatabaseError
from chaos.faults.base import Before, Context
from chaos.faults.worldwide import MovesPrimary
from chaos.model.topology import Role
from chaos.safety.calls import Call


class FailoverGlobal(MovesPrimary):
    """Call `FailoverGlobalCluster` with AllowDataLoss, to a secondary that may lag behind.

    Aurora fences the old primary as well as it can, and then rebuilds it as a secondary from the new
    one's data: what had not been replicated is lost for good. The effect is another primary by the API,
    while the old writer does not write: it is a reader, or being rebuilt and not to be reached.
    """

    undoes: ClassVar[str] = (
        "switches back to the first primary once the service has rebuilt it, if it is still a member; "
        "what was not replicated stays lost"
    )
    expected_s: ClassVar[float] = 900.0

    fault: Literal["failover-global"] = "failover-global"

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one failover."""
        return (Call("FailoverGlobalCluster"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the failover once."""
        context.rds.failover_global(before.seen.target.arn)

    def writes_no_more(self, context: Context, before: Before) -> bool:
        """Tell whether the old writer is a reader, or does not answer."""
        writer = before.topology.writer
        try:
            return writer is None or context.database.identify(writer.id).role is Role.READER
        except DatabaseError:
            return True
