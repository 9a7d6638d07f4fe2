"""Asking a running test cluster's control address, from another process."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

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
    connection = http.client.HTTPConnection(*state.control, timeout=timeout_s or ANSWER_TIMEOUT_S)
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
    if reply.status >= http.client.BAD_REQUEST:
        raise HostError(f"test cluster {state.id} refused {command}: {answer.get('error')}")
    return answer


def begin(state: ClusterState, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a disturbance, given by its kind and parameters; return it with its `id`.

    Raises:
        HostError: it is refused.
    """
    return ask(state, "POST", "disturbances", fields, timeout_s=BEGIN_TIMEOUT_S)


def end(state: ClusterState, identifier: str) -> None:
    """Take a disturbance back.

    Raises:
        HostError: none of that id is in force.
    """
    ask(state, "DELETE", f"disturbances/{identifier}", timeout_s=BEGIN_TIMEOUT_S)


def active(state: ClusterState) -> list[dict[str, Any]]:
    """Return the disturbances in force.

    Raises:
        HostError: the cluster does not answer.
    """
    found: list[dict[str, Any]] = ask(state, "GET", "disturbances")["disturbances"]
    return found
