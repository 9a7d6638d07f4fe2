"""Selectors of one instance, resolved in a topology just before injection."""

from __future__ import annotations

import re

from chaos.errors import GuardRefused
from chaos.model.topology import Member, Topology

_TIER = re.compile(r"reader:tier=(\d{1,2})")


def select(selector: str, topology: Topology) -> Member:
    """Return the member that `writer`, `any reader`, `reader:tier=N` or an identifier means.

    Among several readers the first by identifier is taken, so that a run can be repeated.

    Raises:
        GuardRefused: none matches; says which instances there are.
    """
    if selector == "writer":
        found = [topology.writer] if topology.writer else []
    elif selector == "any reader":
        found = sorted(topology.readers, key=lambda member: member.id)
    elif tier := _TIER.fullmatch(selector):
        found = [m for m in topology.readers if m.promotion_tier == int(tier[1])]
    else:
        found = [m for m in topology.members if m.id == selector]
    if not found:
        members = ", ".join(f"{m.id} ({m.role}, tier {m.promotion_tier})" for m in topology.members)
        raise GuardRefused(
            f"no instance of {topology.cluster} matches target {selector!r}; it has {members}"
        )
    return found[0]
