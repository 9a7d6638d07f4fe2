"""Connections of the ledger: one for each purpose, whose errors say the purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from chaos import names
from chaos.errors import DatabaseError
from chaos.model.access import BOUNDED, DatabaseAccess
from loadgen.tables import IDENTITY, IDENTITY_BY_ADDRESS, IN_RECOVERY, STATEMENT_TIMEOUT

Connection = psycopg.Connection[Any]


class NotNowError(DatabaseError):
    """The endpoint leads to nobody, or not to the writer; in a failover that passes."""


@contextmanager
def connection_for(
    access: DatabaseAccess, endpoint: str, purpose: str, *, statement_timeout: str = "60s"
) -> Iterator[Connection]:
    """Give one connection for one purpose; commits at the end, and says the purpose in errors.

    Raises:
        DatabaseError: the endpoint leads to nobody now, or refused.
    """
    host = access.endpoints[endpoint]
    parameters = {
        **access.parameters(endpoint),
        "application_name": "gameday-ledger",
        **BOUNDED,
    }
    if access.name_server is not None and access.name_server.serves(host):
        answer = names.query(host, access.name_server)
        if not answer.addresses:
            raise NotNowError(f"cannot {purpose}: {host} does not resolve: {answer.error}")
        parameters["hostaddr"] = answer.addresses[0]
    try:
        with psycopg.connect(**parameters) as connection:
            connection.execute(STATEMENT_TIMEOUT, (statement_timeout,))
            connection.commit()
            yield connection
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        # Of the connection or the server; the other errors are the statement's, and would stay.
        kind = NotNowError if isinstance(error, psycopg.OperationalError) else DatabaseError
        raise kind(f"cannot {purpose} through {host}: {reason}", sqlstate=error.sqlstate) from error


def writer_of(connection: Connection, host: str) -> str:
    """Return the instance that the connection leads to, the writer.

    Raises:
        DatabaseError: it is a reader.
    """
    instance = instance_of(connection)
    if not is_writer(connection):
        raise NotNowError(f"cannot read the ledger: {host} leads to {instance}, which is a reader")
    return instance


def is_writer(connection: Connection) -> bool:
    """Tell whether the instance that the connection leads to is out of recovery."""
    row = connection.execute(IN_RECOVERY).fetchone()
    connection.rollback()
    return row is not None and not row[0]


def instance_of(connection: Connection) -> str:
    """Return the instance that the connection leads to: its identifier, else its address."""
    try:
        with connection.transaction():
            row = connection.execute(IDENTITY).fetchone()
    except psycopg.errors.UndefinedFunction:
        row = connection.execute(IDENTITY_BY_ADDRESS).fetchone()
        connection.rollback()
    return str(row[0]) if row else ""
