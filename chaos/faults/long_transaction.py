"""Hold a transaction open, idle, as a forgotten session does."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.faults.base import MULTI_AZ, Before, Context, Fault
from chaos.faults.sight import dead_man
from chaos.faults.targets import ONE, select
from chaos.model.topology import Topology
from chaos.safety.undo import EndSessions, Undo

_IDLE = """
SELECT application_name, extract(epoch FROM clock_timestamp() - xact_start)::float8, backend_xmin::text
FROM pg_catalog.pg_stat_activity WHERE state = 'idle in transaction'
"""


class LongTransaction(Fault):
    """Keep a session idle in a transaction, with a snapshot that vacuum must respect.

    The effect is that the server shows it older than `older_than_s`, with its xmin.
    """

    works_on: ClassVar[str] = MULTI_AZ
    undoes: ClassVar[str] = "ends the session"
    expected_s: ClassVar[float] = 10.0

    fault: Literal["long-transaction"] = "long-transaction"
    target: str = Field("writer", description=ONE)
    older_than_s: float = Field(
        5.0, gt=0, le=3600, description="So old it must be to count as long."
    )
    snapshot: bool = Field(True, description="Hold a snapshot, too, not only a transaction.")

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance that the selector means now."""
        return (select(self.target, topology).id,)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """End the session, and the transaction with it."""
        return (EndSessions(name=before.key),)

    def inject(self, context: Context, before: Before) -> None:
        """Begin the transaction, and take a snapshot for all of it."""
        level = "REPEATABLE READ" if self.snapshot else "READ COMMITTED"
        statements = (f"SET TRANSACTION ISOLATION LEVEL {level}", dead_man(self), "SELECT 1")
        context.database.hold(before.key, before.target, statements)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target, with the age and the xmin, once it is old enough."""
        for name, age_s, xmin in context.database.query(before.target, _IDLE):
            if name != before.key:
                continue
            if age_s >= self.older_than_s and (xmin or not self.snapshot):
                return (
                    f"{before.target}: idle in a transaction for {age_s:.1f} s, xmin {xmin or '-'}"
                )
        return None
