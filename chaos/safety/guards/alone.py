"""No other run is on the cluster: one at a time, wherever they were started."""

from __future__ import annotations

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation
from chaos.safety.lease import LEASE_TAG


def _refusal(situation: Situation) -> str | None:
    lease = situation.lease
    if lease is None or not lease.is_valid(situation.now) or lease.run in situation.dead_runs:
        return None
    return (
        f"cluster {situation.topology.cluster} has a run on it: {lease}; wait for its end. "
        f"If it is gone, its lease (tag {LEASE_TAG}) expires then by itself"
    )


ALONE = Guard("alone", "no other run holds the cluster's lease", _refusal)
