"""A cluster's members as the rules of capacity and pausing see them; the caller holds its lock."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from chaos.testcluster.aurora.core import AVAILABLE, Core, Member
from chaos.testcluster.serverless.capacity import Place
from chaos.testcluster.serverless.pausing import Resting
from chaos.testcluster.serverless.settings import SERVERLESS_CLASS, class_acu


def is_serverless(core: Core, member: Member) -> bool:
    """Tell whether an instance has a Serverless v2 capacity."""
    return core.bounds is not None and member.spec.instance_class == SERVERLESS_CLASS


def place(core: Core, member: Member) -> Place:
    """Return an instance's place."""
    serverless = is_serverless(core, member)
    own = member.capacity_acu if serverless else class_acu(member.spec.instance_class)
    return Place(
        id=member.id,
        is_writer=core.writer == member.id,
        promotion_tier=member.spec.promotion_tier,
        capacity_acu=own or 0.0,
        serverless=serverless,
    )


def resting(
    core: Core, idle_s: Mapping[str, float], moving: Collection[str]
) -> tuple[Resting, ...]:
    """Return all instances; those in `moving` count as busy."""
    return tuple(
        Resting(
            place=place(core, member),
            idle_s=idle_s.get(member.id, 0.0),
            paused=member.paused,
            available=member.status == AVAILABLE
            and member.node.pid is not None
            and member.id not in moving,
        )
        for member in core.members.values()
    )
