"""What one test cluster's server tells about itself, and the file in which others find it.

The file holds the password, so only its owner may read it; it appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chaos.errors import HostError
from chaos.model.access import DatabaseAccess
from chaos.names import NameServer


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """One test cluster as its server left it on record, and as it answered when this was read.

    `status` is what the control address said, empty where it said nothing. `alive` tells whether the
    server's process still runs.
    """

    id: str
    region: str
    api_url: str
    control: tuple[str, int]
    name_server: NameServer
    access: DatabaseAccess
    pid: int
    pid_created_at: float
    """The process's creation time, by which its id can be told from a later process's."""
    directory: str
    status: Mapping[str, Any] = field(default_factory=dict)
    alive: bool = True

    @property
    def control_url(self) -> str:
        """Where `/control/...` is."""
        return f"{self.api_url}/control"

    def status_json(self) -> dict[str, Any]:
        """Return what `gameday cluster status --json` prints; no password."""
        if self.alive and self.status:
            return dict(self.status)
        return {
            "cluster": self.id,
            "state": "not answering" if self.alive else "dead",
            "advice": f"gameday cluster down {self.id}",
            "region": self.region,
            "api_url": self.api_url,
            "control_url": self.control_url,
            "pid": self.pid,
            "directory": self.directory,
        }

    def answered(self, status: Mapping[str, Any]) -> ClusterState:
        """Return it with a fresh answer of the control address, whose endpoints are the present."""
        return replace(
            self, status=status, access=replace(self.access, endpoints=status["endpoints"])
        )

    def as_json(self) -> dict[str, Any]:
        """Return what the state file holds, password and all."""
        return {
            "id": self.id,
            "region": self.region,
            "api_url": self.api_url,
            "control": list(self.control),
            "access": self.access.as_json(),
            "pid": self.pid,
            "pid_created_at": self.pid_created_at,
            "directory": self.directory,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ClusterState:
        """Read what `as_json` gave.

        Raises:
            KeyError, TypeError: it was not made by this version.
        """
        access = DatabaseAccess.from_json(dict(fields["access"]))
        if access.name_server is None:
            raise KeyError("name_server")
        host, port = fields["control"]
        return cls(
            id=fields["id"],
            region=fields["region"],
            api_url=fields["api_url"],
            control=(host, port),
            name_server=access.name_server,
            access=access,
            pid=fields["pid"],
            pid_created_at=fields["pid_created_at"],
            directory=fields["directory"],
        )


def write_state(state: ClusterState, path: Path) -> None:
    """Write the file at once and for its owner alone."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(state.as_json(), file, indent=2)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_state(path: Path) -> ClusterState | None:
    """Read the file; None where there is none.

    Raises:
        HostError: it cannot be read or is not of this version.
    """
    try:
        return ClusterState.from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise HostError(
            f"{path} cannot be read ({type(error).__name__}: {error}); remove it, and end by hand "
            "what it named"
        ) from error
