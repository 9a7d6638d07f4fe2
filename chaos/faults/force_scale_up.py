"""Drive load on one Serverless v2 instance until its capacity has risen."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.acu import READS, Minute, newest_minute
from chaos.faults.base import SERVERLESS, Before, Context, Fault, effect_within
from chaos.faults.targets import select
from chaos.model.serverless import ACU_MAX, SERVERLESS_CLASS, STEP_ACU
from chaos.model.topology import Topology
from chaos.safety.calls import Call
from chaos.safety.undo import EndSessions, Undo

_BUSY = "SELECT max(md5(n::text)) FROM generate_series(1, 50000) AS n"
"""Some hundredths of a second of a processor, and no table."""
_MARGIN_S = 60.0


class ForceScaleUp(Fault):
    """Run short statements in a loop, in sessions of our own, that need nothing but processor time.

    The effect is a capacity that is higher than before by `rise_acu`, as CloudWatch tells. Recovery
    ends the sessions; the capacity then falls when the service thinks fit, and is not waited for.
    """

    works_on: ClassVar[str] = SERVERLESS
    reads: ClassVar[tuple[Call, ...]] = READS
    undoes: ClassVar[str] = "ends its sessions; the bounds allow the capacity to fall again"
    expected_s: ClassVar[float] = 180.0
    looks_every_s: ClassVar[float] = 1.0

    fault: Literal["force-scale-up"] = "force-scale-up"
    target: str = Field(
        "writer", description="`writer`, `any reader`, `reader:tier=N` or an instance identifier."
    )
    rise_acu: float = Field(
        1.0,
        gt=0,
        le=ACU_MAX,
        multiple_of=STEP_ACU,
        description="By how much the capacity must rise, in ACU.",
    )
    sessions: int = Field(4, ge=1, le=256, description="How many sessions drive load.")
    effect_timeout_s: float = effect_within(600.0)

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance that the selector means now; refuse one without a capacity."""
        member = select(self.target, topology)
        if topology.capacity is None or member.instance_class != SERVERLESS_CLASS:
            raise GuardRefused(
                f"{self.fault}: {member.id} is {member.instance_class}, not {SERVERLESS_CLASS}, and "
                "its capacity never changes"
            )
        return (member.id,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Minute:
        """Read the capacity of before; refuse where it has no room to rise."""
        minute = newest_minute(context.rds).get(targets[0])
        if minute is None:
            raise GuardRefused(
                f"{self.fault}: CloudWatch has no ServerlessDatabaseCapacity of {targets[0]} in the "
                "last minutes, so no rise could be told; wait for one, or check that it is running"
            )
        assert topology.capacity is not None, "resolve"
        if minute.highest + self.rise_acu > topology.capacity.max_acu:
            raise GuardRefused(
                f"{self.fault}: {targets[0]} had up to {minute.highest:g} ACU and may have "
                f"{topology.capacity.max_acu:g}: it cannot rise by {self.rise_acu:g}; lower "
                "rise_acu, or raise the maximum"
            )
        return minute

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """End the sessions."""
        return (EndSessions(name=before.key),)

    def inject(self, context: Context, before: Before) -> None:
        """Begin the load; it ends by itself once its time is over, or with this process."""
        context.database.spin(
            before.key,
            before.target,
            _BUSY,
            sessions=self.sessions,
            for_s=self.effect_timeout_s + self.hold_s + _MARGIN_S,
        )

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the instance once CloudWatch shows it so much higher."""
        minute = newest_minute(context.rds).get(before.target)
        risen = minute is not None and minute.highest >= before.seen.highest + self.rise_acu
        return before.target if risen else None

    def why_none(self, context: Context, before: Before) -> str:
        """Tell how far it came, and whether the load was there."""
        minute = newest_minute(context.rds).get(before.target)
        told = f"at {minute}" if minute else "without a capacity"
        return (
            f"CloudWatch shows {before.target} {told}, before it was at {before.seen}; "
            f"{context.database.held(before.key)} of {self.sessions} sessions drive load"
        )

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether the load is off and every member available; the capacity may still be up."""
        return not context.database.held(before.key) and super().is_recovered(context, before)
