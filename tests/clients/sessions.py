"""A process of database clients that nobody here wrote: one request a line in, one answer a line out.

Run by `fix_clients.py`, unpatched and with a thread of its own for everything that a client starts. The
first line says where names are resolved; every later one names a function below and its arguments.
Drivers are imported after that, since some take `socket`'s functions over as they are then.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from chaos import names

CONNECTIONS: dict[str, Any] = {}
ENGINES: dict[str, Any] = {}


def wrapper_connect(name: str, *, conninfo: str, options: dict[str, Any]) -> None:
    """Connect by the AWS Advanced Python Wrapper over psycopg."""
    import psycopg
    from aws_advanced_python_wrapper import AwsWrapperConnection

    CONNECTIONS[name] = AwsWrapperConnection.connect(
        psycopg.Connection.connect, conninfo, **options
    )


def connect(name: str, *, conninfo: str, options: dict[str, Any]) -> None:
    """Connect by psycopg alone."""
    import psycopg

    CONNECTIONS[name] = psycopg.connect(conninfo, **options)


def execute(name: str, *, sql: str) -> Any:
    """Execute a statement and return its rows, None where it has none."""
    with CONNECTIONS[name].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def read_only(name: str, *, value: bool) -> None:
    """Say that what follows only reads, or that it writes."""
    CONNECTIONS[name].read_only = value


def rollback(name: str) -> None:
    """Give a transaction up."""
    CONNECTIONS[name].rollback()


def is_closed(name: str) -> bool:
    """Tell whether the connection behind a wrapper's is closed, without touching the network."""
    return bool(CONNECTIONS[name].target_connection.closed)


def engine(name: str, *, url: str, options: dict[str, Any]) -> None:
    """Make an SQLAlchemy engine."""
    import sqlalchemy

    ENGINES[name] = sqlalchemy.create_engine(url, **options)


def engine_execute(name: str, *, sql: str) -> Any:
    """Execute a statement in a transaction of a pooled connection; return the first row."""
    import sqlalchemy

    with ENGINES[name].begin() as connection:
        return list(connection.execute(sqlalchemy.text(sql)).first() or ())


REQUESTS = {
    f.__name__: f
    for f in (
        wrapper_connect, connect, execute, read_only, rollback, is_closed, engine, engine_execute,
    )
}  # fmt: skip


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request; what it raises is told by name, as a user would see it."""
    begun = time.monotonic()
    try:
        result = REQUESTS[request.pop("do")](**request)
    except Exception as error:  # noqa: BLE001 - every error is an answer
        cause = error.__cause__
        told: dict[str, Any] = {
            "error": type(error).__name__,
            "cause": type(cause).__name__ if cause else None,
            "sqlstate": getattr(getattr(error, "orig", error), "sqlstate", None),
            "message": str(error),
        }
    else:
        told = {"result": result}
    return told | {"took_s": time.monotonic() - begun}


def main() -> None:
    """Serve requests until the input ends."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    names.install(names.NameServer(**json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line)), default=str) + "\n")
        sys.stdout.flush()
    if "aws_advanced_python_wrapper" in sys.modules:
        from aws_advanced_python_wrapper import release_resources

        release_resources()


if __name__ == "__main__":
    main()
