"""Undo records of instances: created, deleted, changed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Literal

from chaos.safety.calls import Call
from chaos.safety.ports import Restorer
from chaos.safety.undo.base import NEEDED, RIGHT, Look, UndoRecord, left, waiting

_OPTIONS = {
    "DBInstanceClass": "--db-instance-class",
    "Engine": "--engine",
    "AvailabilityZone": "--availability-zone",
    "PromotionTier": "--promotion-tier",
    "DBParameterGroupName": "--db-parameter-group-name",
}


class CreateInstance(UndoRecord):
    """Create an instance again as it was."""

    action: Literal["create-instance"] = "create-instance"
    instance: str
    settings: dict[str, Any]
    """Members of CreateDBInstance, as `Member.settings` holds them."""

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        options = [
            f"{option} {shlex.quote(str(self.settings[name]))}"
            for name, option in _OPTIONS.items()
            if name in self.settings
        ]
        tags = [f"Key={t['Key']},Value={t['Value']}" for t in self.settings.get("Tags", ())]
        if tags:
            options.append(f"--tags {' '.join(map(shlex.quote, tags))}")
        return (
            f"aws rds create-db-instance --db-instance-identifier {self.instance} "
            f"--db-cluster-identifier {cluster} {' '.join(options)}"
        )

    def calls(self) -> tuple[Call, ...]:
        """Return CreateDBInstance, with what tags need."""
        return (Call("CreateDBInstance"),)

    def look(self, restorer: Restorer) -> Look:
        """Right while the cluster lists it as available."""
        member = restorer.rds.topology().member(self.instance)
        if member is None:
            return NEEDED
        return RIGHT if member.status == "available" else waiting(f"it is {member.status}")

    def send(self, restorer: Restorer) -> None:
        """Request the creation."""
        restorer.rds.create_instance(self.instance, self.settings)


class DeleteInstance(UndoRecord):
    """Delete an instance that the run added."""

    action: Literal["delete-instance"] = "delete-instance"
    instance: str

    def command(self, cluster: str) -> str:  # noqa: ARG002 - the instance says it all
        """Return what a person would type."""
        return f"aws rds delete-db-instance --db-instance-identifier {self.instance}"

    def calls(self) -> tuple[Call, ...]:
        """Return DeleteDBInstance."""
        return (Call("DeleteDBInstance"),)

    def look(self, restorer: Restorer) -> Look:
        """Right once the cluster does not list it; it is never deleted while it is the writer."""
        topology = restorer.rds.topology()
        member = topology.member(self.instance)
        if member is None:
            return RIGHT
        if member.status != "available":
            return waiting(f"it is {member.status}")
        if topology.writer == member:
            return waiting("it is the writer; fail over to another instance first")
        return NEEDED

    def send(self, restorer: Restorer) -> None:
        """Request the deletion."""
        restorer.rds.delete_instance(self.instance)


class SetInstance(UndoRecord):
    """Give an instance back the class or promotion tier that it had."""

    action: Literal["set-instance"] = "set-instance"
    instance: str
    setting: Literal["DBInstanceClass", "PromotionTier"]
    value: str | int
    run_value: str | int
    """What the run set."""

    def command(self, cluster: str) -> str:  # noqa: ARG002 - the instance says it all
        """Return what a person would type."""
        return (
            f"aws rds modify-db-instance --db-instance-identifier {self.instance} "
            f"{_OPTIONS[self.setting]} {self.value} --apply-immediately"
        )

    def calls(self) -> tuple[Call, ...]:
        """Return ModifyDBInstance."""
        return (Call("ModifyDBInstance"),)

    def look(self, restorer: Restorer) -> Look:
        """Right while it has the old value, needed while it has the run's."""
        member = restorer.rds.topology().member(self.instance)
        if member is None:
            return left(f"{self.instance} is gone")
        if member.status != "available" or self.setting in member.pending:
            return waiting(f"it is {member.status}")
        now = {
            "DBInstanceClass": member.instance_class,
            "PromotionTier": member.promotion_tier,
        }[self.setting]
        if now == self.value:
            return RIGHT
        if now == self.run_value:
            return NEEDED
        return left(f"somebody else has set {self.setting} to {now} since")

    def send(self, restorer: Restorer) -> None:
        """Request the old value."""
        settings: Mapping[str, Any] = {self.setting: self.value}
        restorer.rds.modify_instance(self.instance, settings)
