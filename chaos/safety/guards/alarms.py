"""The CloudWatch alarms that somebody relies on are OK before anything is disturbed."""

from __future__ import annotations

from chaos.safety.calls import Call
from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    sources = (situation.limits.alarms, situation.safety.alarms)
    names = sorted({name for source in sources for name in source.names})
    prefixes = sorted({prefix for source in sources for prefix in source.prefixes})
    if not names and not prefixes:
        return None
    found = {alarm.name: alarm for alarm in situation.account.alarms(names, prefixes)}
    reasons = [f"{name} is missing" for name in names if name not in found]
    reasons += [
        f"none begins with {prefix}"
        for prefix in prefixes
        if not any(name.startswith(prefix) for name in found)
    ]
    reasons += [f"{a.name} is {a.state}" for a in found.values() if a.state != "OK"]
    if not reasons:
        return None
    return f"not every alarm is OK: {', '.join(reasons)}; wait until they are, or name others"


ALARMS = Guard(
    "alarms",
    "every CloudWatch alarm that experiment and safety file name is OK",
    _refusal,
    (Call("DescribeAlarms", service="cloudwatch"),),
)
