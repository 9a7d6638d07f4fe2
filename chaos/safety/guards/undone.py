"""What an earlier run left changed is put back first, or its first shape would be taken for ours."""

from __future__ import annotations

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    dead = situation.dead_runs
    if not dead:
        return None
    told = ", ".join(f"{run} ({why})" if why else run for run, why in dead.items())
    return (
        f"cluster {situation.topology.cluster} was left changed by a run that died: {told}; "
        f"put it back first: {'; '.join(f'gameday recover {run}' for run in dead)}"
    )


UNDONE = Guard("undone", "no run that died here has left anything of the cluster changed", _refusal)
