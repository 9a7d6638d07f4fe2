"""Selectors of instances, resolved in a topology just before injection.

A selector that could mean two different things is refused: nothing is disturbed by a guess.
"""

from __future__ import annotations

import re

from chaos.errors import GuardRefused
from chaos.model.topology import Member, Topology

ONE = "`writer`, `any reader`, `reader:tier=N` or an instance identifier."
SEVERAL = "`writer`, `any reader`, `reader:tier=N`, `all readers`, `all` or an instance identifier."
TIER_MAX = 15
_TIER = re.compile(r"reader:tier=(\d+)")


def select(selector: str, topology: Topology) -> Member:
    """Return the member that `writer`, `any reader`, `reader:tier=N` or an identifier means.

    Among several readers the first by identifier is taken, so that a run can be repeated.

    Raises:
        GuardRefused: none matches, or it could mean two; says which instances there are.
    """
    readers = sorted(topology.readers, key=lambda member: member.id)
    named = topology.member(selector.lower())
    if selector == "writer":
        found = [topology.writer] if topology.writer else []
        _require_unambiguous(selector, named, found, topology)
    elif selector == "any reader":
        found = readers
    elif tier := _TIER.fullmatch(selector):
        if int(tier[1]) > TIER_MAX:
            raise GuardRefused(
                f"target {selector!r}: promotion tiers are 0 to {TIER_MAX}; "
                f"{topology.cluster} has {_told(topology)}"
            )
        found = [reader for reader in readers if reader.promotion_tier == int(tier[1])]
    else:
        found = [named] if named else []
    if not found:
        raise GuardRefused(
            f"no instance of {topology.cluster} matches target {selector!r}; "
            f"it has {_told(topology)}"
        )
    return found[0]


def select_several(selector: str, topology: Topology) -> tuple[Member, ...]:
    """Return the members that `all readers`, `all`, or a selector of one means, by identifier.

    Raises:
        GuardRefused: none matches, or it could mean two; says which instances there are.
    """
    if selector not in {"all", "all readers"}:
        return (select(selector, topology),)
    found = topology.members if selector == "all" else topology.readers
    if not found:
        raise GuardRefused(
            f"no instance of {topology.cluster} matches target {selector!r}; "
            f"it has {_told(topology)}"
        )
    _require_unambiguous(selector, topology.member(selector), list(found), topology)
    return tuple(sorted(found, key=lambda member: member.id))


def _require_unambiguous(
    selector: str, named: Member | None, found: list[Member], topology: Topology
) -> None:
    """Refuse a word that is an instance's identifier, too, unless it means that one either way."""
    if named is not None and found != [named]:
        meant = ", ".join(member.id for member in found) or "the writer, which there is none of"
        raise GuardRefused(
            f"target {selector!r} of {topology.cluster} means {meant} and also the instance "
            f"{named.id}; name the instances by other words, such as an identifier"
        )


def _told(topology: Topology) -> str:
    members = (f"{m.id} ({m.role}, tier {m.promotion_tier})" for m in topology.members)
    return ", ".join(members) or "none"
