"""What one operation does: the statements of a kind of request, without knowing any driver.

A `Work` belongs to one user and is asked for one operation at a time. It never retries and never
commits: the client does, so that an attempt's outcome follows from how far it came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from chaos.model.operation import NO_WRITE_ID, Kind
from loadgen.drivers.base import Session, Statement
from loadgen.tables import READ, READ_TOLD, WRITE, WRITE_KEYED, WriteIds


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

    def acknowledged(self, write_id: int) -> None:  # noqa: B027 - most have nobody to tell
        """Hear that the operation succeeded, its commit confirmed."""


class Told:
    """What the clients of one arm and process have been told is committed."""

    def __init__(self) -> None:
        self.newest = NO_WRITE_ID
        """The greatest write id among it."""

    def add(self, write_id: int) -> None:
        """Add a write."""
        self.newest = max(self.newest, write_id)


class InsertRow(Work):
    """Inserts one row with an id of its own through the cluster endpoint."""

    kind = Kind.WRITE
    endpoint = "cluster"
    commits = True

    def __init__(
        self, arm: str, table: str, ids: WriteIds, *, keyed: bool, told: Told | None = None
    ) -> None:
        self._arm = arm
        self._ids = ids
        self._told = told
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

    def acknowledged(self, write_id: int) -> None:
        """Let those who read their own writes know."""
        if self._told is not None:
            self._told.add(write_id)


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


class ReadTold(Work):
    """Reads what its arm has been told is committed, by its key; through any endpoint."""

    kind = Kind.READ
    commits = False

    def __init__(self, arm: str, table: str, told: Told, *, endpoint: str) -> None:
        self.endpoint = endpoint
        self._arm = arm
        self._told = told
        self._statement = Statement(READ_TOLD.format(table=table), rows=True)
        self._asked = NO_WRITE_ID

    def begin(self) -> int:
        """Ask for what is the newest by now; write nothing."""
        self._asked = self._told.newest
        return NO_WRITE_ID

    def execute(self, session: Session, attempt: int) -> int:  # noqa: ARG002 - reads are all alike
        """Return the newest write id seen: one below what was asked for shows that it is missing.

        Never less than the newest, or a write that overtook the missing one would seem missing too.
        The row that was asked for is not looked at: it makes the server look it up by its key.
        """
        ((newest, _),) = session.execute(self._statement, {"arm": self._arm, "told": self._asked})
        return NO_WRITE_ID if newest is None else int(newest)
