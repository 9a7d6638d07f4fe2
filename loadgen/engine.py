"""An arm's SQLAlchemy engine for one endpoint; every connection knows the instance it leads to."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry

from chaos.model.access import DatabaseAccess
from loadgen.arms import Arm
from loadgen.tables import IDENTITY, IDENTITY_BY_ADDRESS, session_name

READ_ONLY = "25006"
INFO_KEY = "gameday identity"
Identity = tuple[str, int]
"""Instance identifier (or address) and the backend's process id."""


def build_engine(arm: Arm, access: DatabaseAccess, endpoint: str, run: str) -> Engine:
    """Return an engine as the arm configures it; it connects on first use, marked with the run.

    Each connection's `info[INFO_KEY]` is its `Identity`, asked once when the connection is made.
    """
    engine = create_engine(
        "postgresql+psycopg://", connect_args=_parameters(arm, access, endpoint, run), **arm.pool
    )
    event.listen(engine, "connect", _Identify())
    if arm.read_only_is_disconnect:
        event.listen(engine, "handle_error", _read_only_is_disconnect)
    return engine


def _parameters(arm: Arm, access: DatabaseAccess, endpoint: str, run: str) -> dict[str, Any]:
    parameters = {
        **access.parameters(endpoint),
        **arm.connection,
        "application_name": session_name(run, arm.name),
    }
    settings = [f"-c {name}={value}" for name, value in arm.session.items()]
    if settings:
        # At start-up rather than by SET: no round trip, nothing a proxy would pin a session for.
        given = access.options.get("options", "")
        parameters["options"] = " ".join([given, *settings]).strip()
    return parameters


class _Identify:
    """Pool listener that asks a new connection where it leads to."""

    def __init__(self) -> None:
        self._query = IDENTITY

    def __call__(self, connection: psycopg.Connection[Any], entry: ConnectionPoolEntry) -> None:
        try:
            entry.info[INFO_KEY] = self._ask(connection)
        except BaseException:
            # The pool forgets a connection whose listener failed; nobody else would close it.
            connection.close()
            raise

    def _ask(self, connection: psycopg.Connection[Any]) -> Identity:
        autocommit = connection.autocommit
        connection.autocommit = True  # no transaction around the question
        try:
            row = connection.execute(self._query).fetchone()
        except psycopg.errors.UndefinedFunction:
            self._query = IDENTITY_BY_ADDRESS
            row = connection.execute(self._query).fetchone()
        connection.autocommit = autocommit
        assert row is not None
        return (str(row[0] or "local socket"), int(row[1]))


def _read_only_is_disconnect(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True
