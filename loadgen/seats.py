"""Where the connections of an arm lead to: asked of the server once, recorded when it ends.

Every driver reports through `Seats`: a connection that is ready, one that was given up, one that
never came. A connection whose end its client has not noticed has no end in the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from chaos.clock import Clock
from chaos.model.operation import ConnectionEvent, OperationWriter, Role
from loadgen.drivers.base import Seat
from loadgen.outcome import name_of_error
from loadgen.tables import IDENTITY, IDENTITY_BY_ADDRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a new connection told of where it leads to."""

    instance: str
    """Its identifier; its address where the server knows none."""
    backend_pid: int
    role: Role
    address: str
    """The one connected to, empty on a local socket."""

    @classmethod
    def of(cls, row: Sequence[Any], address: str) -> Identity:
        """Read the server's answer to `IDENTITY` or `IDENTITY_BY_ADDRESS`."""
        instance, backend_pid, reader = row
        return cls(
            instance=str(instance or "local socket"),
            backend_pid=int(backend_pid),
            role=Role.READER if reader else Role.WRITER,
            address=address,
        )


class Seats:
    """Writes the connection log of one arm."""

    def __init__(self, operations: OperationWriter, clock: Clock) -> None:
        """Take the arm's records and the clock that its operations are timed by."""
        self._operations = operations
        self.now = clock.now_ns

    def opened(self, began_ns: int, endpoint: str, identity: Identity) -> Seat:
        """Record that a connection is ready for use, and return its seat."""
        at_ns = self.now()
        self._operations.connection(
            event=ConnectionEvent.OPENED,
            began_ns=began_ns,
            at_ns=at_ns,
            endpoint=endpoint,
            instance=identity.instance,
            address=identity.address,
            backend_pid=identity.backend_pid,
            role=identity.role,
        )
        return Seat(identity.instance, identity.backend_pid, identity.role, at_ns)

    def closed(self, endpoint: str, seat: Seat) -> None:
        """Record that the client has given a connection up."""
        self._operations.connection(
            event=ConnectionEvent.CLOSED,
            began_ns=seat.opened_ns,
            at_ns=self.now(),
            endpoint=endpoint,
            instance=seat.instance,
            backend_pid=seat.backend_pid,
            role=seat.role,
        )

    def failed(self, began_ns: int, endpoint: str, error: BaseException) -> None:
        """Record that no connection came of trying to open one."""
        self._operations.connection(
            event=ConnectionEvent.FAILED,
            began_ns=began_ns,
            at_ns=self.now(),
            endpoint=endpoint,
            address=name_of_error(
                getattr(error, "sqlstate", None), type(error).__name__, str(error)
            ),
        )


def identify(connection: psycopg.Connection[Any]) -> Identity:
    """Ask a new connection where it leads to, outside any transaction."""
    autocommit = connection.autocommit
    connection.autocommit = True
    try:
        row = connection.execute(IDENTITY).fetchone()
    except psycopg.errors.UndefinedFunction:
        row = connection.execute(IDENTITY_BY_ADDRESS).fetchone()
    connection.autocommit = autocommit
    assert row is not None
    return Identity.of(row, connection.info.hostaddr)
