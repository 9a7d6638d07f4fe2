"""Undo records of what a run itself holds: its tables, sessions, disturbances of a test cluster."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from chaos.errors import HostError
from chaos.safety.calls import Call
from chaos.safety.lease import LEASE_TAG, Lease
from chaos.safety.ports import Control, Restorer
from chaos.safety.undo.base import NEEDED, RIGHT, Look, UndoRecord, left


class DropTables(UndoRecord):
    """Remove the tables in which a run's writes were accounted for."""

    done_when_sent: ClassVar[bool] = True

    action: Literal["drop-tables"] = "drop-tables"
    run: str

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        return f"drop the tables of {self.run} in schema gameday of cluster {cluster}"

    def look(self, restorer: Restorer) -> Look:  # noqa: ARG002 - dropping is idempotent
        """Needed, whatever is there: dropping none is no error."""
        return NEEDED

    def send(self, restorer: Restorer) -> None:
        """Drop them; those that are gone already are no error."""
        restorer.drop_tables(self.run)


class EndSessions(UndoRecord):
    """End the sessions that a fault holds, wherever they are."""

    settles_s: ClassVar[float] = 0.0

    action: Literal["end-sessions"] = "end-sessions"
    name: str
    """Their `application_name`, of this run and fault only."""

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        return (
            f"end the sessions with application_name {self.name} on each instance of {cluster} "
            "(pg_stat_activity, pg_terminate_backend)"
        )

    def look(self, restorer: Restorer) -> Look:
        """Right once no instance has one."""
        return NEEDED if restorer.database.held(self.name) else RIGHT

    def send(self, restorer: Restorer) -> None:
        """End them."""
        restorer.database.end_sessions(self.name)


class EndDisturbance(UndoRecord):
    """Take back what a test cluster's control address was asked for."""

    settles_s: ClassVar[float] = 0.0

    action: Literal["end-disturbance"] = "end-disturbance"
    name: str
    fields: dict[str, Any]
    """The disturbance, as it was asked for."""

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        return (
            f"curl -X DELETE http://CONTROL/control/disturbances/{self.name}, where CONTROL is the "
            f"control address that `gameday cluster status {cluster}` shows"
        )

    def look(self, restorer: Restorer) -> Look:
        """Right once it is not in force."""
        return NEEDED if self._control(restorer).in_force(self.name) else RIGHT

    def send(self, restorer: Restorer) -> None:
        """Take it back."""
        self._control(restorer).end(self.name)

    def _control(self, restorer: Restorer) -> Control:
        if restorer.control is None:
            raise HostError(f"{self.name} is of a test cluster, whose control address is not known")
        return restorer.control


class ReleaseLease(UndoRecord):
    """Take this run's lease off the cluster, and never another run's."""

    action: Literal["release-lease"] = "release-lease"
    run: str
    lease: str
    """Its id."""
    arn: str
    """Of the cluster."""

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        return (
            f"aws rds remove-tags-from-resource --resource-name {self.arn} --tag-keys {LEASE_TAG} "
            f"(if that tag of {cluster} still names {self.run})"
        )

    def calls(self) -> tuple[Call, ...]:
        """Return RemoveTagsFromResource."""
        return (Call("RemoveTagsFromResource"),)

    def look(self, restorer: Restorer) -> Look:
        """Right once there is none, needed while it is ours."""
        held = Lease.on(restorer.rds.topology())
        if held is None:
            return RIGHT
        return NEEDED if held.id == self.lease else left(f"it is held by {held}")

    def send(self, restorer: Restorer) -> None:
        """Remove the tag."""
        restorer.rds.remove_tags((LEASE_TAG,))
