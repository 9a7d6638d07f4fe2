"""Who an instance is and since when it runs, asked over SQL on its own endpoint."""

from __future__ import annotations

import psycopg

from chaos.db.refusals import sqlstate_of
from chaos.errors import DatabaseError
from chaos.model.access import BOUNDED, DatabaseAccess
from chaos.model.identity import Identity
from chaos.model.topology import Role

_IDENTITY = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_postmaster_start_time()"


def identity(access: DatabaseAccess, endpoint: str) -> Identity:
    """Connect to an endpoint and ask.

    Raises:
        DatabaseError: no connection, or no answer within a few seconds; names the endpoint.
    """
    try:
        with psycopg.connect(
            **access.parameters(endpoint),
            **BOUNDED,
            options="-c statement_timeout=3000",
            autocommit=True,
        ) as connection:
            row = connection.execute(_IDENTITY).fetchone()
    except psycopg.Error as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatabaseError(
            f"cannot use endpoint {endpoint} ({access.host(endpoint)}:{access.port}): {reason}; "
            "check that it is reachable from here and that user and password are right",
            sqlstate=sqlstate_of(error),
        ) from error
    assert row is not None
    return Identity(role=Role.READER if row[0] else Role.WRITER, started_at=row[1])
