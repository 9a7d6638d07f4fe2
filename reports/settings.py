"""Under which settings it ran: the arms side by side, and the environment as names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.read import Report
from reports.words import MISSING

_TOLD_ELSEWHERE = frozenset({"experiment", "anchor", "arms"})


def arms(report: Report) -> tuple[Sequence[str], Sequence[tuple[str, Sequence[str]]]]:
    """Return the arms and, setting by setting, the value of each arm."""
    told = report.history.environment.get("arms") or {}
    names = list(dict.fromkeys((*report.arms, *told)))
    flat = {arm: dict(_flat(told.get(arm) or {})) for arm in names}
    settings = list(dict.fromkeys(name for values in flat.values() for name in values))
    return names, [(s, [flat[arm].get(s, MISSING) for arm in names]) for s in settings]


def environment(report: Report) -> tuple[tuple[str, str], ...]:
    """Return where and with what it ran, as names and values."""
    told = report.history.environment
    return tuple(_flat({k: v for k, v in told.items() if k not in _TOLD_ELSEWHERE}))


def _flat(told: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in told.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}".replace("_", " "), _spelled(value)


def _spelled(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(str(part) for part in value)
    return str(value)
