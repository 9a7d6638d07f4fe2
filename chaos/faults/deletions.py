"""Deleting instances with `DeleteDBInstance`; recovery creates each again as it was.

The service takes a deleted instance out of the lists of custom endpoints, and does not put it back
with a new one of its name: those lists are restored after the instances.
"""

from __future__ import annotations

from typing import ClassVar

from chaos.faults.base import Before, Context, Fault, effect_within
from chaos.model.topology import CustomEndpoint, Topology
from chaos.safety.calls import Call
from chaos.safety.undo import CreateInstance, SetEndpointMembers, Undo


class Deletes(Fault):
    """Deletes its targets; the effect is a cluster that lists none of them.

    Recovery calls `CreateDBInstance` with the identifier, class, zone, promotion tier, parameter group
    and tags that each had, then `ModifyDBClusterEndpoint` for each custom endpoint that listed one.
    """

    expected_s: ClassVar[float] = 900.0

    effect_timeout_s: float = effect_within(1800.0)

    def see(
        self, context: Context, topology: Topology, targets: tuple[str, ...]
    ) -> tuple[CustomEndpoint, ...]:
        """Find the custom endpoints that list a target."""
        return tuple(
            endpoint
            for endpoint in context.rds.custom_endpoints()
            if set(targets) & {*endpoint.static, *endpoint.excluded}
        )

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Create each again, and then, since records are replayed backwards, list it again."""
        listed: tuple[CustomEndpoint, ...] = before.seen
        members = (before.topology.member(target) for target in before.targets)
        return (
            *(
                SetEndpointMembers(
                    endpoint=endpoint.id,
                    static=endpoint.static,
                    excluded=endpoint.excluded,
                    run_static=(),  # Other steps may have deleted others of them.
                    run_excluded=(),
                )
                for endpoint in listed
            ),
            *(
                CreateInstance(instance=member.id, settings=dict(member.settings))
                for member in members
                if member is not None
            ),
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
