"""The ledger while traffic lasts: is what clients were told is committed still on the writer?

Every look asks the writer for the writes acknowledged since the last one; when another instance has
become the writer, for those of the last minute too, since that is where writes get lost. A write is
lost once two looks in a row did not find it.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import psycopg
from numpy.typing import NDArray

from chaos.clock import NS
from chaos.model.access import DatabaseAccess
from chaos.model.history import load_operations
from chaos.model.ledger import LostSoFar
from chaos.model.operation import PROBE_ARM, Outcome
from loadgen.ledger_connection import connection_for, writer_of
from loadgen.ledger_counts import written
from loadgen.tables import FOUND_AMONG, table_of

Ids = NDArray[np.int64]
REMEMBERED_S = 60.0
"""How far back writes are looked for again on a new writer."""
_CHUNK = 20_000


class WatchedWrites:
    """The acknowledged writes of one run; `look` is called about once a second."""

    def __init__(self, access: DatabaseAccess, folder: Path, run: str) -> None:
        """Take the way to the cluster, the run folder and the run's id."""
        self._access = access
        self._operations = folder / "operations"
        self._table = table_of(run)
        self._read: dict[str, int] = {}
        self._remembered: dict[str, deque[tuple[int, Ids]]] = {}
        self._due: dict[str, Ids] = {}
        self._missing: dict[str, Ids] = {}
        self._writer = ""
        self._checked = 0

    def look(self, now_ns: int) -> LostSoFar:
        """Ask the writer.

        Raises:
            DatabaseError: nobody leads to the writer now; the next look catches up.
        """
        with connection_for(
            self._access, "cluster", "look for acknowledged writes", statement_timeout="5s"
        ) as connection:
            writer = writer_of(connection, self._access.endpoints["cluster"])
            moved = writer != self._writer
            lost = sum(self._look_at(connection, arm, now_ns, moved=moved) for arm in self._arms())
            self._writer = writer
        return LostSoFar(checked=self._checked, lost=lost)

    def _arms(self) -> list[str]:
        stems = {path.stem for path in self._operations.glob("*.ops")}
        return sorted(stems - {PROBE_ARM})

    def _look_at(
        self, connection: psycopg.Connection, arm: str, now_ns: int, *, moved: bool
    ) -> int:
        """Look for one arm's writes and return how many were not found for the second time."""
        # What a look that failed did not come to is due until one succeeds.
        none = np.empty(0, dtype=np.int64)
        fresh = self._due[arm] = np.concatenate([self._due.get(arm, none), self._acknowledged(arm)])
        remembered = self._remembered.setdefault(arm, deque())
        before = self._missing.get(arm, none)
        wanted = [before, fresh, *(ids for _, ids in remembered if moved)]
        missing = self._not_found(connection, arm, np.unique(np.concatenate(wanted)))
        self._missing[arm], self._due[arm] = missing, none
        self._checked += len(fresh)
        remembered.append((now_ns, fresh))
        while remembered and remembered[0][0] < now_ns - REMEMBERED_S * NS:
            remembered.popleft()
        return len(np.intersect1d(missing, before))

    def _acknowledged(self, arm: str) -> Ids:
        """Return the ids of the writes that were acknowledged since the last call."""
        records = load_operations(self._operations, arm).operations
        since = self._read.get(arm, 0)
        self._read[arm] = len(records)
        new = records[since:]
        told = written(new) & (new["outcome"] == Outcome.OK)
        return np.array(new["write_id"][told], dtype=np.int64)

    def _not_found(self, connection: psycopg.Connection, arm: str, wanted: Ids) -> Ids:
        found: list[int] = []
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK].tolist()
            statement = FOUND_AMONG.format(table=self._table)
            found += [row[0] for row in connection.execute(statement, (arm, part))]
        return np.setdiff1d(wanted, np.array(found, dtype=np.int64), assume_unique=False)
