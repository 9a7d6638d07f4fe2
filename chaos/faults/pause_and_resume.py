"""Let every instance of a Serverless v2 cluster pause at 0 ACU, then wake it by a connection.

Instances only pause without a user's session, so the run's own traffic and probes stand still until
the hold is over. Their first operations after it are what wakes the cluster, and feel it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.acu import READS, Minute, newest_minute
from chaos.faults.base import Before, Context, effect_within
from chaos.faults.of_capacity import OfCapacity, restoring, shown, why_not
from chaos.model.serverless import (
    PAUSE_AFTER_MAX_S,
    PAUSE_AFTER_MIN_S,
    SERVERLESS_CLASS,
    refusal,
    serverless_members,
)
from chaos.model.topology import Capacity, Topology
from chaos.safety.calls import Call
from chaos.safety.undo import Undo

_STRANGERS = """
SELECT usename, application_name, host(client_addr), count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename <> 'rdsadmin'
GROUP BY 1, 2, 3 ORDER BY 4 DESC
"""
_NAMED_MAX = 3


class PauseAndResume(OfCapacity):
    """Call `ModifyDBCluster` with a minimum of 0 and a short idle time, and ask the cluster nothing.

    The effect is a capacity of 0 of every instance, as CloudWatch tells. After `hold_s` traffic goes
    on, and its connections wake the instances; then the bounds are restored.
    """

    reads: ClassVar[tuple[Call, ...]] = READS
    undoes: ClassVar[str] = "restores the bounds and the idle time"
    expected_s: ClassVar[float] = 600.0
    looks_every_s: ClassVar[float] = 1.0

    fault: Literal["pause-and-resume"] = "pause-and-resume"
    pause_after_s: int = Field(
        PAUSE_AFTER_MIN_S,
        ge=PAUSE_AFTER_MIN_S,
        le=PAUSE_AFTER_MAX_S,
        description="Idle seconds after which they pause; 300 is the least that AWS has.",
    )
    effect_timeout_s: float = effect_within(1200.0)

    def _wanted(self, topology: Topology) -> Capacity:
        assert topology.capacity is not None, "resolve"
        most = topology.capacity.max_acu
        return Capacity(min_acu=0, max_acu=most, pause_after_s=self.pause_after_s)

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the cluster; refuse one that never pauses."""
        why = refusal(topology, Capacity(min_acu=0, max_acu=1))
        if why is None and len(serverless_members(topology)) < len(topology.members):
            others = [m.id for m in topology.members if m.instance_class != SERVERLESS_CLASS]
            why = (
                f"{', '.join(others)} of cluster {topology.cluster} is provisioned, which keeps the "
                "writer awake"
            )
        if why:
            raise GuardRefused(f"{self.fault}: {why}")
        return (topology.cluster,)

    def see(
        self, context: Context, topology: Topology, targets: tuple[str, ...]
    ) -> Mapping[str, Minute]:
        """Read the capacities of before; refuse a member of a global cluster."""
        worldwide = context.rds.global_cluster()
        if worldwide is not None:
            raise GuardRefused(
                f"{self.fault}: cluster {topology.cluster} is in global cluster {worldwide.id}, which "
                "keeps it awake"
            )
        return newest_minute(context.rds)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Restore bounds and idle time; nothing where they are as the fault wants them."""
        if shown(before.topology, self._wanted(before.topology)):
            return ()
        return (restoring(before, self._wanted(before.topology)),)

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one change, where one is needed."""
        return (Call("ModifyDBCluster"),) if self.undo(before) else ()

    def inject(self, context: Context, before: Before) -> None:
        """Request the bounds once; whatever is answered, leave the cluster alone from now on."""
        try:
            if self.calls(before):
                context.rds.set_capacity(self._wanted(before.topology))
        finally:
            if context.load is not None:
                context.load.pause()

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the cluster once every instance is at 0 ACU."""
        minutes = newest_minute(context.rds)
        paused = all(
            (minute := minutes.get(m.id)) and minute.came_down_to(0, before.seen.get(m.id))
            for m in serverless_members(before.topology)
        )
        return before.target if paused else None

    def forgotten(self, context: Context, before: Before) -> bool:
        """Tell whether the bounds do not even show."""
        now = context.rds.topology()
        return not shown(now, self._wanted(before.topology)) and super().forgotten(context, before)

    def why_none(self, context: Context, before: Before) -> str:
        """Tell whose sessions keep the instances awake; asking is a session, and wakes them."""
        told = [
            f"{count} of {user} ({application or 'no application_name'} from {address}) on {m.id}"
            for m in before.topology.members
            for user, application, address, count in context.database.query(m.id, _STRANGERS)
        ]
        if told:
            more = f" and {len(told) - _NAMED_MAX} more" if len(told) > _NAMED_MAX else ""
            return f"sessions keep it awake: {', '.join(told[:_NAMED_MAX])}{more}"
        return why_not(context, before, self._wanted(before.topology))

    def release(self, context: Context, before: Before) -> None:
        """Let traffic and probes go on."""
        if context.load is not None:
            context.load.resume()

    def is_released(self, context: Context, before: Before) -> bool:
        """Tell whether every instance serves; the question itself is a connection that wakes."""
        return all(context.database.identify(m.id) for m in before.topology.members)
