"""Hold a lock that the application needs, in a transaction that does nothing else."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import DatabaseError, GuardRefused
from chaos.faults.base import MULTI_AZ, Before, Context, Fault
from chaos.faults.sight import dead_man
from chaos.model.topology import Topology
from chaos.safety.undo import EndSessions, Undo

_LOCKED = "55P03"
_OURS = (
    "SELECT format('%I.%I', schemaname, tablename) FROM pg_catalog.pg_tables "
    "WHERE schemaname = 'gameday' ORDER BY 1"
)
# Lock -> what takes it, and what waits for it.
_STATEMENTS = {
    "access-exclusive": (
        "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE {} IN ACCESS SHARE MODE",
    ),
    "exclusive": ("LOCK TABLE {} IN EXCLUSIVE MODE", "LOCK TABLE {} IN ROW EXCLUSIVE MODE"),
    "rows": ("SELECT count(*) FROM (SELECT FROM {} FOR UPDATE) r", "PERFORM FROM {} FOR UPDATE"),
}


class BlockWithLock(Fault):
    """Lock tables on the writer, as a migration or a forgotten session does.

    The effect is that a statement which needs the tables does not get them (SQLSTATE 55P03).
    """

    works_on: ClassVar[str] = MULTI_AZ
    undoes: ClassVar[str] = "ends the session that holds the lock"
    expected_s: ClassVar[float] = 5.0

    fault: Literal["block-with-lock"] = "block-with-lock"
    table: str | None = Field(
        None,
        pattern=r"^[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)?$",
        description="A table, with its schema. Absent: those that the run's own traffic writes.",
    )
    lock: Literal["access-exclusive", "exclusive", "rows"] = Field(
        "access-exclusive",
        description="`access-exclusive` stops reads and writes on the writer, `exclusive` writes, "
        "`rows` changes of the rows that there are.",
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the writer, which alone has locks that matter."""
        if topology.writer is None:
            raise GuardRefused(f"block-with-lock: {topology.cluster} has no writer now")
        return (topology.writer.id,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> None:
        """Refuse a named table that there is not; those of a run come with its traffic."""
        if self.table is not None:
            known = f"SELECT to_regclass('{self.table}') IS NOT NULL"
            if context.database.query(targets[0], known) == [(False,)]:
                raise GuardRefused(
                    f"block-with-lock: {targets[0]} has no table {self.table}; name one of the "
                    "database that the traffic uses"
                )

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """End the session, and the transaction with it."""
        return (EndSessions(name=before.key),)

    def inject(self, context: Context, before: Before) -> None:
        """Take the lock, which waits for transactions under way, a few seconds at most."""
        locking, _ = _STATEMENTS[self.lock]
        tables = self._tables(context, before)
        statements = (dead_man(self), *(locking.format(table) for table in tables))
        context.database.hold(before.key, before.target, statements)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once the lock keeps a statement from each table."""
        _, needing = _STATEMENTS[self.lock]
        for table in self._tables(context, before):
            waiting = f"{needing.format(table)} NOWAIT"
            try:
                context.database.query(before.target, f"DO $$ BEGIN {waiting}; END $$")
            except DatabaseError as error:
                if error.sqlstate != _LOCKED:
                    raise
            else:
                return None
        return before.target

    def _tables(self, context: Context, before: Before) -> tuple[str, ...]:
        if self.table is not None:
            return (self.table,)
        found = tuple(str(name) for (name,) in context.database.query(before.target, _OURS))
        if not found:
            raise GuardRefused(
                f"block-with-lock: {before.target} has no table of a run that this user sees; name "
                "one of the database that the traffic uses"
            )
        return found
