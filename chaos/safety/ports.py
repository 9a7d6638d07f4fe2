"""What faults and undo records act through: the RDS API, SQL, a test cluster's control address, load.

Protocols, so that the layers above wire them and tests can plant their own. Every method sends its
requests and returns; none waits for the service to have done what it was asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from chaos.model.account import Alarm, Caller, Deployment, MaintenanceAction, SafetyLever
from chaos.model.answers import ApiAnswer, NameAnswer, RoundTrips
from chaos.model.identity import Identity
from chaos.model.topology import Capacity, CustomEndpoint, GlobalCluster, Topology


class Rds(Protocol):
    """The RDS API of one cluster, as `chaos.aws.rds.ControlPlane` implements it.

    All raise `ControlPlaneError` with the service's code and message.
    """

    @property
    def cluster(self) -> str:
        """The cluster's identifier."""

    @property
    def region(self) -> str:
        """The Region that requests are signed for."""

    def topology(self) -> Topology:
        """DescribeDBClusters and DescribeDBInstances."""

    def custom_endpoints(self) -> tuple[CustomEndpoint, ...]:
        """DescribeDBClusterEndpoints, the custom ones."""

    def global_cluster(self) -> GlobalCluster | None:
        """DescribeGlobalClusters: the one that the cluster is in, or None."""

    def acu_now(self, statistic: str = "Average") -> Mapping[str, float]:
        """CloudWatch's latest ServerlessDatabaseCapacity of each instance that has one, in ACU.

        `statistic` (Average, Minimum, Maximum) is of the newest minute, which may be the present one.
        """

    def acu_since(self, since: datetime) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """CloudWatch's datapoints of the same metric since an instant, oldest first."""

    def answer(self, operation: str) -> ApiAnswer:
        """Call a describing operation (`DescribeDBClusters`) and tell how it was answered.

        Never raises for what the service answers, or does not.
        """

    def failover(self, target: str | None) -> None:
        """FailoverDBCluster, to `target` or to the service's choice."""

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        """RebootDBInstance; ForceFailover is for Multi-AZ instances."""

    def create_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        """CreateDBInstance in the cluster, with `settings` as `Member.settings` holds them."""

    def delete_instance(self, instance: str) -> None:
        """DeleteDBInstance, without a snapshot."""

    def modify_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        """ModifyDBInstance with ApplyImmediately."""

    def set_capacity(self, capacity: Capacity) -> None:
        """ModifyDBCluster with Serverless v2 bounds."""

    def stop_cluster(self) -> None:
        """StopDBCluster."""

    def start_cluster(self) -> None:
        """StartDBCluster."""

    def modify_endpoint(
        self, endpoint: str, *, static: Sequence[str], excluded: Sequence[str]
    ) -> None:
        """ModifyDBClusterEndpoint: the members of a custom endpoint."""

    def switchover_global(self, target_arn: str) -> None:
        """SwitchoverGlobalCluster to a secondary cluster: nothing is lost."""

    def failover_global(self, target_arn: str) -> None:
        """FailoverGlobalCluster with AllowDataLoss to a secondary cluster."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """AddTagsToResource on the cluster."""

    def remove_tags(self, keys: Sequence[str]) -> None:
        """RemoveTagsFromResource on the cluster."""


class Account(Protocol):
    """The account around a cluster, as `chaos.aws.account.Account` reads it.

    All raise `ControlPlaneError`; nothing here changes anything.
    """

    def caller(self) -> Caller:
        """STS GetCallerIdentity."""

    def maintenance(self, topology: Topology) -> tuple[MaintenanceAction, ...]:
        """DescribePendingMaintenanceActions, of the cluster and its instances."""

    def deployments(self, topology: Topology) -> tuple[Deployment, ...]:
        """DescribeBlueGreenDeployments: those that the cluster or a member is part of."""

    def alarms(self, names: Sequence[str] = (), prefixes: Sequence[str] = ()) -> tuple[Alarm, ...]:
        """DescribeAlarms, by names and by how names begin; a name that there is not is left out."""

    def safety_lever(self) -> SafetyLever:
        """FIS GetSafetyLever, of the Region."""


class Database(Protocol):
    """SQL on the cluster's endpoints: `cluster`, `reader`, an instance's identifier, or a DNS name.

    All raise `DatabaseError`; every call is bounded by a few seconds.
    """

    def identify(self, endpoint: str) -> Identity:
        """Ask an instance who it is and since when."""

    def query(self, endpoint: str, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement in a session of its own and return its rows; none for a command."""

    def round_trips(self, endpoint: str, statement: str, times: int) -> RoundTrips:
        """Run a statement so many times in a session of its own, each in its own transaction.

        Fewer times, once they have taken some seconds together.
        """

    def hold(
        self, name: str, endpoint: str, statements: Sequence[str], *, sessions: int = 1
    ) -> int:
        """Open sessions with this `application_name`, run the statements in each, keep them open.

        Returns:
            How many could be opened: fewer where the server refused more (SQLSTATE 53300).
        """

    def spin(
        self, name: str, endpoint: str, statement: str, *, sessions: int, for_s: float
    ) -> None:
        """Open sessions with this `application_name` that run a short statement again and again.

        They end with `end_sessions`, after `for_s`, and with this process.
        """

    def drop(self, name: str, sessions: int) -> None:
        """Close so many of the sessions that this process holds under this name."""

    def held(self, name: str) -> int:
        """Return how many sessions of this `application_name` the cluster's instances have."""

    def end_sessions(self, name: str) -> None:
        """Close the sessions held under this name, and end those that an earlier process left."""


class Names(Protocol):
    """The names of the cluster's endpoints, asked as a client asks: nothing is cached."""

    def ask(self, endpoint: str) -> NameAnswer:
        """Query `cluster`, `reader`, an instance's identifier, or a whole DNS name.

        What the name server answers, or does not, is in the answer.
        """


class Control(Protocol):
    """A test cluster's control address: what AWS has no call for.

    All raise `HostError` with what the test cluster answers.
    """

    def begin(self, name: str, fields: Mapping[str, Any]) -> None:
        """Begin a disturbance (`kind` and its parameters) under a name of ours."""

    def end(self, name: str) -> bool:
        """Take it back; False where none of that name is in force any more."""

    def in_force(self, name: str) -> bool:
        """Tell whether it is in force."""

    def status(self) -> Mapping[str, Any]:
        """Return what `gameday cluster status --json` shows."""


class Load(Protocol):
    """The run's own traffic and probes, which keep every instance awake unless they stand still.

    Both raise `HostError` where a process did not obey.
    """

    def pause(self) -> None:
        """Finish what is in flight, end every session, ask the cluster nothing more."""

    def resume(self) -> None:
        """Go on; nothing where it does not stand still."""


class Restorer(Protocol):
    """Everything that an undo record may act through."""

    @property
    def rds(self) -> Rds:
        """The RDS API."""

    @property
    def database(self) -> Database:
        """SQL."""

    @property
    def control(self) -> Control | None:
        """The control address, None on a real cluster."""

    def drop_tables(self, run: str) -> None:
        """Remove the tables of a run from the database."""
