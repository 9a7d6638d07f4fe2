"""The ledger: every write that clients attempted, against what the instances hold afterwards.

The clients' side is the recorded operations, the truth is the table: on the writer, which decides what
was lost, and then on every other instance. Both are walked in the order of write ids, the table through
a server-side cursor: memory holds a few bytes a write, no rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from chaos.clock import Clock, MonotonicClock
from chaos.errors import DatabaseError, WaitTimeout
from chaos.model.access import DatabaseAccess
from chaos.model.ledger import ArmLedger, Ledger
from chaos.model.operation import PROBE_ARM, Outcome
from chaos.wait import wait_until
from loadgen.ledger_connection import Connection, NotNowError, connection_for, writer_of
from loadgen.ledger_counts import acknowledgements, attempted_writes, by_name, count, tally
from loadgen.ledger_readers import (
    READERS_TIMEOUT_S,
    Book,
    OnReaders,
    rows_found,
    sums_of,
)
from loadgen.tables import (
    ACCOUNTS,
    ATTEMPTS_AMONG,
    CREATE_ACCOUNTS,
    CREATE_INDEX,
    CREATE_KEY,
    CREATE_SCHEMA,
    CREATE_TABLE,
    DROP_SCHEMA,
    DROP_TABLE,
    LOCK,
    OPEN_ACCOUNTS,
    OPENING_BALANCE,
    SESSIONS_LEFT,
    SUM_OF_BALANCES,
    accounts_of,
    session_name,
    table_of,
)

SESSIONS_TIMEOUT_S = 10.0
"""How long sessions of the traffic may outlive their process before the count is called off."""
WRITER_TIMEOUT_S = 60.0
"""How long the name may lead to nobody or to a reader, as in a failover, before it is given up."""
_RETRY_S = 0.5


def prepare(access: DatabaseAccess, run: str, *, holders: Iterable[str] = ()) -> None:
    """Create the run's tables, and our schema if the database has none yet.

    `holders` are the arms that get accounts; without any there is no table of them.

    Raises:
        DatabaseError: the cluster endpoint cannot be used, or it refused.
    """
    table = table_of(run)
    arms = tuple(holders)
    with connection_for(access, "cluster", "create the run's table") as connection:
        connection.execute(LOCK)
        connection.execute(CREATE_SCHEMA)
        for statement in (CREATE_TABLE, CREATE_INDEX, CREATE_KEY):
            _on(connection, statement, table)
        if arms:
            _on(connection, CREATE_ACCOUNTS, accounts_of(run))
        for arm in arms:
            opened = OPEN_ACCOUNTS.format(table=accounts_of(run))
            connection.execute(opened, (arm, OPENING_BALANCE, ACCOUNTS))


def drop(access: DatabaseAccess, run: str) -> None:
    """Drop the run's tables; and our schema, if we made it and nothing is left in it.

    Raises:
        DatabaseError: the cluster endpoint cannot be used, or it refused.
    """
    with connection_for(access, "cluster", "drop the run's table") as connection:
        connection.execute(LOCK)
        for table in (accounts_of(run), table_of(run)):
            _on(connection, DROP_TABLE, table)
        connection.execute(DROP_SCHEMA)


def reconcile(
    access: DatabaseAccess,
    folder: Path,
    run: str,
    *,
    sessions_timeout_s: float = SESSIONS_TIMEOUT_S,
    writer_timeout_s: float = WRITER_TIMEOUT_S,
    readers_timeout_s: float = READERS_TIMEOUT_S,
) -> Ledger:
    """Count what became of the writes of every arm that recorded operations below `folder`.

    Call it when traffic has stopped; a failover may be under way. What was lost is told by the writer
    alone: a reader may lack rows that were committed, and does not see the sessions that may still
    commit. Where the cluster endpoint does not lead to it, the name is resolved anew until it does.
    Then every other instance is compared with it.

    A table that cannot be read to its end, or into which a session may still write, gives a ledger
    that is not `complete` and says why; nothing is raised.
    """
    clock = MonotonicClock()
    arms = sorted(
        path.stem for path in (folder / "operations").glob("*.ops") if path.stem != PROBE_ARM
    )
    table = _Table(access, folder / "operations", run, arms, sessions_timeout_s, clock)
    try:
        found, books = wait_until(
            table.on_writer,
            f"{access.endpoints['cluster']} to lead to a writer that can be read",
            timeout_s=writer_timeout_s,
            interval_s=_RETRY_S,
            errors=(NotNowError,),
            clock=clock,
        )
    except (DatabaseError, WaitTimeout) as error:
        return Ledger(arms={}, complete=False, why=str(error))
    on_readers = OnReaders(
        access=access,
        run=run,
        operations=folder / "operations",
        books=books,
        writer=found.read_from,
        clock=clock,
        timeout_s=readers_timeout_s,
    )
    return replace(found, readers=on_readers.read())


@dataclass(frozen=True, slots=True)
class _Table:
    """The run's table, as it is asked for through the cluster endpoint."""

    access: DatabaseAccess
    operations: Path
    run: str
    arms: list[str]
    sessions_timeout_s: float
    clock: Clock

    def on_writer(self) -> tuple[Ledger, dict[str, Book]]:
        """Count on the writer, once no session may change it; `NotNowError` where it is none yet."""
        with connection_for(self.access, "cluster", "read the ledger") as connection:
            instance = writer_of(connection, self.access.endpoints["cluster"])
            _await_sessions_end(
                connection, self.run, self.arms, self.sessions_timeout_s, self.clock
            )
            read_at_ns = self.clock.now_ns()
            books: dict[str, Book] = {}
            counted: dict[str, ArmLedger] = {}
            for arm in self.arms:
                books[arm], counted[arm] = _account(connection, self.operations, self.run, arm)
            sums = sums_of(connection, self.run, self.arms)
            ledger = Ledger(
                arms=counted,
                read_from=instance,
                read_at_ns=read_at_ns,
                complete=True,
                sums=sums,
                sum_expected=SUM_OF_BALANCES if sums else None,
            )
            return ledger, books


def _account(
    connection: Connection, operations: Path, run: str, arm: str
) -> tuple[Book, ArmLedger]:
    ids, outcomes = attempted_writes(operations, arm)
    book = Book(ids, outcomes, tally(ids, rows_found(connection, run, arm)))
    told = count(ids, outcomes, book.on_writer)
    if told.lost:
        lost = (outcomes == Outcome.OK) & (book.on_writer.rows == 0)
        ended_ns, instances = acknowledgements(operations, arm, ids[lost])
        told = replace(
            told,
            lost_by_instance=by_name(instances),
            lost_first_ns=int(ended_ns.min()),
            lost_last_ns=int(ended_ns.max()),
        )
    if told.duplicated_ids:
        told = replace(told, duplicated_attempts=_attempts(connection, run, arm, told))
    return book, told


def _attempts(
    connection: Connection, run: str, arm: str, told: ArmLedger
) -> dict[str, tuple[int, ...]]:
    """Return which attempts left the rows of the duplicated writes that are listed."""
    statement = ATTEMPTS_AMONG.format(table=table_of(run))
    found: dict[str, tuple[int, ...]] = {}
    for write_id, attempt in connection.execute(statement, (arm, list(told.duplicated_ids))):
        found[str(write_id)] = (*found.get(str(write_id), ()), int(attempt))
    return found


def _await_sessions_end(
    connection: Connection,
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


def _on(connection: Connection, statement: str, table: str) -> None:
    connection.execute(statement.format(table=table))
