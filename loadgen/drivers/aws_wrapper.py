"""AWS's Advanced Python Wrapper on psycopg: a connection that each user holds.

The wrapper exchanges the connection below it when it follows a failover; where each one leads to is
asked and recorded when it is first seen. Connections by which the wrapper itself watches the cluster
serve no operation and are not recorded.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import psycopg
from aws_advanced_python_wrapper import AwsWrapperConnection, release_resources
from aws_advanced_python_wrapper import errors as wrapper_errors
from aws_advanced_python_wrapper.pep249 import Error as WrapperError
from aws_advanced_python_wrapper.pep249 import OperationalError as WrapperOperationalError

from chaos.model.gone import NO_SQLSTATE
from loadgen.drivers.base import NOWHERE, Rows, Seat, Statement, Trouble
from loadgen.drivers.psycopg_errors import first_line, trouble_of
from loadgen.drivers.seated import IN_TRANSACTION, Statements
from loadgen.drivers.way import Way
from loadgen.seats import identify

# It tells of each failover of each connection; the attempts are recorded already.
logging.getLogger("aws_advanced_python_wrapper").setLevel(logging.CRITICAL)

_CLOSE_S_MAX = 2.0
_MOVED = (wrapper_errors.FailoverSuccessError, wrapper_errors.TransactionResolutionUnknownError)
"""The wrapper has another connection, and asks for the operation to be done again on it."""
_ERRORS: tuple[type[BaseException], ...] = (WrapperError, psycopg.Error)


class AwsWrapperDriver:
    """Owns the connections that its users hold."""

    errors = _ERRORS

    def __init__(self, way: Way) -> None:
        """Prepare a way; nothing is opened."""
        self._way = way
        self._statements = Statements()
        self._holders: list[Holder] = []

    def for_user(self) -> Holder:
        """Return one more user's own."""
        holder = Holder(self._way, self._statements)
        self._holders.append(holder)
        return holder

    def session(self) -> Holder:
        """Return a connection that belongs to no user; closed when it is given back."""
        return _Once(self._way, self._statements).session()

    def trouble(self, error: BaseException) -> Trouble:
        """Say what an error of the wrapper, or of psycopg through it, means."""
        return _trouble(error)

    def close(self) -> None:
        """Close what users have held, and what the wrapper watches the cluster by."""
        holders, self._holders = self._holders, []
        # Each takes a tenth of a second: the wrapper ends what it watched the connection by.
        closing = [threading.Thread(target=holder.drop, daemon=True) for holder in holders]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(_CLOSE_S_MAX)
        release_resources()


class Holder:
    """One user's connection: both its driver and its only session."""

    errors = _ERRORS

    def __init__(self, way: Way, statements: Statements) -> None:
        self._way = way
        self._statements = statements
        self._connection: AwsWrapperConnection | None = None
        self._below: Any = None
        self._known_ns = 0
        """When the connection below was last known to be the one it is."""
        self.seat: Seat = NOWHERE

    def session(self) -> Holder:
        """Return it, connected."""
        if self._connection is None:
            self._open()
        else:
            self._look_below()
        return self

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        """Run a statement."""
        assert self._connection is not None, "a session is used after session() alone"
        cursor = self._connection.cursor()
        cursor.execute(self._statements[statement].decode(), parameters)
        rows: Rows = cursor.fetchall() if statement.rows else ()
        return rows

    def commit(self) -> None:
        """Commit."""
        assert self._connection is not None, "a session is used after session() alone"
        self._connection.commit()

    def close(self) -> None:
        """Roll back unless committed; a connection that broke is let go."""
        connection = self._connection
        if connection is None:
            return
        try:
            self._look_below()
            if self._below.pgconn.transaction_status in IN_TRANSACTION:
                connection.rollback()
        except BaseException:
            self.drop()
            raise
        if self._below.closed:
            self.drop()

    def trouble(self, error: BaseException) -> Trouble:
        """Say what an error of the wrapper means."""
        return _trouble(error)

    def drop(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._left()
        try:
            connection.close()
        except _ERRORS:
            return  # it was broken, which is why it is closed

    def _open(self) -> None:
        way = self._way
        began_ns = way.seats.now()
        try:
            self._connection = AwsWrapperConnection.connect(
                psycopg.Connection.connect, "", **way.parameters()
            )
            self._sit(began_ns)
        except BaseException as error:
            way.seats.failed(began_ns, way.endpoint, _of_driver(error) or error)
            self.drop()
            raise

    def _look_below(self) -> None:
        """Note that the wrapper has exchanged the connection, some time since it was last known.

        One that does not even say where it leads to is let go, or its user would ask it for ever.
        """
        assert self._connection is not None, "only an open wrapper has one below"
        if self._connection.target_connection is self._below:
            self._known_ns = self._way.seats.now()
            return
        self._left()
        try:
            self._sit(self._known_ns)
        except BaseException as error:
            self._way.seats.failed(self._known_ns, self._way.endpoint, error)
            self.drop()
            raise

    def _sit(self, began_ns: int) -> None:
        assert self._connection is not None, "only an open wrapper has one below"
        below = self._connection.target_connection
        identity = identify(below)
        self._below = below
        self.seat = self._way.seats.opened(began_ns, self._way.endpoint, identity)
        self._known_ns = self.seat.opened_ns

    def _left(self) -> None:
        seat, self.seat = self.seat, NOWHERE
        if seat is not NOWHERE:
            self._way.seats.closed(self._way.endpoint, seat)


class _Once(Holder):
    def close(self) -> None:
        self.drop()


def _trouble(error: BaseException) -> Trouble:
    below = _of_driver(error)
    if below is not None:
        return trouble_of(below)
    name = type(error).__name__
    return Trouble(
        error=f"{NO_SQLSTATE} {name}",
        message=first_line(str(error), name),
        operational=isinstance(error, WrapperOperationalError),
        lost=isinstance(error, _MOVED),
    )


def _of_driver(error: BaseException) -> psycopg.Error | None:
    """Return the error of psycopg that an error is, or only wraps; None where it says more."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if isinstance(at, psycopg.Error):
            return at
        if not isinstance(at, wrapper_errors.AwsWrapperError):
            return None
        at = at.driver_error or at.__cause__
    return None
