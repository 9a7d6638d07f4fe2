"""SQL on a cluster's endpoints: questions in sessions of their own, and sessions that are held."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg import sql

from chaos.clock import NS, Clock, MonotonicClock
from chaos.db.identity import identity
from chaos.db.refusals import TOO_MANY, sqlstate_of
from chaos.db.spinning import Spinning
from chaos.errors import DatabaseError
from chaos.model.access import BOUNDED, DatabaseAccess
from chaos.model.answers import RoundTrips
from chaos.model.identity import Identity

_OPTIONS = "-c statement_timeout=5000"
_NAME = "gameday"
_AT_ONCE = 8
_TRIES = 3
_PAUSE_S = 0.05
_REFUSALS = 10
_TRIPS_S_MAX = 5.0
_TOTAL_RETRANS = struct.Struct("=100xI")
_HELD = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"


class Sessions:
    """The port `chaos.safety.ports.Database` on one cluster."""

    def __init__(self, access: DatabaseAccess, clock: Clock | None = None) -> None:
        """Take the way to the cluster; nothing is connected."""
        self._access = access
        self._clock = clock or MonotonicClock()
        self._lock = threading.Lock()
        self._held: dict[str, list[psycopg.Connection]] = {}
        self._where: dict[str, set[str]] = {}
        self._spinning: dict[str, Spinning] = {}

    def identify(self, endpoint: str) -> Identity:
        """Ask an instance who it is and since when."""
        return identity(self._access, endpoint)

    def query(
        self, endpoint: str, statement: str, parameters: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one statement in a session of its own and return its rows; none for a command.

        Raises:
            DatabaseError: no connection, or the server refused.
        """
        try:
            with self._connect(endpoint, _NAME) as connection:
                cursor = connection.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise self._told(endpoint, error) from error

    def round_trips(self, endpoint: str, statement: str, times: int) -> RoundTrips:
        """Run a statement so many times in a session of its own, each in its own transaction.

        Fewer times, once they have taken 5 s together.

        Raises:
            DatabaseError: no connection, or the server refused.
        """
        try:
            with self._connect(endpoint, _NAME) as connection:
                felt: list[float] = []
                while len(felt) < times and sum(felt) < _TRIPS_S_MAX:
                    self._clock.sleep(_PAUSE_S)  # As an application makes between two.
                    felt.append(self._felt_s(connection, statement))
                return RoundTrips(statements_s=tuple(felt), sent_again=_sent_again(connection))
        except psycopg.Error as error:
            raise self._told(endpoint, error) from error

    def _felt_s(self, connection: psycopg.Connection, statement: str) -> float:
        began_ns = self._clock.now_ns()
        connection.execute(statement).fetchall()
        return (self._clock.now_ns() - began_ns) / NS

    def hold(
        self, name: str, endpoint: str, statements: Sequence[str], *, sessions: int = 1
    ) -> int:
        """Open sessions with this `application_name`, run the statements in each, keep them open.

        A session with statements stays in a transaction.

        Returns:
            How many could be opened: fewer where the server had no more (SQLSTATE 53300).

        Raises:
            DatabaseError: no connection, or the server refused a statement.
        """
        with self._lock:
            self._where.setdefault(name, set()).add(endpoint)

        def open_one(_: int) -> bool:
            try:
                connection = self._connect_patiently(endpoint, name, autocommit=not statements)
                with self._lock:
                    self._held.setdefault(name, []).append(connection)
                for statement in statements:
                    connection.execute(sql.SQL(statement))
            except psycopg.Error as error:
                if sqlstate_of(error) != TOO_MANY:
                    raise self._told(endpoint, error) from error
                return False
            return True

        opened = 0
        with ThreadPoolExecutor(min(_AT_ONCE, sessions)) as threads:
            while opened < sessions:
                wave = list(threads.map(open_one, range(min(_AT_ONCE, sessions - opened))))
                opened += sum(wave)
                if not all(wave):
                    return opened + self._top_up(open_one, sessions - opened)
        return opened

    def _top_up(self, open_one: Callable[[int], bool], sessions: int) -> int:
        """Open more one by one until several in a row are refused; return how many there were.

        One of several at once may have been refused only because the others, as yet undecided, took
        the last places for a moment; and any one because somebody asked a question just then.
        """
        opened = refused = 0
        while opened < sessions and refused < _REFUSALS:
            if open_one(opened):
                opened, refused = opened + 1, 0
            else:
                refused += 1
                self._clock.sleep(_PAUSE_S)
        return opened

    def drop(self, name: str, sessions: int) -> None:
        """Close so many of the sessions that this process holds under this name."""
        for _ in range(sessions):
            with self._lock:
                mine = self._held.get(name)
                connection = mine.pop() if mine else None
            if connection is None:
                return
            connection.close()

    def held(self, name: str) -> int:
        """Return how many sessions of this `application_name` the cluster's instances have.

        While this process holds some, nobody is asked: they may be all the server would let in.
        """
        with self._lock:
            mine = len(self._held.get(name, ()))
        return mine or sum(
            int(self.query(instance, _HELD, (name,))[0][0]) for instance in self._instances(name)
        )

    def spin(
        self, name: str, endpoint: str, statement: str, *, sessions: int, for_s: float
    ) -> None:
        """Open sessions with this `application_name` that run a short statement again and again.

        They end with `end_sessions`, after `for_s`, and with this process.

        Raises:
            DatabaseError: one could not be opened; none is left.
        """
        try:
            spinning = Spinning(
                lambda: self._connect(endpoint, name),
                statement,
                sessions=sessions,
                for_s=for_s,
                clock=self._clock,
            )
        except psycopg.Error as error:
            raise self._told(endpoint, error) from error
        with self._lock:
            self._spinning[name] = spinning

    def end_sessions(self, name: str) -> None:
        """Close the sessions held under this name, and end those that an earlier process left."""
        with self._lock:
            mine = self._held.pop(name, [])
            spinning = self._spinning.pop(name, None)
        if spinning is not None:
            spinning.end()
        for connection in mine:
            connection.close()
        for instance in self._instances(name):
            self.query(instance, _END, (name,))

    def _instances(self, name: str) -> list[str]:
        """Return where sessions of this name can be: where this process opened them, or anywhere."""
        with self._lock:
            where = self._where.get(name)
        return sorted(where or self._access.instances)

    def _connect(self, endpoint: str, name: str, *, autocommit: bool = True) -> psycopg.Connection:
        return psycopg.connect(
            **self._access.parameters(endpoint),
            **BOUNDED,
            application_name=name,
            options=_OPTIONS,
            autocommit=autocommit,
        )

    def _connect_patiently(
        self, endpoint: str, name: str, *, autocommit: bool
    ) -> psycopg.Connection:
        """Connect, and again where nobody answered in time: one of a thousand may be unlucky."""
        for _ in range(_TRIES - 1):
            try:
                return self._connect(endpoint, name, autocommit=autocommit)
            except psycopg.OperationalError as error:
                if sqlstate_of(error) is not None:
                    raise
        return self._connect(endpoint, name, autocommit=autocommit)

    def _told(self, endpoint: str, error: psycopg.Error) -> DatabaseError:
        reason = " ".join(str(error).split()) or type(error).__name__
        host = self._access.host(endpoint)
        return DatabaseError(
            f"endpoint {endpoint} ({host}:{self._access.port}): {reason}",
            sqlstate=sqlstate_of(error),
        )


def _sent_again(connection: psycopg.Connection) -> int:
    """Return how many segments this end sent again, of Linux's `struct tcp_info`."""
    if sys.platform != "linux":
        return 0
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        told = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOTAL_RETRANS.size)
    return int(_TOTAL_RETRANS.unpack(told)[0])
