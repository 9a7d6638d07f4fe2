"""Add a reader with `CreateDBInstance`; recovery deletes it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context, Fault, effect_within
from chaos.faults.targets import TIER_MAX
from chaos.model.topology import Role, Topology
from chaos.safety.calls import Call
from chaos.safety.undo import DeleteInstance, Undo

_READERS_MAX = 15  # of an Aurora cluster
_NAME_MAX = 50  # of the cluster's identifier in the reader's, which may have 63 characters


class AddReader(Fault):
    """Call `CreateDBInstance` in the cluster; the effect is one more reader, by API and SQL.

    It is named `CLUSTER-gameday-N` and has the writer's settings where none are given.
    """

    undoes: ClassVar[str] = "deletes the reader that it added"
    expected_s: ClassVar[float] = 900.0

    fault: Literal["add-reader"] = "add-reader"
    instance_class: str | None = Field(
        None, pattern=r"^db\.[a-z0-9.-]+$", description="Its class. Absent: the writer's."
    )
    availability_zone: str | None = Field(
        None, description="Its Availability Zone. Absent: the writer's."
    )
    promotion_tier: int | None = Field(
        None, ge=0, le=TIER_MAX, description="Its promotion tier. Absent: the writer's."
    )
    effect_timeout_s: float = effect_within(1800.0)
    recovery_timeout_s: float = Field(
        1800.0, gt=0, le=7200, description="Seconds within which it must be gone again."
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the reader that there will be; refuse a full cluster."""
        if not topology.is_cluster:
            raise GuardRefused(f"add-reader: {topology.cluster} is an instance in no cluster")
        if topology.writer is None or len(topology.readers) >= _READERS_MAX:
            raise GuardRefused(
                f"add-reader: {topology.cluster} has {len(topology.readers)} readers and "
                f"{'a' if topology.writer else 'no'} writer; it needs a writer and room for one more "
                f"of {_READERS_MAX} readers"
            )
        stem = topology.cluster[:_NAME_MAX].rstrip("-")
        names = (f"{stem}-gameday-{number}" for number in range(1, _READERS_MAX + 2))
        return (next(name for name in names if topology.member(name) is None),)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Delete it."""
        return (DeleteInstance(instance=before.target),)

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one creation."""
        return (Call("CreateDBInstance"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the creation once."""
        writer = before.topology.writer
        assert writer is not None, "resolve"
        asked: dict[str, Any] = {
            "DBInstanceClass": self.instance_class,
            "AvailabilityZone": self.availability_zone,
            "PromotionTier": self.promotion_tier,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        context.rds.create_instance(before.target, {**writer.settings, **given})

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return it once it is available, and a reader by its own word."""
        member = context.rds.topology().member(before.target)
        if member is None or member.status != "available" or not member.endpoint:
            return None
        role = context.database.identify(member.endpoint).role
        return member.id if role is Role.READER else None
