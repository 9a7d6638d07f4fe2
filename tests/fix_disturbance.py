"""A client of the control address: disturbances begun, watched and ended over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chaos.testcluster.process.state import ClusterState


class ControlAddress:
    """Asks a running server's control address."""

    def __init__(self, state: ClusterState) -> None:
        self._where = state.control

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Return the status and the JSON of one answer; `path` is below `/control/`."""
        connection = http.client.HTTPConnection(*self._where, timeout=30)
        try:
            sent = None if body is None else json.dumps(body)
            headers = {"Content-Type": "application/json"}
            connection.request(method, f"/control/{path}", sent, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def begin(self, kind: str, **parameters: Any) -> str:
        """Begin a disturbance and return its id."""
        status, answer = self.ask("POST", "disturbances", {"kind": kind, **parameters})
        assert status == 202, answer
        return str(answer["id"])

    def refusal(self, kind: str, **parameters: Any) -> str:
        """The error with which a disturbance is refused."""
        status, answer = self.ask("POST", "disturbances", {"kind": kind, **parameters})
        assert status >= 400, answer
        return str(answer["error"])

    def end(self, identifier: str) -> None:
        """End one."""
        status, answer = self.ask("DELETE", f"disturbances/{identifier}")
        assert status == 200, answer

    def active(self) -> list[dict[str, Any]]:
        """Those in force."""
        found: list[dict[str, Any]] = self.ask("GET", "disturbances")[1]["disturbances"]
        return found

    @contextmanager
    def disturbed(self, kind: str, **parameters: Any) -> Iterator[str]:
        """Keep a disturbance in force for a block."""
        identifier = self.begin(kind, **parameters)
        try:
            yield identifier
        finally:
            self.end(identifier)
