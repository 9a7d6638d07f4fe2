"""The names of a cluster's endpoints, asked for as a client would: at every use, nothing cached."""

from __future__ import annotations

from chaos import names
from chaos.clock import NS, Clock, MonotonicClock
from chaos.errors import DatabaseError
from chaos.model.access import DatabaseAccess
from chaos.model.answers import NameAnswer


class EndpointNames:
    """The port `chaos.safety.ports.Names` on one cluster."""

    def __init__(self, access: DatabaseAccess, clock: Clock | None = None) -> None:
        """Take the names, and the name server where the cluster has one of its own."""
        self._access = access
        self._clock = clock or MonotonicClock()

    def ask(self, endpoint: str) -> NameAnswer:
        """Query `cluster`, `reader`, an instance's identifier, or a whole DNS name.

        Raises:
            DatabaseError: it is none of them.
        """
        host = self._access.endpoints.get(endpoint, endpoint)
        if "." not in host:
            known = ", ".join(self._access.endpoints)
            raise DatabaseError(f"there is no endpoint {endpoint}; there are {known}")
        began_ns = self._clock.now_ns()
        answer = names.query(host, self._access.name_server)
        ended_ns = self._clock.now_ns()
        return NameAnswer(
            addresses=answer.addresses,
            ttl_s=answer.ttl_s,
            ttl_s_max=answer.ttl_s_max,
            error=answer.error,
            took_s=(ended_ns - began_ns) / NS,
            at_s=ended_ns / NS,
            by_tcp=answer.by_tcp,
        )
