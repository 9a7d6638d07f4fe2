"""Under which settings it ran: the arms side by side, and the environment as names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.read import Report
from reports.words import MISSING

_TOLD_ELSEWHERE = frozenset({"experiment", "anchor", "arms"})
_DESCRIPTION, _SETTINGS = "description", "settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting and its value in each arm; `MISSING` where the arm leaves it at its default."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the arms disagree about it."""
        return len(set(self.values)) > 1


def arms(report: Report) -> Sequence[tuple[str, str]]:
    """Return the arms under test with their descriptions."""
    told = report.history.environment.get("arms") or {}
    names = dict.fromkeys((*report.arms, *told))
    return [(arm, str((told.get(arm) or {}).get(_DESCRIPTION, ""))) for arm in names]


def of_arms(report: Report) -> Sequence[Setting]:
    """Return every setting of the arms, those first in which they differ."""
    told = report.history.environment.get("arms") or {}
    flat = [dict(_flat(told.get(arm) or {})) for arm, _ in arms(report)]
    names = dict.fromkeys(name for values in flat for name in values)
    found = [
        Setting(
            name=name.removeprefix(f"{_SETTINGS}."),
            values=tuple(values.get(name, MISSING) for values in flat),
        )
        for name in names
        if name != _DESCRIPTION
    ]
    return sorted(found, key=lambda setting: not setting.differs)


def environment(report: Report) -> Iterator[tuple[str, str]]:
    """Yield where and with what it ran, as names and values."""
    for name, value in report.history.environment.items():
        if name in _TOLD_ELSEWHERE:
            continue
        spelled = name.replace("_", " ")
        if isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values()):
            for key, inner in value.items():
                yield f"{spelled} {key}", _spelled(inner)
        else:
            yield spelled, _spelled(value)


def _flat(told: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in told.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _spelled(value)


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_spelled(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_spelled(part) for part in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
