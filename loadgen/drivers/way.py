"""What a driver is made of: one arm's way through one endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaos.model.access import DatabaseAccess
from loadgen.arm import Arm, Hosts
from loadgen.seats import Seats
from loadgen.tables import session_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where to, as whom, how, and who is told of its connections."""

    arm: Arm
    access: DatabaseAccess
    endpoint: str
    """`cluster`, `reader`, or an instance."""
    run: str
    seats: Seats

    @property
    def host(self) -> str:
        """The DNS name that its connections are opened by; several, with commas between them."""
        endpoints = self.access.endpoints
        if self.arm.hosts is Hosts.INSTANCES:
            instances = sorted(self.access.instances)
            if instances:
                return ",".join(endpoints[instance] for instance in instances)
        return self.access.host(self.endpoint)

    @property
    def session_name(self) -> str:
        """The `application_name` of its sessions; the ledger waits for their end."""
        return session_name(self.run, self.arm.name)

    def parameters(self) -> dict[str, Any]:
        """Return libpq's parameters of its connections, which mark their sessions with the run."""
        parameters = {
            **self.access.parameters(self.endpoint),
            "host": self.host,
            **self.arm.connection_through(self.endpoint),
            "application_name": self.session_name,
        }
        settings = [f"-c {name}={value}" for name, value in self.arm.session.items()]
        if settings:
            # At start-up rather than by SET: no round trip, nothing a proxy would pin a session for.
            given = self.access.options.get("options", "")
            parameters["options"] = " ".join([given, *settings]).strip()
        return parameters
