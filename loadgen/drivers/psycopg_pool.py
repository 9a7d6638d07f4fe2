"""psycopg's own pool, `psycopg_pool.ConnectionPool`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from loadgen.drivers.base import Rows, Seat, Statement, Trouble
from loadgen.drivers.psycopg_errors import first_line, trouble_of
from loadgen.drivers.seated import SeatedConnection, Statements, end_transaction, seated
from loadgen.drivers.way import Way
from loadgen.outcome import POOL_TIMEOUT

_CLOSE_S_MAX = 1.0
"""How long closing waits for the pool's own workers."""


class PsycopgPoolDriver:
    """A pool for one endpoint; opened when first needed, and anew after it was closed."""

    errors: tuple[type[BaseException], ...] = (psycopg.Error,)

    def __init__(self, way: Way) -> None:
        """Prepare a pool; nothing is opened."""
        self._settings = dict(way.arm.pool)
        if self._settings.pop("check", False):
            self._settings["check"] = _check
        self._connections = seated(way)
        self._parameters = way.parameters()
        self._statements = Statements()
        self._pool: ConnectionPool[SeatedConnection] | None = None

    def session(self) -> PooledSession:
        """Wait for a connection."""
        pool = self._pool
        if pool is None:
            pool = self._pool = ConnectionPool(
                connection_class=self._connections,
                kwargs=self._parameters,
                open=True,
                **self._settings,
            )
        return PooledSession(pool, pool.getconn(), self._statements)

    def trouble(self, error: BaseException) -> Trouble:
        """Say what an error of psycopg or of the pool means."""
        if isinstance(error, (PoolTimeout, TooManyRequests)):
            # An OperationalError to psycopg, so that is what code of its users catches.
            message = first_line(str(error), type(error).__name__)
            return Trouble(error=POOL_TIMEOUT, message=message, operational=True, gave_up=True)
        return trouble_of(error)

    def close(self) -> None:
        """Close the pool's connections; those in use close when they are given back."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(timeout=_CLOSE_S_MAX)


def _check(connection: SeatedConnection) -> None:
    """Ask a connection whether it works; the pool forgets one that does not, without closing it."""
    try:
        ConnectionPool.check_connection(connection)
    except BaseException:
        connection.close()
        raise


class PooledSession:
    """One connection of the pool."""

    __slots__ = ("_connection", "_pool", "_statements", "seat")

    def __init__(
        self,
        pool: ConnectionPool[SeatedConnection],
        connection: SeatedConnection,
        statements: Statements,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._statements = statements
        self.seat: Seat = connection.seat

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        """Run a statement."""
        cursor = self._connection.execute(self._statements[statement], parameters)
        return cursor.fetchall() if statement.rows else ()

    def commit(self) -> None:
        """Commit."""
        self._connection.commit()

    def close(self) -> None:
        """Give it back, rolled back unless committed; the pool replaces one that broke."""
        try:
            end_transaction(self._connection)
        finally:
            self._pool.putconn(self._connection)
