"""Promote a reader with `FailoverDBCluster`; the old writer rejoins as a reader."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context, Fault
from chaos.model.topology import Role, Topology
from chaos.safety.calls import Call


class FailoverCluster(Fault):
    """Call `FailoverDBCluster`, to `target` or to the reader that the service chooses.

    The effect is another writer, by the API and by its own word in SQL; the service treats a target
    as a wish, so the actual one is recorded. A failover has no inverse: `rollback: [restore-writer]`
    fails over once more.
    """

    asks_again: ClassVar[bool] = True
    expected_s: ClassVar[float] = 60.0

    fault: Literal["failover-cluster"] = "failover-cluster"
    target: str | None = Field(
        None, description="Instance to promote. Absent: the service chooses by promotion tier."
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the reader to promote; `any reader` where the service chooses."""
        if not topology.readers:
            raise GuardRefused(
                f"cluster {topology.cluster} has no reader to fail over to; add one before this run"
            )
        if self.target is None:
            return ("any reader",)
        member = topology.member(self.target)
        if member is None or member not in topology.readers:
            allowed = ", ".join(reader.id for reader in topology.readers)
            raise GuardRefused(
                f"failover-cluster: {self.target} is no reader of {topology.cluster}; "
                f"its readers are {allowed}"
            )
        return (member.id,)

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one failover."""
        return (Call("FailoverDBCluster"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the failover once."""
        context.rds.failover(self.target)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the new writer once the API names another one and it says so itself."""
        old, new = before.topology.writer, context.rds.topology().writer
        if new is None or (old is not None and new.id == old.id):
            return None
        return new.id if context.database.identify(new.id).role is Role.WRITER else None
