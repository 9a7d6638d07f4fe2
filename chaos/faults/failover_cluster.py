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
        return reader_to_promote(self.fault, self.target, topology)

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one failover."""
        return (Call("FailoverDBCluster"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the failover once."""
        context.rds.failover(self.target)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the new writer once the API names another one and it says so itself."""
        return new_writer(context, before)


def reader_to_promote(fault: str, target: str | None, topology: Topology) -> tuple[str, ...]:
    """Name the reader that a failover is asked to promote; `any reader` where the service chooses.

    Raises:
        GuardRefused: there is no reader, or the target is none.
    """
    if not topology.is_cluster:
        raise GuardRefused(
            f"{fault}: {topology.cluster} is an instance in no cluster; "
            "reboot-with-failover is for its standby"
        )
    if not topology.readers:
        raise GuardRefused(
            f"cluster {topology.cluster} has no reader to fail over to; add one before this run"
        )
    if target is None:
        return ("any reader",)
    member = topology.member(target)
    if member is None or member not in topology.readers:
        allowed = ", ".join(reader.id for reader in topology.readers)
        raise GuardRefused(
            f"{fault}: {target} is no reader of {topology.cluster}; its readers are {allowed}"
        )
    return (member.id,)


def new_writer(context: Context, before: Before) -> str | None:
    """Return another writer than before once the API names it and it says so itself, else None.

    Where no writer was known before, none can be told to be another.
    """
    old, new = before.topology.writer, context.rds.topology().writer
    if old is None or new is None or new.id == old.id:
        return None
    return new.id if context.database.identify(new.id).role is Role.WRITER else None
