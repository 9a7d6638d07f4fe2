"""The steps of a method as its definition spells them, counted: what a run must have injected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def declared_injections(steps: Iterable[Mapping[str, Any]]) -> int:
    """Return how many injections a method asks for, with every repeat of every part of it."""
    return sum(_of(step) for step in steps)


def _of(step: Mapping[str, Any]) -> int:
    once = 1 if "fault" in step else 0
    once += declared_injections(step.get("steps") or ()) * int(step.get("times") or 1)
    if step.get("outer"):
        once += _of(step["outer"])
    return once * int(step.get("repeat") or 1)
