"""FIS, as far as its safety lever: one in every Region, disengaged until somebody engages it.

Engaged, it tells everybody in an account to inject nothing. There are no FIS experiments here that it
would stop, so it is engaged at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from chaos.testcluster.api.selection import Parameters
from chaos.testcluster.records import ACCOUNT, ApiError

LEVER = "default"
DISENGAGED = "disengaged"


class SafetyLever:
    """The lever of one Region."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._state = {"status": DISENGAGED, "reason": "Initial state"}

    def update(self, state: Mapping[str, str]) -> None:
        """Set status and reason."""
        self._state = dict(state)

    def shown(self) -> dict[str, Any]:
        """Return the `SafetyLever` of the API."""
        return {
            "id": LEVER,
            "arn": f"arn:aws:fis:{self._region}:{ACCOUNT}:safety-lever/{LEVER}",
            "state": self._state,
        }


class SafetyLevers:
    """The levers of all Regions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._levers: dict[str, SafetyLever] = {}

    def of(self, region: str) -> SafetyLever:
        """Return a Region's."""
        with self._lock:
            return self._levers.setdefault(region, SafetyLever(region))


def get_safety_lever(lever: SafetyLever, parameters: Parameters) -> Mapping[str, Any]:
    """GetSafetyLever."""
    _require(parameters["id"])
    return {"safetyLever": lever.shown()}


def update_safety_lever_state(lever: SafetyLever, parameters: Parameters) -> Mapping[str, Any]:
    """UpdateSafetyLeverState."""
    _require(parameters["id"])
    lever.update(parameters["state"])
    return {"safetyLever": lever.shown()}


LEVER_OPERATIONS: Mapping[str, Callable[[SafetyLever, Parameters], Mapping[str, Any]]] = {
    "GetSafetyLever": get_safety_lever,
    "UpdateSafetyLeverState": update_safety_lever_state,
}


def _require(name: str) -> None:
    if name != LEVER:
        raise ApiError(
            "ResourceNotFoundException", f"Safety lever {name} not found; there is only {LEVER}."
        )
