"""Hold sessions until the server lets nobody in any more."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import DatabaseError, GuardRefused
from chaos.faults.base import MULTI_AZ, Before, Context, Fault
from chaos.faults.targets import ONE, select
from chaos.model.topology import Topology
from chaos.safety.undo import EndSessions, Undo

_TOO_MANY = "53300"
# What is left to ordinary users: neither the superuser's nor the service's own reserve, which PostgreSQL
# 16 and Aurora have beside it. The session that asks will be free again.
_FREE = """
SELECT 1 + current_setting('max_connections')::int
    - (SELECT coalesce(sum(setting::int), 0) FROM pg_catalog.pg_settings WHERE name IN (
        'superuser_reserved_connections', 'reserved_connections',
        'rds.rds_superuser_reserved_connections'))
    - (SELECT count(*) FROM pg_catalog.pg_stat_activity
       WHERE coalesce(backend_type, 'client backend') = 'client backend')
"""


class ExhaustConnections(Fault):
    """Open sessions as the application's user until the server refuses one, then give some back.

    Who has a session keeps it, who needs a new one is refused. The effect is that refusal (SQLSTATE
    53300), or with `leave` that no more are free.
    """

    works_on: ClassVar[str] = MULTI_AZ
    undoes: ClassVar[str] = "closes the sessions"
    expected_s: ClassVar[float] = 60.0

    fault: Literal["exhaust-connections"] = "exhaust-connections"
    target: str = Field("writer", description=ONE)
    leave: int = Field(0, ge=0, le=1000, description="So many connections are left free.")
    sessions_max: int = Field(
        6000, ge=1, le=20_000, description="No more sessions are opened, come what may."
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance that the selector means now."""
        return (select(self.target, topology).id,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> int:
        """Count the free connections; refuse where there are no more than are to be left."""
        ((free,),) = context.database.query(targets[0], _FREE)
        if free <= self.leave:
            raise GuardRefused(
                f"exhaust-connections: {targets[0]} has {max(0, free)} free connections already; end "
                "some sessions, or the fault has no effect"
            )
        return int(free)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """End the sessions."""
        return (EndSessions(name=before.key),)

    def inject(self, context: Context, before: Before) -> None:
        """Take all there are, and give back what is to be left."""
        context.database.hold(before.key, before.target, (), sessions=self.sessions_max)
        context.database.drop(before.key, self.leave)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once a session is refused, or no more are left than wanted."""
        try:
            ((free,),) = context.database.query(before.target, _FREE)
        except DatabaseError as error:
            if error.sqlstate == _TOO_MANY:
                return before.target
            raise
        return before.target if self.leave and free <= self.leave else None

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and the target lets more in than before."""
        back = super().is_recovered(context, before)
        return back and context.database.query(before.target, _FREE)[0][0] > self.leave
