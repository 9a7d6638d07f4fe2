"""What the control plane asks a server over SQL, and the bound on how long it waits for the answer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, TypeVar

import psycopg

from chaos.clock import NS, MonotonicClock
from chaos.errors import DatabaseError
from chaos.testcluster.postgres.configuration import CONTROL_ROLE

log = logging.getLogger(__name__)

_Value = TypeVar("_Value")

_STATEMENT_TIMEOUT_MS = 5000
# Longer than the server itself allows, so that only one that keeps no time any more runs into it.
_ANSWER_TIMEOUT_S = 8.0


class Position(NamedTuple):
    """A place in a writer's history: its timeline and the end of what it has written."""

    timeline: int
    lsn: str


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed, with an `OperationalError`, when an answer takes too long.

    The kernel acknowledges what is sent to a stopped process, so neither TCP nor the server's
    `statement_timeout` would ever end the wait.
    """

    def wait(self, gen: Generator[Any, Any, _Value], *args: Any, **options: Any) -> _Value:
        """Wait for the server as the base class does, but not for ever."""
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, gen: Generator[Any, Any, _Value]) -> Generator[Any, Any, _Value]:
        deadline = MonotonicClock().now_ns() + int(_ANSWER_TIMEOUT_S * NS)
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # 0: nothing happened for a moment
                if not ready and MonotonicClock().now_ns() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {_ANSWER_TIMEOUT_S:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: _Value = end.value
            return result


class Interrogated:
    """A server that the control plane asks with sessions of its own superuser."""

    def __init__(self, identifier: str, address: str, port: int, password: str) -> None:
        self.identifier = identifier
        self.address = address
        self._port = port
        self._control_password = password

    def position(self) -> Position | None:
        """Return what others can stream from here: a writer's end, or what a reader has replayed.

        None where it cannot be asked, or is a reader that does not stream.
        """
        row = self.ask(
            "SELECT received_tli, pg_last_wal_replay_lsn()::text"
            " FROM pg_stat_wal_receiver WHERE status = 'streaming'"
            " UNION ALL SELECT"
            " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer,"
            " pg_current_wal_lsn()::text WHERE NOT pg_is_in_recovery()"
        )
        return None if row is None else Position(int(row[0]), str(row[1]))

    def follows(self, position: Position) -> bool:
        """Tell whether this reader streams from that writer's history, and has replayed so far."""
        return self.ask(
            "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver"
            " WHERE status = 'streaming' AND received_tli = %s)"
            " AND pg_last_wal_replay_lsn() >= %s::pg_lsn",
            (position.timeline, position.lsn),
        ) == (True,)

    def replayed_lsn(self) -> str | None:
        """Return how far this reader has replayed, None where it cannot be asked."""
        row = self.ask("SELECT pg_last_wal_replay_lsn()::text")
        return str(row[0]) if row is not None and row[0] is not None else None

    @contextlib.contextmanager
    def connect(self, database: str = "postgres") -> Iterator[BoundedConnection]:
        """Open a session of the control plane's superuser, bounded in every statement.

        Raises:
            DatabaseError: the server does not answer or refused a statement.
        """
        try:
            with BoundedConnection.connect(
                host=self.address,
                port=self._port,
                user=CONTROL_ROLE,
                password=self._control_password,
                dbname=database,
                connect_timeout=2,
                sslmode="disable",
                application_name="control-plane",
                options=f"-c statement_timeout={_STATEMENT_TIMEOUT_MS}",
                autocommit=True,
            ) as connection:
                yield connection
        except psycopg.Error as error:
            raise DatabaseError(
                f"the control plane cannot use {self.identifier}: {str(error).strip()}",
                sqlstate=error.sqlstate,
            ) from error

    def ask(self, query: str, values: tuple[object, ...] = ()) -> tuple[Any, ...] | None:
        """Return a query's first row; None where the node cannot be asked."""
        try:
            with self.connect() as connection:
                return connection.execute(query.encode(), values).fetchone()
        except DatabaseError as error:
            log.debug("%s", error)
            return None
