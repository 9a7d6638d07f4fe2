"""Delete one reader with `DeleteDBInstance`; recovery creates it again as it was."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context, Fault
from chaos.faults.targets import select
from chaos.model.topology import Role, Topology
from chaos.safety.calls import Call
from chaos.safety.undo import CreateInstance, Undo


class DeleteReader(Fault):
    """Call `DeleteDBInstance` on a reader; the effect is a cluster without it.

    Recovery calls `CreateDBInstance` with the identifier, class, zone, promotion tier, parameter group
    and tags that it had.
    """

    undoes: ClassVar[str] = "creates the reader again as it was"
    expected_s: ClassVar[float] = 600.0

    fault: Literal["delete-reader"] = "delete-reader"
    target: str = Field(
        "any reader", description="`any reader`, `reader:tier=N` or a reader's identifier."
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the reader that the selector means now; refuse the writer."""
        member = select(self.target, topology)
        if member.role is not Role.READER:
            raise GuardRefused(f"delete-reader: {member.id} is the writer; name a reader")
        return (member.id,)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Create the reader again."""
        member = before.topology.member(before.target)
        assert member is not None, "resolve"
        return (CreateInstance(instance=member.id, settings=dict(member.settings)),)

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one deletion."""
        return (Call("DeleteDBInstance"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the deletion once."""
        context.rds.delete_instance(before.target)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once the cluster no longer lists it."""
        gone = context.rds.topology().member(before.target) is None
        return before.target if gone else None
