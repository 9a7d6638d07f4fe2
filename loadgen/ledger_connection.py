"""Connections of the ledger: one for each purpose, whose errors say the purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from chaos import names
from chaos.errors import DatabaseError
from chaos.model.access import BOUNDED, DatabaseAccess
from chaos.model.operation import Role
from loadgen.drivers.psycopg_errors import first_line
from loadgen.seats import identify
from loadgen.tables import STATEMENT_TIMEOUT

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
        reason = first_line(str(error), type(error).__name__)
        # Of the connection or the server; the other errors are the statement's, and would stay.
        kind = NotNowError if isinstance(error, psycopg.OperationalError) else DatabaseError
        raise kind(f"cannot {purpose} through {host}: {reason}", sqlstate=error.sqlstate) from error


def writer_of(connection: Connection, host: str) -> str:
    """Return the instance that the connection leads to, the writer.

    Raises:
        DatabaseError: it is a reader.
    """
    found = identify(connection)
    if found.role is not Role.WRITER:
        raise NotNowError(
            f"cannot read the ledger: {host} leads to {found.instance}, which is a reader"
        )
    return found.instance
