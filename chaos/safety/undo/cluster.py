"""Undo records of a cluster: its capacity, its writer, its endpoints, whether it runs."""

from __future__ import annotations

from typing import Literal

from chaos.model.topology import Capacity, CustomEndpoint
from chaos.safety.calls import Call
from chaos.safety.ports import Restorer
from chaos.safety.undo.base import NEEDED, RIGHT, Look, UndoRecord, left, waiting


class SetCapacity(UndoRecord):
    """Restore the Serverless v2 bounds, unless somebody else has changed them since."""

    action: Literal["set-capacity"] = "set-capacity"
    min_acu: float
    max_acu: float
    pause_after_s: int | None = None
    run_min_acu: float
    run_max_acu: float
    """The bounds that the run set."""
    run_later: tuple[tuple[float, float], ...] = ()
    """Those that it set after them, one after the other."""

    @property
    def _wanted(self) -> Capacity:
        return Capacity(
            min_acu=self.min_acu, max_acu=self.max_acu, pause_after_s=self.pause_after_s
        )

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        pause = f",SecondsUntilAutoPause={self.pause_after_s}" if self.pause_after_s else ""
        return (
            f"aws rds modify-db-cluster --db-cluster-identifier {cluster} "
            "--serverless-v2-scaling-configuration "
            f"MinCapacity={self.min_acu:g},MaxCapacity={self.max_acu:g}{pause}"
        )

    def calls(self) -> tuple[Call, ...]:
        """Return ModifyDBCluster."""
        return (Call("ModifyDBCluster"),)

    def look(self, restorer: Restorer) -> Look:
        """Compare the bounds with the old ones and with the run's."""
        topology = restorer.rds.topology()
        if topology.status != "available":
            return waiting(f"{topology.cluster} is {topology.status}")
        now = topology.capacity
        if now == self._wanted:
            return RIGHT
        if now and (now.min_acu, now.max_acu) in {
            (self.run_min_acu, self.run_max_acu),
            *self.run_later,
            (self.min_acu, self.max_acu),  # The pause after idling was not restored with them.
        }:
            return NEEDED
        return left("somebody else has set other bounds since")

    def send(self, restorer: Restorer) -> None:
        """Request the old bounds."""
        restorer.rds.set_capacity(self._wanted)


class RestoreWriter(UndoRecord):
    """Fail over to the instance that was the writer before the run."""

    action: Literal["restore-writer"] = "restore-writer"
    instance: str

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        return (
            f"aws rds failover-db-cluster --db-cluster-identifier {cluster} "
            f"--target-db-instance-identifier {self.instance}"
        )

    def calls(self) -> tuple[Call, ...]:
        """Return FailoverDBCluster."""
        return (Call("FailoverDBCluster"),)

    def look(self, restorer: Restorer) -> Look:
        """Right while the API names it as the writer and everything is available."""
        topology = restorer.rds.topology()
        writer = topology.writer
        if topology.member(self.instance) is None:
            return left(f"{self.instance} is not a member of {topology.cluster} any more")
        if not topology.all_available():
            return waiting(f"{topology.cluster} is not available as a whole")
        return RIGHT if writer and writer.id == self.instance else NEEDED

    def send(self, restorer: Restorer) -> None:
        """Request the failover."""
        restorer.rds.failover(self.instance)


class StartCluster(UndoRecord):
    """Start a cluster that the run stopped."""

    action: Literal["start-cluster"] = "start-cluster"

    def command(self, cluster: str) -> str:
        """Return what a person would type."""
        return f"aws rds start-db-cluster --db-cluster-identifier {cluster}"

    def calls(self) -> tuple[Call, ...]:
        """Return StartDBCluster."""
        return (Call("StartDBCluster"),)

    def look(self, restorer: Restorer) -> Look:
        """Right while it and its members are available, needed once it is stopped."""
        topology = restorer.rds.topology()
        if topology.status == "stopped":
            return NEEDED
        return RIGHT if topology.all_available() else waiting(f"it is {topology.status}")

    def send(self, restorer: Restorer) -> None:
        """Request the start."""
        restorer.rds.start_cluster()


class SetEndpointMembers(UndoRecord):
    """Give a custom endpoint back the members that it had."""

    action: Literal["set-endpoint-members"] = "set-endpoint-members"
    endpoint: str
    static: tuple[str, ...]
    excluded: tuple[str, ...]
    run_static: tuple[str, ...]
    run_excluded: tuple[str, ...]
    """The members that the run set; the fewest that may be left where the service took some out."""

    def command(self, cluster: str) -> str:  # noqa: ARG002 - an endpoint's name is unique
        """Return what a person would type."""
        name = "static" if self.static or not self.excluded else "excluded"
        members = " ".join(self.static or self.excluded) or '""'
        return (
            f"aws rds modify-db-cluster-endpoint --db-cluster-endpoint-identifier {self.endpoint} "
            f"--{name}-members {members}"
        )

    def calls(self) -> tuple[Call, ...]:
        """Return ModifyDBClusterEndpoint."""
        return (Call("ModifyDBClusterEndpoint"),)

    def look(self, restorer: Restorer) -> Look:
        """Compare the members with the old ones, as far as these are there, and with the run's."""
        found = [e for e in restorer.rds.custom_endpoints() if e.id == self.endpoint]
        if not found:
            return left(f"custom endpoint {self.endpoint} is gone")
        now = found[0]
        if now.status != "available":
            return waiting(f"custom endpoint {self.endpoint} is {now.status}")
        if (set(now.static), set(now.excluded)) == (set(self.static), set(self.excluded)):
            return RIGHT
        if not self._is_of_run(now):
            return left("somebody else has set other members since")
        static, excluded = self._possible(restorer)
        if self.static and not static:
            return left(f"none of {', '.join(self.static)} is there any more")
        same = (set(now.static), set(now.excluded)) == (set(static), set(excluded))
        return RIGHT if same else NEEDED

    def _is_of_run(self, now: CustomEndpoint) -> bool:
        """Tell whether the run set these, or they lie between its members and the old ones."""
        static, excluded = set(now.static), set(now.excluded)
        if (static, excluded) == (set(self.run_static), set(self.run_excluded)):
            return True
        return set(self.run_static) <= static <= set(self.static) and (
            set(self.run_excluded) <= excluded <= set(self.excluded)
        )

    def _possible(self, restorer: Restorer) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the old members without those that the service would not know now."""
        there = {
            m.id
            for m in restorer.rds.topology().members
            if m.status not in {"creating", "deleting"}
        }
        return (
            tuple(name for name in self.static if name in there),
            tuple(name for name in self.excluded if name in there),
        )

    def send(self, restorer: Restorer) -> None:
        """Request the old members, those of them that are there."""
        static, excluded = self._possible(restorer)
        restorer.rds.modify_endpoint(self.endpoint, static=static, excluded=excluded)


class SwitchBack(UndoRecord):
    """Make the cluster that was the primary of its global cluster the primary again."""

    action: Literal["switch-back"] = "switch-back"
    global_cluster: str
    primary_arn: str

    def command(self, cluster: str) -> str:  # noqa: ARG002 - the ARN says it all
        """Return what a person would type."""
        return (
            "aws rds switchover-global-cluster "
            f"--global-cluster-identifier {self.global_cluster} "
            f"--target-db-cluster-identifier {self.primary_arn}"
        )

    def calls(self) -> tuple[Call, ...]:
        """Return SwitchoverGlobalCluster."""
        return (Call("SwitchoverGlobalCluster"),)

    def look(self, restorer: Restorer) -> Look:
        """Right while the API names it as the primary and nothing is under way."""
        now = restorer.rds.global_cluster()
        if now is None or self.primary_arn not in {m.arn for m in now.members}:
            return left(f"{self.primary_arn} is not in {self.global_cluster} any more")
        if now.status != "available" or now.failing_over:
            return waiting(f"{now.id} is {now.failing_over or now.status}")
        return RIGHT if now.primary and now.primary.arn == self.primary_arn else NEEDED

    def send(self, restorer: Restorer) -> None:
        """Request the switchover."""
        restorer.rds.switchover_global(self.primary_arn)
