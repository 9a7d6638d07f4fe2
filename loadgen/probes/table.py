"""The table that write probes update: one row a session, so that it does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from chaos.errors import DatabaseError
from chaos.model.access import BOUNDED, DatabaseAccess
from chaos.names import query
from loadgen.drivers.psycopg_errors import first_line
from loadgen.probes.config import ProbesConfig

_SCHEMA = "gameday"
_STATEMENT_TIMEOUT_MS = 10_000


def table_of(run: str) -> sql.Identifier:
    """Return the name of a run's probe table."""
    return sql.Identifier(_SCHEMA, f"probe_{run}"[:63])


def prepare(access: DatabaseAccess, run: str) -> None:
    """Create the probe table of a run, with one row for each session of the cluster endpoint.

    Raises:
        DatabaseError: the cluster endpoint cannot be reached, or the user may not create a table.
    """
    config = ProbesConfig(run=run)
    with _connection(access, "create the probe table") as connection:
        connection.execute(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(_SCHEMA))
        )
        # A low fill factor keeps each update within its page, without touching the index.
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (slot int PRIMARY KEY, turns bigint NOT NULL)"
                " WITH (fillfactor = 10)"
            ).format(table_of(run))
        )
        connection.execute(
            sql.SQL(
                "INSERT INTO {} SELECT slot, 0 FROM generate_series(0, %s) AS slot"
                " ON CONFLICT DO NOTHING"
            ).format(table_of(run)),
            (config.slots + config.spares - 1,),
        )


def drop(access: DatabaseAccess, run: str) -> None:
    """Drop the probe table of a run, if it is there.

    Raises:
        DatabaseError: the cluster endpoint cannot be reached.
    """
    with _connection(access, "drop the probe table") as connection:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table_of(run)))


@contextmanager
def _connection(access: DatabaseAccess, purpose: str) -> Iterator[psycopg.Connection]:
    host = access.endpoints["cluster"]
    answer = query(host, access.name_server)
    if answer.error:
        raise DatabaseError(f"cannot {purpose}: {host} does not resolve ({answer.error})")
    try:
        with psycopg.connect(
            **access.parameters("cluster"),
            hostaddr=answer.addresses[0],
            **BOUNDED,
            options=f"-c statement_timeout={_STATEMENT_TIMEOUT_MS}",
        ) as connection:
            yield connection
    except psycopg.Error as error:
        reason = first_line(str(error), type(error).__name__)
        raise DatabaseError(
            f"cannot {purpose} through {host}: {reason}", sqlstate=error.sqlstate
        ) from error
