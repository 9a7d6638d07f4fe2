"""Enough readers stay while faults remove some."""

from __future__ import annotations

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    topology = situation.topology
    removed = frozenset[str]().union(*(aim.removed for aim in situation.aims))
    if situation.limits.readers_min is not None:
        needed = situation.limits.readers_min
    else:
        needed = 1 if removed else 0
    # The writer is no reader, and where it is removed a reader becomes the writer.
    left = max(0, len([m for m in topology.members if m.id not in removed]) - 1)
    if left >= needed:
        return None
    without = f" without {', '.join(sorted(removed))}" if removed else ""
    return (
        f"cluster {topology.cluster} has {left} readers{without}, and {needed} must stay; "
        "add readers, or set `guards: {readers_min: N}` in the experiment"
    )


READERS = Guard("readers", "enough readers stay while faults remove some", _refusal)
