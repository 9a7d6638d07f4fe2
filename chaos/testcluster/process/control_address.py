"""Asking a running test cluster's control address, from another process.

`ControlAddress` is the same for whoever wrote down what it is about to begin under a name of its own: it
can take that back by the name, whether or not it ever learnt that it was begun.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from chaos.errors import HostError
from chaos.testcluster.process.state import ClusterState

ANSWER_TIMEOUT_S = 5.0
BEGIN_TIMEOUT_S = 60.0


def ask(
    state: ClusterState,
    method: str,
    command: str,
    fields: Mapping[str, Any] | None = None,
    *,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Send a request to the control address and return its answer.

    Raises:
        HostError: it does not answer, or not with success; with what it says.
    """
    status, answer = _asked(state, method, command, fields, timeout_s or ANSWER_TIMEOUT_S)
    if status >= http.client.BAD_REQUEST:
        raise HostError(f"test cluster {state.id} refused {command}: {answer.get('error')}")
    return answer


def _asked(
    state: ClusterState,
    method: str,
    command: str,
    fields: Mapping[str, Any] | None,
    timeout_s: float,
) -> tuple[int, dict[str, Any]]:
    """Send a request and return the HTTP status and the answer.

    Raises:
        HostError: it does not answer.
    """
    connection = http.client.HTTPConnection(*state.control, timeout=timeout_s)
    try:
        connection.request(
            method,
            f"/control/{command}",
            body=json.dumps(fields or {}) if method == "POST" else None,
            headers={"Content-Type": "application/json"},
        )
        reply = connection.getresponse()
        answer: dict[str, Any] = json.loads(reply.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HostError(f"test cluster {state.id} does not answer: {error}") from error
    finally:
        connection.close()
    return reply.status, answer


def begin(state: ClusterState, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a disturbance, given by its kind and parameters; return it with its `id`.

    Raises:
        HostError: it is refused.
    """
    return ask(state, "POST", "disturbances", fields, timeout_s=BEGIN_TIMEOUT_S)


def end(state: ClusterState, known_as: str) -> bool:
    """Take a disturbance back, by its id or its name; False where none of these is in force.

    Raises:
        HostError: the cluster does not answer, or the disturbance cannot be taken back.
    """
    command = f"disturbances/{quote(known_as, safe='')}"
    status, answer = _asked(state, "DELETE", command, None, BEGIN_TIMEOUT_S)
    if status == http.client.NOT_FOUND and answer.get("state") == "absent":
        return False
    if status >= http.client.BAD_REQUEST:
        raise HostError(f"test cluster {state.id} cannot end {known_as}: {answer.get('error')}")
    return True


def active(state: ClusterState) -> list[dict[str, Any]]:
    """Return the disturbances in force.

    Raises:
        HostError: the cluster does not answer.
    """
    found: list[dict[str, Any]] = ask(state, "GET", "disturbances")["disturbances"]
    return found


class ControlAddress:
    """One test cluster's control address; every method raises `HostError` with what it answers."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def begin(self, name: str, fields: Mapping[str, Any]) -> None:
        """Begin a disturbance, given by its `kind` and parameters, under a name of the caller's.

        One of that name that is in force already stays, and this one is refused.
        """
        begin(self._state, {**fields, "name": name})

    def end(self, name: str) -> bool:
        """Take it back; False where none of that name is in force (any more)."""
        return end(self._state, name)

    def in_force(self, name: str) -> bool:
        """Tell whether it is in force; one that is over at once, such as a crash, never is."""
        return any(one.get("name") == name for one in active(self._state))

    def status(self) -> Mapping[str, Any]:
        """Return what `gameday cluster status --json` shows."""
        return ask(self._state, "GET", "status")
