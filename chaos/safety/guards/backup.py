"""Nothing is disturbed while AWS makes the daily backup."""

from __future__ import annotations

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation
from chaos.safety.recurring import Recurring

_BACKING_UP = "backing-up"


def _refusal(situation: Situation) -> str | None:
    topology = situation.topology
    if _BACKING_UP in {topology.status, *(m.status for m in topology.members)}:
        return f"cluster {topology.cluster} is backing up; wait until it is available"
    if situation.kind == "test":  # It shows a window and makes no backup.
        return None
    window = Recurring.of_aws(topology.backup_window)
    if window is None or window.begins_in(situation.now):
        return None
    return (
        f"cluster {topology.cluster} is in its backup window, {topology.backup_window} (UTC); "
        "wait until it is over"
    )


BACKUP = Guard("backup", "the cluster is not in its backup window and not backing up", _refusal)
