"""What one operation does: the statements of a kind of request, without knowing any driver.

A `Work` belongs to one user and is asked for one operation at a time. It never retries and never
commits: the client does, so that an attempt's outcome follows from how far it came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from chaos.model.operation import NO_WRITE_ID, Kind
from loadgen.drivers.base import Session, Statement
from loadgen.tables import READ, WRITE, WRITE_KEYED, WriteIds


class Work(ABC):
    """One kind of operation on one endpoint."""

    kind: Kind
    endpoint: str
    commits: bool
    """Whether the client commits after `execute`."""

    @abstractmethod
    def begin(self) -> int:
        """Prepare the next operation; returns the id of the write it will make, or `NO_WRITE_ID`."""

    @abstractmethod
    def execute(self, session: Session, attempt: int) -> int:
        """Send the statements of attempt 1..n; returns the write id written, or the newest seen."""


class InsertRow(Work):
    """Inserts one row with an id of its own through the cluster endpoint."""

    kind = Kind.WRITE
    endpoint = "cluster"
    commits = True

    def __init__(self, arm: str, table: str, ids: WriteIds, *, keyed: bool) -> None:
        self._arm = arm
        self._ids = ids
        self._statement = Statement((WRITE_KEYED if keyed else WRITE).format(table=table))
        self._write_id = NO_WRITE_ID

    def begin(self) -> int:
        """Take the next id."""
        self._write_id = self._ids.next()
        return self._write_id

    def execute(self, session: Session, attempt: int) -> int:
        """Insert the row."""
        session.execute(
            self._statement, {"arm": self._arm, "write_id": self._write_id, "attempt": attempt}
        )
        return self._write_id


class ReadNewest(Work):
    """Reads its arm's newest row through the reader endpoint."""

    kind = Kind.READ
    endpoint = "reader"
    commits = False

    def __init__(self, arm: str, table: str) -> None:
        self._parameters = {"arm": arm}
        self._statement = Statement(READ.format(table=table), rows=True)

    def begin(self) -> int:
        """Write nothing."""
        return NO_WRITE_ID

    def execute(self, session: Session, attempt: int) -> int:  # noqa: ARG002 - reads are all alike
        """Return the newest write id that this connection shows."""
        rows = session.execute(self._statement, self._parameters)
        return int(rows[0][0]) if rows else NO_WRITE_ID
