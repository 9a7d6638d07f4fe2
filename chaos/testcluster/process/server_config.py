"""What a test cluster's server process is told on its standard input.

Apart from the server, so that whoever starts one need not import what it runs on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaos.testcluster.process.registry import Slot
from chaos.testcluster.records import ClusterSpec, EndpointSpec, ServerlessBounds

DETACH = {"command": "detach"}
"""The line after which a standing cluster's server no longer ends with its input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What a server is told on standard input; with a `slot` the cluster stands by itself."""

    spec: ClusterSpec
    slot: Slot | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as the line that is sent."""
        return {"spec": asdict(self.spec), "slot": str(self.slot.path) if self.slot else None}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ServerConfig:
        """Read what `as_json` gave."""
        spec = dict(fields["spec"])
        if spec["serverless"] is not None:
            spec["serverless"] = ServerlessBounds(**spec["serverless"])
        slot = Slot(Path(fields["slot"])) if fields["slot"] else None
        spec["reader_tiers"] = tuple(spec["reader_tiers"])
        spec["custom_endpoints"] = tuple(
            EndpointSpec(
                id=endpoint["id"],
                kind=endpoint["kind"],
                static=tuple(endpoint["static"]),
                excluded=tuple(endpoint["excluded"]),
            )
            for endpoint in spec["custom_endpoints"]
        )
        return cls(spec=ClusterSpec(**spec), slot=slot)
