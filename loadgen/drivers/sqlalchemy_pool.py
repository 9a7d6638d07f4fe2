"""SQLAlchemy on psycopg: its pools as the arm configures them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import sqlalchemy.pool
from sqlalchemy import Connection, Engine, TextClause, create_engine, event, text
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from chaos.model.operation import READ_ONLY
from loadgen.drivers.base import Rows, Seat, Statement, Trouble
from loadgen.drivers.psycopg_errors import first_line
from loadgen.drivers.way import Way
from loadgen.outcome import POOL_TIMEOUT, name_of_error
from loadgen.seats import identify

SEAT_KEY = "gameday seat"


class SqlalchemyDriver:
    """An engine for one endpoint; every connection of it knows where it leads to."""

    errors: tuple[type[BaseException], ...] = (SQLAlchemyError, psycopg.Error)

    def __init__(self, way: Way) -> None:
        """Make the engine; it connects on first use."""
        self.engine = _engine(way)
        self._compiled: dict[Statement, TextClause] = {}

    def session(self) -> SqlalchemySession:
        """Take a connection from the pool."""
        return SqlalchemySession(self.engine.connect(), self._compiled)

    def trouble(self, error: BaseException) -> Trouble:
        """Say what an error of SQLAlchemy, or of psycopg through it, means."""
        original = getattr(error, "orig", None) or error
        sqlstate = getattr(original, "sqlstate", None)
        message = str(original)
        pool_timeout = isinstance(error, PoolTimeout)
        return Trouble(
            error=POOL_TIMEOUT
            if pool_timeout
            else name_of_error(sqlstate, type(original).__name__, message),
            message=first_line(message, type(original).__name__),
            sqlstate=sqlstate,
            operational=isinstance(error, OperationalError),
            lost=isinstance(error, DBAPIError) and error.connection_invalidated,
            gave_up=pool_timeout,
        )

    def close(self) -> None:
        """Close the pool's connections; those in use close when they are given back."""
        self.engine.dispose()


class SqlalchemySession:
    """One checked-out connection."""

    __slots__ = ("_compiled", "_connection", "seat")

    def __init__(self, connection: Connection, compiled: dict[Statement, TextClause]) -> None:
        self._connection = connection
        self._compiled = compiled
        self.seat: Seat = connection.info[SEAT_KEY]

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        """Run a statement."""
        compiled = self._compiled.get(statement)
        if compiled is None:
            compiled = self._compiled[statement] = text(statement.sql)
        result = self._connection.execute(compiled, parameters)
        return result.fetchall() if statement.rows else ()

    def commit(self) -> None:
        """Commit."""
        self._connection.commit()

    def close(self) -> None:
        """Give it back to the pool, which rolls back."""
        self._connection.close()


def _engine(way: Way) -> Engine:
    """Return an engine as the arm configures it; it connects on first use, marked with the run."""
    settings, seats, endpoint = dict(way.arm.pool), way.seats, way.endpoint
    if "poolclass" in settings:
        settings["poolclass"] = getattr(sqlalchemy.pool, settings["poolclass"])
    engine = create_engine("postgresql+psycopg://", connect_args=way.parameters(), **settings)

    def connect(
        dialect: Dialect, entry: ConnectionPoolEntry, arguments: Any, parameters: Any
    ) -> Any:
        began_ns = seats.now()
        connection: Any = None
        try:
            connection = dialect.connect(*arguments, **parameters)
            entry.info[SEAT_KEY] = seats.opened(began_ns, endpoint, identify(connection))
        except BaseException as error:
            seats.failed(began_ns, endpoint, error)
            if connection is not None:  # The pool does not know it; nobody else would close it.
                connection.close()
            raise
        return connection

    def closed(_connection: object, entry: ConnectionPoolEntry) -> None:
        seat = entry.info.pop(SEAT_KEY, None)
        if seat is not None:
            seats.closed(endpoint, seat)

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "close", closed)
    if way.arm.read_only_is_disconnect:
        event.listen(engine, "handle_error", _read_only_is_disconnect)
    return engine


def _read_only_is_disconnect(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True
