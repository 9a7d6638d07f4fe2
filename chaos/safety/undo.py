"""Undo records: the inverse of a change, on disk before the change, replayable after a crash.

`apply` is idempotent and meets a cluster that may have moved on: an instance that is there again or
bounds that are already right are left alone (`UNCHANGED`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from chaos.model.topology import Capacity, Topology

UNCHANGED = "is right already"
"""What `apply` returns where there was nothing to do; a change just sent may not show yet."""


class Restorer(Protocol):
    """The calls of `chaos.aws.rds.ControlPlane` and of the tables that undo needs."""

    def topology(self) -> Topology:
        """Describe the cluster."""

    def create_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        """CreateDBInstance."""

    def set_capacity(self, capacity: Capacity) -> None:
        """ModifyDBCluster."""

    def drop_tables(self, run: str) -> None:
        """Remove the tables of a run from the database."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CreateInstance(_Record):
    """Create an instance again as it was."""

    action: Literal["create-instance"] = "create-instance"
    instance: str
    settings: dict[str, Any]

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        kind = self.settings.get("DBInstanceClass", "CLASS")
        engine = self.settings.get("Engine", "aurora-postgresql")
        return (
            f"aws rds create-db-instance --db-instance-identifier {self.instance} "
            f"--db-cluster-identifier {cluster} --db-instance-class {kind} --engine {engine}"
        )

    def apply(self, rds: Restorer) -> str:
        """Create it unless the cluster lists it as available.

        Returns:
            What was done; empty while it is being deleted or created, to be called again.
        """
        member = rds.topology().member(self.instance)
        if member is None:
            rds.create_instance(self.instance, self.settings)
            return "created again"
        return UNCHANGED if member.status == "available" else ""


class SetCapacity(_Record):
    """Restore the Serverless v2 bounds, unless somebody else has changed them since."""

    action: Literal["set-capacity"] = "set-capacity"
    min_acu: float
    max_acu: float
    run_min_acu: float
    run_max_acu: float
    """The bounds that the run set."""

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        return (
            f"aws rds modify-db-cluster --db-cluster-identifier {cluster} "
            "--serverless-v2-scaling-configuration "
            f"MinCapacity={self.min_acu:g},MaxCapacity={self.max_acu:g}"
        )

    def apply(self, rds: Restorer) -> str:
        """Set the bounds unless they are already right; empty while a change is still under way."""
        wanted = Capacity(min_acu=self.min_acu, max_acu=self.max_acu)
        topology = rds.topology()
        if topology.status != "available":
            return ""
        if topology.capacity == wanted:
            return UNCHANGED
        if topology.capacity != Capacity(min_acu=self.run_min_acu, max_acu=self.run_max_acu):
            return "left alone: somebody else has set other bounds since"
        rds.set_capacity(wanted)
        return "restored"


class DropTables(_Record):
    """Remove the tables in which a run's writes were accounted for."""

    action: Literal["drop-tables"] = "drop-tables"
    run: str

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        return f"drop the tables of {self.run} in schema gameday of cluster {cluster}"

    def apply(self, rds: Restorer) -> str:
        """Drop them; those that are gone already are no error."""
        rds.drop_tables(self.run)
        return "dropped"


Undo = CreateInstance | SetCapacity | DropTables
_ADAPTER: TypeAdapter[Undo] = TypeAdapter(Annotated[Undo, Field(discriminator="action")])


def undo_from_json(fields: Mapping[str, Any]) -> Undo:
    """Read an undo record of a journal.

    Raises:
        pydantic.ValidationError: it is not one of ours.
    """
    return _ADAPTER.validate_python(dict(fields))
