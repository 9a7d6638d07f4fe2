"""The ledger: every write that clients attempted, against what the table holds afterwards.

The clients' side is the recorded operations, the truth is the table. Both are walked in the order
of write ids, the table through a server-side cursor: memory holds a few bytes a write, no rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from chaos import names
from chaos.clock import Clock, MonotonicClock
from chaos.errors import DatabaseError, WaitTimeout
from chaos.model.access import BOUNDED, DatabaseAccess
from chaos.model.history import load_operations
from chaos.model.ledger import ArmLedger, Ledger
from chaos.model.operation import NO_WRITE_ID, PROBE_ARM, Kind, Outcome
from chaos.wait import wait_until
from loadgen.tables import (
    CREATE_INDEX,
    CREATE_KEY,
    CREATE_SCHEMA,
    CREATE_TABLE,
    DROP_SCHEMA,
    DROP_TABLE,
    FOUND,
    IDENTITY,
    IDENTITY_BY_ADDRESS,
    IN_RECOVERY,
    LOCK,
    SESSIONS_LEFT,
    STATEMENT_TIMEOUT,
    session_name,
    table_of,
)

SHOWN_MAX = 20
"""Write ids that an `ArmLedger` lists of each kind."""
CHUNK = 20_000
"""Rows fetched at a time."""
SESSIONS_TIMEOUT_S = 10.0
"""How long sessions of the traffic may outlive their process before the count is called off."""
WRITER_TIMEOUT_S = 60.0
"""How long the name may lead to nobody or to a reader, as in a failover, before it is given up."""
_RETRY_S = 0.5

Ids = NDArray[np.int64]
Found = tuple[Ids, NDArray[np.int64]]
"""Ascending write ids, and how many rows each has."""


class _NotNowError(DatabaseError):
    """The endpoint leads to nobody, or not to the writer; in a failover that passes."""


def prepare(access: DatabaseAccess, run: str) -> None:
    """Create the run's table, and our schema if the database has none yet.

    Raises:
        DatabaseError: the cluster endpoint cannot be used, or it refused.
    """
    table = table_of(run)
    with connection_for(access, "cluster", "create the run's table") as connection:
        connection.execute(LOCK)
        connection.execute(CREATE_SCHEMA)
        for statement in (CREATE_TABLE, CREATE_INDEX, CREATE_KEY):
            _on(connection, statement, table)


def drop(access: DatabaseAccess, run: str) -> None:
    """Drop the run's table; and our schema, if we made it and nothing is left in it.

    Raises:
        DatabaseError: the cluster endpoint cannot be used, or it refused.
    """
    with connection_for(access, "cluster", "drop the run's table") as connection:
        connection.execute(LOCK)
        _on(connection, DROP_TABLE, table_of(run))
        connection.execute(DROP_SCHEMA)


def reconcile(
    access: DatabaseAccess,
    folder: Path,
    run: str,
    *,
    endpoint: str = "cluster",
    sessions_timeout_s: float = SESSIONS_TIMEOUT_S,
    writer_timeout_s: float = WRITER_TIMEOUT_S,
    clock: Clock | None = None,
) -> Ledger:
    """Count what became of the writes of every arm that recorded operations below `folder`.

    Call it when traffic has stopped; a failover may be under way. Only the writer is read: a reader
    may lack rows that were committed, and does not see the sessions that may still commit. Where the
    endpoint does not lead to it, the name is resolved anew until it does.

    A table that cannot be read to its end, or into which a session may still write, gives a ledger
    that is not `complete` and says why; nothing is raised.
    """
    clock = clock or MonotonicClock()
    arms = sorted(
        path.stem for path in (folder / "operations").glob("*.ops") if path.stem != PROBE_ARM
    )

    def read() -> Ledger:
        with connection_for(access, endpoint, "read the ledger") as connection:
            instance = writer_of(connection, access.endpoints[endpoint])
            _await_sessions_end(connection, run, arms, sessions_timeout_s, clock)
            read_at_ns = clock.now_ns()
            return Ledger(
                arms={arm: _account(connection, folder, run, arm) for arm in arms},
                read_from=instance,
                read_at_ns=read_at_ns,
                complete=True,
            )

    try:
        return wait_until(
            read,
            f"{access.endpoints[endpoint]} to lead to a writer that can be read",
            timeout_s=writer_timeout_s,
            interval_s=_RETRY_S,
            errors=(_NotNowError,),
            clock=clock,
        )
    except (DatabaseError, WaitTimeout) as error:
        return Ledger(arms={}, complete=False, why=str(error))


def attempted_writes(operations: Path, arm: str) -> tuple[Ids, NDArray[np.uint8]]:
    """Return the ids of the arm's recorded writes in ascending order, and their outcomes."""
    records = load_operations(operations, arm).operations
    chosen = (records["kind"] == Kind.WRITE) & (records["write_id"] != NO_WRITE_ID)
    ids = np.asarray(records["write_id"][chosen], dtype=np.int64)
    outcomes = np.asarray(records["outcome"][chosen], dtype=np.uint8)
    order = np.argsort(ids, kind="stable")
    return ids[order], outcomes[order]


def count(ids: Ids, outcomes: NDArray[np.uint8], found: Iterable[Found]) -> ArmLedger:
    """Compare attempted writes (`ids` ascending, each once) with the rows found, chunk by chunk."""
    rows = np.zeros(len(ids), dtype=np.int64)
    unexpected = 0
    duplicated_strays: list[int] = []
    for found_ids, found_rows in found:
        places = np.searchsorted(ids, found_ids)
        known = places < len(ids)
        known[known] = ids[places[known]] == found_ids[known]
        rows[places[known]] = found_rows[known]
        unexpected += int(np.count_nonzero(~known))
        duplicated_strays += found_ids[~known & (found_rows > 1)].tolist()
    acknowledged = outcomes == Outcome.OK
    unknown = outcomes == Outcome.UNKNOWN
    lost = acknowledged & (rows == 0)
    failed_applied = (outcomes == Outcome.FAILED) & (rows > 0)
    duplicated = sorted([*ids[rows > 1].tolist(), *duplicated_strays])
    return ArmLedger(
        acknowledged=_number(acknowledged),
        applied_once=_number(acknowledged & (rows == 1)),
        lost=_number(lost),
        duplicated=len(duplicated),
        unknown_applied=_number(unknown & (rows > 0)),
        unknown_lost=_number(unknown & (rows == 0)),
        failed_applied=_number(failed_applied),
        unexpected=unexpected,
        lost_ids=tuple(ids[lost][:SHOWN_MAX].tolist()),
        duplicated_ids=tuple(duplicated[:SHOWN_MAX]),
        failed_applied_ids=tuple(ids[failed_applied][:SHOWN_MAX].tolist()),
    )


def _number(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _found(connection: psycopg.Connection[Any], table: str, arm: str) -> Iterator[Found]:
    """Yield every write id of the arm that the table holds, in ascending order, in chunks."""
    with connection.cursor(name="ledger") as cursor:
        cursor.execute(FOUND.format(table=table), (arm,))
        while chunk := cursor.fetchmany(CHUNK):
            columns = np.array(chunk, dtype=np.int64)
            yield columns[:, 0], columns[:, 1]


def _account(connection: psycopg.Connection[Any], folder: Path, run: str, arm: str) -> ArmLedger:
    ids, outcomes = attempted_writes(folder / "operations", arm)
    return count(ids, outcomes, _found(connection, table_of(run), arm))


def _await_sessions_end(
    connection: psycopg.Connection[Any],
    run: str,
    arms: list[str],
    timeout_s: float,
    clock: Clock,
) -> None:
    """Wait until no session of the run's traffic is left that might still commit what it was sent."""
    names_of_sessions = [session_name(run, arm) for arm in arms]

    def ended() -> bool:
        # Outside a transaction, which would keep showing the first answer.
        row = connection.execute(SESSIONS_LEFT, (names_of_sessions,)).fetchone()
        connection.rollback()
        return row is not None and row[0] == 0

    wait_until(ended, "the traffic's last sessions to end", timeout_s=timeout_s, clock=clock)


def writer_of(connection: psycopg.Connection[Any], host: str) -> str:
    """Return the instance that the connection leads to, the writer.

    Raises:
        DatabaseError: it is a reader.
    """
    instance = _instance(connection)
    row = connection.execute(IN_RECOVERY).fetchone()
    connection.rollback()
    if row is None or row[0]:
        raise _NotNowError(f"cannot read the ledger: {host} leads to {instance}, which is a reader")
    return instance


def _instance(connection: psycopg.Connection[Any]) -> str:
    try:
        with connection.transaction():
            row = connection.execute(IDENTITY).fetchone()
    except psycopg.errors.UndefinedFunction:
        row = connection.execute(IDENTITY_BY_ADDRESS).fetchone()
    return str(row[0]) if row else ""


def _on(connection: psycopg.Connection[Any], statement: str, table: str) -> None:
    connection.execute(statement.format(table=table))


@contextmanager
def connection_for(
    access: DatabaseAccess, endpoint: str, purpose: str, *, statement_timeout: str = "60s"
) -> Iterator[psycopg.Connection[Any]]:
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
            raise _NotNowError(f"cannot {purpose}: {host} does not resolve: {answer.error}")
        parameters["hostaddr"] = answer.addresses[0]
    try:
        with psycopg.connect(**parameters) as connection:
            connection.execute(STATEMENT_TIMEOUT, (statement_timeout,))
            connection.commit()
            yield connection
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        # Of the connection or the server; the other errors are the statement's, and would stay.
        kind = _NotNowError if isinstance(error, psycopg.OperationalError) else DatabaseError
        raise kind(f"cannot {purpose} through {host}: {reason}", sqlstate=error.sqlstate) from error
