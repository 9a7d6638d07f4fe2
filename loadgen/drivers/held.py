"""A psycopg connection that each user holds, as scripts and simple services do.

It is opened when first needed and again when it has broken; nothing else is done about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from loadgen.drivers.base import NOWHERE, Rows, Seat, Statement, Trouble
from loadgen.drivers.psycopg_errors import trouble_of
from loadgen.drivers.seated import (
    IDLE,
    SeatedConnection,
    Statements,
    end_transaction,
    seated,
)
from loadgen.drivers.way import Way


class HeldDriver:
    """Owns the connections that its users hold."""

    errors: tuple[type[BaseException], ...] = (psycopg.Error,)

    def __init__(self, way: Way) -> None:
        """Prepare a way; nothing is opened."""
        self._connections = seated(way)
        self._parameters = way.parameters()
        self._statements = Statements()
        self._holders: list[Holder] = []

    def for_user(self) -> Holder:
        """Return one more user's own."""
        holder = Holder(self._open, self._statements)
        self._holders.append(holder)
        return holder

    def session(self) -> Holder:
        """Return a connection that belongs to no user; closed when it is given back."""
        return _Once(self._open, self._statements).session()

    def trouble(self, error: BaseException) -> Trouble:
        """Say what an error of psycopg means."""
        return trouble_of(error)

    def close(self) -> None:
        """Close what users have held; each opens another one if it goes on."""
        holders, self._holders = self._holders, []
        for holder in holders:
            holder.drop()

    def _open(self) -> SeatedConnection:
        return self._connections.connect(**self._parameters)


class Holder:
    """One user's connection: both its driver and its only session."""

    errors: tuple[type[BaseException], ...] = (psycopg.Error,)

    def __init__(self, connect: Callable[[], SeatedConnection], statements: Statements) -> None:
        self._connect = connect
        self._statements = statements
        self._connection: SeatedConnection | None = None
        self._pgconn: Any = None
        self.seat: Seat = NOWHERE

    def session(self) -> Holder:
        """Return it, connected."""
        if self._connection is None:
            self._connection = connection = self._connect()
            self._pgconn = connection.pgconn
            self.seat = connection.seat
        return self

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        """Run a statement."""
        assert self._connection is not None, "a session is used after session() alone"
        cursor = self._connection.execute(self._statements[statement], parameters)
        return cursor.fetchall() if statement.rows else ()

    def commit(self) -> None:
        """Commit."""
        assert self._connection is not None, "a session is used after session() alone"
        self._connection.commit()

    def close(self) -> None:
        """Roll back unless committed; a connection that broke is let go."""
        if self._pgconn.transaction_status == IDLE:
            return
        assert self._connection is not None, "a session is used after session() alone"
        connection = self._connection
        try:
            end_transaction(connection)
        finally:
            if connection.closed:
                self._connection = None

    def trouble(self, error: BaseException) -> Trouble:
        """Say what an error of psycopg means."""
        return trouble_of(error)

    def drop(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Once(Holder):
    def close(self) -> None:
        self.drop()
