"""How to reach a cluster's data plane: what traffic, probes and the database layer connect with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.names import NameServer

BOUNDED: Mapping[str, Any] = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 5,
    "tcp_user_timeout": 5000,
}
"""libpq parameters with which a host that vanishes is noticed within about 7 s, whenever it does.

For connections of the harness itself; what traffic connects with is the arm's to say.
"""


OF_CLUSTER = frozenset({"cluster", "reader"})
"""Endpoints of the cluster as a whole; any other one is an instance's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAccess:
    """Endpoints by name, and credentials. Handed over on standard input, never written to disk.

    `endpoints` maps "cluster", "reader" and each instance identifier to its DNS name. `options` are
    further libpq parameters (`sslmode`, `sslrootcert`) that every connection needs.
    """

    endpoints: Mapping[str, str]
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    options: Mapping[str, str] = field(default_factory=dict)
    name_server: NameServer | None = None

    @property
    def instances(self) -> list[str]:
        """The endpoints that are instances."""
        return [name for name in self.endpoints if name not in OF_CLUSTER]

    def host(self, endpoint: str) -> str:
        """Return an endpoint's DNS name; what is none of ours is a DNS name itself."""
        return self.endpoints.get(endpoint, endpoint)

    def parameters(self, endpoint: str) -> dict[str, Any]:
        """Return libpq connection parameters for one endpoint, without any timeout."""
        return {
            "host": self.host(endpoint),
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.database,
            **self.options,
        }

    def as_json(self) -> dict[str, Any]:
        """Return it for another process of ours; it holds the password."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> DatabaseAccess:
        """Read what `as_json` gave."""
        server = fields.pop("name_server")
        return cls(**fields, name_server=NameServer(**server) if server else None)
