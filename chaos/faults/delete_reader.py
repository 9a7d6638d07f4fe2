"""Delete one reader with `DeleteDBInstance`; recovery creates it again as it was."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.deletions import Deletes
from chaos.faults.targets import select
from chaos.model.topology import Role, Topology


class DeleteReader(Deletes):
    """Call `DeleteDBInstance` on a reader; the effect is a cluster without it.

    Recovery calls `CreateDBInstance` with the identifier, class, zone, promotion tier, parameter group
    and tags that it had.
    """

    undoes: ClassVar[str] = "creates the reader again as it was"

    fault: Literal["delete-reader"] = "delete-reader"
    target: str = Field(
        "any reader", description="`any reader`, `reader:tier=N` or a reader's identifier."
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the reader that the selector means now; refuse the writer."""
        member = select(self.target, topology)
        if member.role is not Role.READER:
            raise GuardRefused(
                f"delete-reader: {member.id} is the writer; name a reader, or use delete-writer"
            )
        return (member.id,)
