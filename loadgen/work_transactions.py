"""Work of several statements in one transaction, and of money that must add up.

A transaction leaves one row in the table of writes, as a single write does, so that the ledger
accounts for it. Clients that repeat without a key duplicate row and effect; those with a key see by
the row that it had been committed, and change nothing again.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from chaos.model.operation import NO_WRITE_ID, Kind
from chaos.model.record import Observation
from loadgen.drivers.base import Session, Statement
from loadgen.tables import (
    ACCOUNTS,
    CONFIRM,
    MOVE,
    READ,
    READ_SUM,
    ROW,
    ROW_KEYED,
    WriteIds,
)
from loadgen.work import Work

AMOUNT_MAX = 10
"""The most that one transfer moves."""


class ReadInsertUpdate(Work):
    """Reads its arm's newest row, inserts one and updates it, in one transaction on the writer."""

    kind = Kind.TRANSACTION
    endpoint = "cluster"
    commits = True

    def __init__(self, arm: str, table: str, ids: WriteIds, *, keyed: bool) -> None:
        self._arm = arm
        self._ids = ids
        self._read = Statement(READ.format(table=table), rows=True)
        self._insert = Statement((ROW_KEYED if keyed else ROW).format(table=table), rows=True)
        self._update = Statement(CONFIRM.format(table=table))
        self._write_id = NO_WRITE_ID

    def begin(self) -> int:
        """Take the next id."""
        self._write_id = self._ids.next()
        return self._write_id

    def execute(self, session: Session, attempt: int) -> int:
        """Send the three statements; only the first where it had been committed."""
        which = {"arm": self._arm, "write_id": self._write_id}
        session.execute(self._read, {"arm": self._arm})
        if session.execute(self._insert, {**which, "attempt": attempt}):
            session.execute(self._update, which)
        return self._write_id


class Transfer(Work):
    """Moves an amount between two accounts and notes it down, in one transaction on the writer."""

    kind = Kind.TRANSACTION
    endpoint = "cluster"
    commits = True

    def __init__(
        self,
        arm: str,
        table: str,
        accounts: str,
        ids: WriteIds,
        *,
        keyed: bool,
        draw: random.Random,
    ) -> None:
        self._arm = arm
        self._ids = ids
        self._draw = draw
        self._note = Statement((ROW_KEYED if keyed else ROW).format(table=table), rows=True)
        self._move = Statement(MOVE.format(accounts=accounts))
        self._write_id = NO_WRITE_ID
        self._moves: tuple[tuple[int, int], ...] = ()

    def begin(self) -> int:
        """Take the next id, two accounts and an amount; every attempt moves the same."""
        one, other = self._draw.sample(range(1, ACCOUNTS + 1), 2)
        amount = self._draw.randint(1, AMOUNT_MAX)
        # In the order of their numbers: two transfers can wait for each other, and never in a ring.
        self._moves = tuple(sorted(((one, -amount), (other, amount))))
        self._write_id = self._ids.next()
        return self._write_id

    def execute(self, session: Session, attempt: int) -> int:
        """Note the transfer down and carry it out; nothing where it had been committed."""
        noted = session.execute(
            self._note, {"arm": self._arm, "write_id": self._write_id, "attempt": attempt}
        )
        if noted:
            for account, amount in self._moves:
                session.execute(
                    self._move, {"arm": self._arm, "account": account, "amount": amount}
                )
        return self._write_id


class SumsSeen:
    """What the balances of one arm added up to on each instance; every change is an observation."""

    def __init__(
        self, arm: str, observe: Callable[[Observation], None], now_ns: Callable[[], int]
    ) -> None:
        self._arm = arm
        self._observe = observe
        self.now_ns = now_ns
        self._seen: dict[str, tuple[str, int]] = {}

    def add(self, instance: str, value: str, *, began_ns: int, ended_ns: int) -> None:
        """Take a sum that a read between two instants returned.

        Raises:
            OSError: it cannot be recorded.
        """
        before, since_ns = self._seen.get(instance, ("", None))
        if value == before:
            since_ns = max(since_ns or 0, began_ns)
        else:
            self._observe(
                Observation(
                    at_ns=ended_ns,
                    since_ns=since_ns,
                    kind="sum",
                    subject=self._arm,
                    value=value,
                    detail={"instance": instance},
                )
            )
            since_ns = began_ns
        self._seen[instance] = (value, since_ns)


class SumBalances(Work):
    """Adds up every balance of its arm in one statement, so in one snapshot, on a reader."""

    kind = Kind.READ
    endpoint = "reader"
    commits = False

    def __init__(self, arm: str, table: str, accounts: str, seen: SumsSeen) -> None:
        self._parameters = {"arm": arm}
        self._seen = seen
        self._statement = Statement(READ_SUM.format(table=table, accounts=accounts), rows=True)

    def begin(self) -> int:
        """Write nothing."""
        return NO_WRITE_ID

    def execute(self, session: Session, attempt: int) -> int:  # noqa: ARG002 - reads are all alike
        """Note the sum down; returns the newest write id of the same snapshot."""
        began_ns = self._seen.now_ns()
        ((total, newest),) = session.execute(self._statement, self._parameters)
        value = "none" if total is None else str(int(total))
        self._seen.add(
            session.seat.instance, value, began_ns=began_ns, ended_ns=self._seen.now_ns()
        )
        return NO_WRITE_ID if newest is None else int(newest)
