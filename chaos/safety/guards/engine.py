"""Only PostgreSQL engines are known."""

from __future__ import annotations

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    topology = situation.topology
    if "postgres" in topology.engine:
        return None
    return (
        f"cluster {topology.cluster} runs {topology.engine}; only PostgreSQL engines are known, "
        "name a cluster that runs one"
    )


ENGINE = Guard("engine", "the cluster runs a PostgreSQL engine", _refusal)
