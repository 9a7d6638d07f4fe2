"""The ledger on every other instance: does it hold what the writer holds?

Once the writes on the writer are counted, a mark is written there: a row of the run's table, of no
arm. Physical replication shows commits in their order, so an instance that shows the mark shows all
that was committed before it. Each is given a bounded time to show it, and is read whether it did or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chaos.clock import NS, Clock
from chaos.errors import DatabaseError, WaitTimeout
from chaos.model.access import DatabaseAccess
from chaos.model.ledger import ReaderLedger
from chaos.model.operation import Outcome, Role
from chaos.wait import wait_until
from loadgen.ledger_connection import Connection, connection_for
from loadgen.ledger_counts import (
    SHOWN_MAX,
    Found,
    Ids,
    Tally,
    acknowledgements,
    number,
    shown,
    tally,
)
from loadgen.seats import Identity, identify
from loadgen.tables import (
    ACCOUNTS_EXIST,
    BALANCES_SUM,
    FOUND,
    MARK,
    MARKED,
    accounts_of,
    table_of,
)

READERS_TIMEOUT_S = 15.0
"""How long all the readers together are waited for; Aurora's are usually behind by less than 0.1 s."""
CHUNK = 20_000
"""Rows fetched at a time."""
_RETRY_S = 0.2
_NO_TABLE = "42P01"
_PURPOSE = "read the ledger"


@dataclass(frozen=True, slots=True)
class Book:
    """One arm's attempted writes, and what the writer holds of them."""

    ids: Ids
    outcomes: NDArray[np.uint8]
    on_writer: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class OnReaders:
    """Reads the ledger of one run on the instances other than its writer."""

    access: DatabaseAccess
    run: str
    operations: Path
    books: Mapping[str, Book]
    writer: str
    clock: Clock
    timeout_s: float = READERS_TIMEOUT_S

    def read(self) -> Mapping[str, ReaderLedger]:
        """Return what each holds, by instance; raises nothing: what could not be read says so."""
        others = [one for one in self.access.instances if one != self.writer]
        if not others:
            return {}
        mark, unmarked = self.clock.now_ns(), ""
        try:
            with connection_for(self.access, "cluster", "mark the end of the writes") as connection:
                connection.execute(MARK.format(table=table_of(self.run)), (mark,))
        except DatabaseError as error:
            unmarked = str(error)
        until_ns = self.clock.now_ns() + round(self.timeout_s * NS)
        told = {one: self._read(one, mark, unmarked, until_ns) for one in others}
        return {one: reader for one, reader in told.items() if reader is not None}

    def _read(self, instance: str, mark: int, unmarked: str, until_ns: int) -> ReaderLedger | None:
        """Return what one instance holds; None where its name leads to the writer."""
        began_ns = self.clock.now_ns()
        why = unmarked or f"{instance} was read before it showed the last write"
        if not unmarked:
            try:
                wait_until(
                    lambda: self._shows(instance, mark),
                    f"{instance} to show the last write",
                    timeout_s=max(0, until_ns - began_ns) / NS,
                    interval_s=_RETRY_S,
                    errors=(DatabaseError,),
                    clock=self.clock,
                )
            except WaitTimeout as error:
                why = str(error)
        caught_up = False
        try:
            with connection_for(self.access, instance, _PURPOSE) as connection:
                reached = identify(connection)
                if reached.instance == self.writer:
                    return None
                # Of this very connection: the name may have led elsewhere while it was waited for.
                caught_up = not unmarked and self._marked(connection, mark)
                found = self._held(connection, reached)
        except DatabaseError as error:
            if error.sqlstate != _NO_TABLE:
                return ReaderLedger(why=str(error), read_at_ns=self.clock.now_ns())
            found = self._without_table()
        return replace(found, caught_up=caught_up, why="" if caught_up else why)

    def _shows(self, instance: str, mark: int) -> bool:
        """Tell whether there is nothing more to wait for: it is the writer, or shows the mark."""
        with connection_for(self.access, instance, _PURPOSE) as connection:
            return identify(connection).instance == self.writer or self._marked(connection, mark)

    def _marked(self, connection: Connection, mark: int) -> bool:
        row = connection.execute(MARKED.format(table=table_of(self.run)), (mark,)).fetchone()
        return row is not None

    def _held(self, connection: Connection, reached: Identity) -> ReaderLedger:
        read_at_ns = self.clock.now_ns()
        tallies = {
            arm: tally(book.ids, rows_found(connection, self.run, arm))
            for arm, book in self.books.items()
        }
        told = self._compared(tallies, read_at_ns)
        sums = sums_of(connection, self.run, self.books)
        return replace(told, is_writer=reached.role is Role.WRITER, sums=sums)

    def _without_table(self) -> ReaderLedger:
        """Return what an instance lacks that never got the run's table: all of it."""
        nothing = {
            arm: Tally(np.zeros(len(book.ids), dtype=np.uint8), 0)
            for arm, book in self.books.items()
        }
        return self._compared(nothing, self.clock.now_ns())

    def _compared(self, tallies: Mapping[str, Tally], read_at_ns: int) -> ReaderLedger:
        missing_by_arm: dict[str, int] = {}
        extra, first_ns = 0, read_at_ns
        ids: list[int] = []
        for arm, on_reader in tallies.items():
            book = self.books[arm]
            there, here = book.on_writer.rows > 0, on_reader.rows > 0
            missing = (book.outcomes == Outcome.OK) & there & ~here
            extra += number(here & ~there) + max(0, on_reader.strays - book.on_writer.strays)
            missing_by_arm[arm] = number(missing)
            if missing_by_arm[arm]:
                ids += shown(book.ids, missing)
                ended_ns, _ = acknowledgements(self.operations, arm, book.ids[missing])
                first_ns = min(first_ns, int(ended_ns.min()))
        total = sum(missing_by_arm.values())
        return ReaderLedger(
            complete=True,
            read_at_ns=read_at_ns,
            missing=total,
            extra=extra,
            missing_ids=tuple(sorted(ids)[:SHOWN_MAX]),
            missing_by_arm=missing_by_arm,
            behind_s=(read_at_ns - first_ns) / NS if total else None,
        )


def rows_found(connection: Connection, run: str, arm: str) -> Iterator[Found]:
    """Yield every write id of the arm that the table holds, in ascending order, in chunks."""
    with connection.cursor(name="ledger") as cursor:
        cursor.execute(FOUND.format(table=table_of(run)), (arm,))
        while chunk := cursor.fetchmany(CHUNK):
            columns = np.array(chunk, dtype=np.int64)
            yield columns[:, 0], columns[:, 1]


def sums_of(connection: Connection, run: str, arms: Iterable[str]) -> Mapping[str, int]:
    """Return the sum of each arm's accounts; none of an arm that has no accounts."""
    row = connection.execute(ACCOUNTS_EXIST, (accounts_of(run),)).fetchone()
    if row is None or not row[0]:
        return {}
    statement = BALANCES_SUM.format(table=accounts_of(run))
    rows = {arm: connection.execute(statement, (arm,)).fetchone() for arm in arms}
    return {arm: int(row[0]) for arm, row in rows.items() if row is not None and row[0] is not None}
