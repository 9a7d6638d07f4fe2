"""Give an instance another class with `ModifyDBInstance`: it restarts with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import MULTI_AZ, Before, Context, Fault, effect_within, recovered_within
from chaos.faults.restarts import restarted, started
from chaos.faults.targets import ONE, select
from chaos.model.topology import Topology
from chaos.safety.calls import Call
from chaos.safety.undo import SetInstance, Undo

_SETTING = "DBInstanceClass"


class ChangeInstanceClass(Fault):
    """Call `ModifyDBInstance` with ApplyImmediately and another class.

    The effect is that the API shows the class and the server says that it started later than before.
    """

    works_on: ClassVar[str] = MULTI_AZ
    undoes: ClassVar[str] = "gives it back its class, with another restart"
    expected_s: ClassVar[float] = 900.0

    fault: Literal["change-instance-class"] = "change-instance-class"
    target: str = Field("any reader", description=ONE)
    instance_class: str = Field(
        pattern=r"^db\.[a-z0-9.-]+$", description="The class that it gets, such as db.r6g.xlarge."
    )
    effect_timeout_s: float = effect_within(1800.0)
    recovery_timeout_s: float = recovered_within(1800.0)

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance; refuse one that has the class, or waits for another."""
        member = select(self.target, topology)
        if member.instance_class == self.instance_class:
            raise GuardRefused(
                f"change-instance-class: {member.id} is of class {self.instance_class} already; "
                "choose another, or the fault has no effect"
            )
        if _SETTING in member.pending:
            raise GuardRefused(
                f"change-instance-class: {member.id} waits to become {member.pending[_SETTING]}; "
                "have that applied or withdrawn before this run"
            )
        return (member.id,)

    def see(
        self, context: Context, topology: Topology, targets: tuple[str, ...]
    ) -> Mapping[str, datetime]:
        """Ask the instance since when it runs."""
        return started(context, targets)

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Give it back its class."""
        member = before.topology.member(before.target)
        assert member is not None, "resolve"
        return (
            SetInstance(
                instance=member.id,
                setting=_SETTING,
                value=member.instance_class,
                run_value=self.instance_class,
            ),
        )

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one change."""
        return (Call("ModifyDBInstance"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the class once."""
        context.rds.modify_instance(before.target, {_SETTING: self.instance_class})

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once the API shows the class and its server has restarted."""
        member = context.rds.topology().member(before.target)
        shown = member is not None and member.instance_class == self.instance_class
        return restarted(context, before) if shown else None
