"""SQL on a cluster's endpoints: questions in sessions of their own, and sessions that are held."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from chaos.db.identity import identity
from chaos.errors import DatabaseError
from chaos.model.access import BOUNDED, DatabaseAccess
from chaos.model.identity import Identity

_OPTIONS = "-c statement_timeout=5000"
_NAME = "gameday"
_TOO_MANY = "53300"
_HELD = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"


class Sessions:
    """The port `chaos.safety.ports.Database` on one cluster."""

    def __init__(self, access: DatabaseAccess) -> None:
        """Take the way to the cluster; nothing is connected."""
        self._access = access
        self._lock = threading.Lock()
        self._held: dict[str, list[psycopg.Connection]] = {}

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
        opened = 0
        try:
            while opened < sessions:
                connection = self._connect(endpoint, name, autocommit=not statements)
                with self._lock:
                    self._held.setdefault(name, []).append(connection)
                opened += 1
                for statement in statements:
                    connection.execute(sql.SQL(statement))
        except psycopg.Error as error:
            if error.sqlstate != _TOO_MANY:
                raise self._told(endpoint, error) from error
        return opened

    def held(self, name: str) -> int:
        """Return how many sessions of this `application_name` the cluster's instances have."""
        return sum(
            int(self.query(instance, _HELD, (name,))[0][0]) for instance in self._instances()
        )

    def end_sessions(self, name: str) -> None:
        """Close the sessions held under this name, and end those that an earlier process left."""
        with self._lock:
            mine = self._held.pop(name, [])
        for connection in mine:
            connection.close()
        for instance in self._instances():
            self.query(instance, _END, (name,))

    def _instances(self) -> list[str]:
        return [e for e in self._access.endpoints if e not in {"cluster", "reader"}]

    def _connect(self, endpoint: str, name: str, *, autocommit: bool = True) -> psycopg.Connection:
        return psycopg.connect(
            **self._access.parameters(endpoint),
            **BOUNDED,
            application_name=name,
            options=_OPTIONS,
            autocommit=autocommit,
        )

    def _told(self, endpoint: str, error: psycopg.Error) -> DatabaseError:
        reason = " ".join(str(error).split()) or type(error).__name__
        host = self._access.endpoints[endpoint]
        return DatabaseError(
            f"endpoint {endpoint} ({host}:{self._access.port}): {reason}", sqlstate=error.sqlstate
        )
