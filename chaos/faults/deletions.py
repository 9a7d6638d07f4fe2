"""Deleting instances with `DeleteDBInstance`; recovery creates each again as it was."""

from __future__ import annotations

from typing import ClassVar

from chaos.faults.base import Before, Context, Fault, effect_within
from chaos.safety.calls import Call
from chaos.safety.undo import CreateInstance, Undo


class Deletes(Fault):
    """Deletes its targets; the effect is a cluster that lists none of them.

    Recovery calls `CreateDBInstance` with the identifier, class, zone, promotion tier, parameter group
    and tags that each had.
    """

    expected_s: ClassVar[float] = 900.0

    effect_timeout_s: float = effect_within(1800.0)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Create each again."""
        members = (before.topology.member(target) for target in before.targets)
        return tuple(
            CreateInstance(instance=member.id, settings=dict(member.settings))
            for member in members
            if member is not None
        )

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one deletion of each."""
        return (Call("DeleteDBInstance", len(before.targets)),)

    def inject(self, context: Context, before: Before) -> None:
        """Request one deletion of each."""
        for instance in before.targets:
            context.rds.delete_instance(instance)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the targets once the cluster lists none of them."""
        now = context.rds.topology()
        gone = all(now.member(instance) is None for instance in before.targets)
        return before.target if gone else None
