"""Nothing is disturbed while AWS is about to maintain the cluster."""

from __future__ import annotations

from datetime import timedelta

from chaos.safety.calls import Call
from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation
from chaos.safety.recurring import Recurring


def _refusal(situation: Situation) -> str | None:
    topology = situation.topology
    actions = situation.account.maintenance(topology)
    if not actions:
        return None
    margin = timedelta(seconds=situation.safety.maintenance_margin_s)
    reasons = [
        f"it is due at {action.due_at:%Y-%m-%d %H:%M} UTC"
        for action in actions
        if action.due_at and action.due_at <= situation.now + margin
    ]
    windows = {topology.maintenance_window, *(m.maintenance_window for m in topology.members)}
    for window in sorted(windows):
        recurring = Recurring.of_aws(window)
        if recurring and recurring.begins_in(situation.now) <= margin:
            reasons.append(f"the maintenance window {window} (UTC) has come or comes soon")
    if not reasons:
        return None
    pending = ", ".join(f"{a.action} of {a.resource_arn.rpartition(':')[2]}" for a in actions)
    return (
        f"maintenance is pending ({pending}) and {', '.join(reasons)}; wait until it is over, "
        "or see `aws rds apply-pending-maintenance-action`"
    )


MAINTENANCE = Guard(
    "maintenance",
    "no pending maintenance is due, or has its window now or soon",
    _refusal,
    (Call("DescribePendingMaintenanceActions"),),
)
