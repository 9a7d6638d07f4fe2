"""psycopg connections that know where they sit and tell the records when they come and go."""

from __future__ import annotations

from typing import Any, Self

import psycopg

from loadgen.drivers.base import NOWHERE, Seat, Statement
from loadgen.drivers.statements import named
from loadgen.drivers.way import Way
from loadgen.seats import identify

IDLE = int(psycopg.pq.TransactionStatus.IDLE)
IN_TRANSACTION = frozenset(
    int(status)
    for status in (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR)
)


class SeatedConnection(psycopg.Connection[Any]):
    """A connection of one way; made by a subclass of `seated`."""

    way: Way
    seat: Seat = NOWHERE
    is_told = True
    """Whether the records know what there is to know: it never was opened, or is closed."""

    @classmethod
    def connect(cls, conninfo: str = "", **parameters: Any) -> Self:
        """Connect and ask where to; recorded as opened or failed."""
        seats, endpoint = cls.way.seats, cls.way.endpoint
        began_ns = seats.now()
        connection: Self | None = None
        try:
            connection = super().connect(conninfo, **parameters)
            identity = identify(connection)
        except BaseException as error:
            seats.failed(began_ns, endpoint, error)
            if connection is not None:  # Whoever asked for it does not know it.
                connection.close()
            raise
        connection.seat = seats.opened(began_ns, endpoint, identity)
        connection.is_told = False
        return connection

    def close(self) -> None:
        """Close it, or note that it had been lost."""
        super().close()
        if not self.is_told:
            self.is_told = True
            self.way.seats.closed(self.way.endpoint, self.seat)


def seated(way: Way) -> type[SeatedConnection]:
    """Return the connections of one way."""
    return type("SeatedConnection", (SeatedConnection,), {"way": way})


def end_transaction(connection: psycopg.Connection[Any]) -> None:
    """Roll back what is open; a connection that cannot, since it is lost or still busy, is closed.

    Raises:
        psycopg.Error: it was lost while rolling back.
    """
    status = connection.pgconn.transaction_status
    if status == IDLE:
        return
    if status not in IN_TRANSACTION:
        connection.close()
        return
    try:
        connection.rollback()
    except BaseException:
        connection.close()
        raise


class Statements(dict[Statement, bytes]):
    """Statements as psycopg takes them, compiled once."""

    def __missing__(self, statement: Statement) -> bytes:
        compiled = self[statement] = named(statement.sql)
        return compiled
