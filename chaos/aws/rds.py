"""One cluster through the RDS API: what faults, undo records and observers may ask and do.

Every changing method is one documented call. Timing never relies on botocore's waiters (they poll
every 30 s): nothing here waits for the service to have done what it was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chaos.aws import cloudwatch, translate
from chaos.aws.account import Account
from chaos.aws.clients import ApiAccess
from chaos.aws.sending import Api, ApiCall
from chaos.clock import Clock
from chaos.errors import ControlPlaneError
from chaos.model.answers import ApiAnswer
from chaos.model.serverless import SERVERLESS_CLASS
from chaos.model.topology import Capacity, CustomEndpoint, GlobalCluster, Topology

__all__ = ["ApiAccess", "ApiCall", "ClusterEvent", "ControlPlane"]

_CAPACITY = "ServerlessDatabaseCapacity"
_DESCRIBING = {  # Operation -> boto3's name, and whether it is asked about the cluster alone.
    "DescribeDBClusters": ("describe_db_clusters", True),
    "DescribeDBInstances": ("describe_db_instances", False),
    "DescribeDBClusterEndpoints": ("describe_db_cluster_endpoints", True),
    "DescribeGlobalClusters": ("describe_global_clusters", False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvent:
    """One RDS event; `at` has the service's resolution and clock."""

    at: datetime
    source_id: str
    source_type: str
    message: str
    categories: tuple[str, ...]


class ControlPlane:
    """The RDS API of one cluster, or of one instance that is in none.

    `chaos.safety.ports.Rds` says what each method is for. All raise `ControlPlaneError` with the
    service's code and message.
    """

    def __init__(self, cluster: str, access: ApiAccess, clock: Clock | None = None) -> None:
        """Prepare for the cluster with this identifier; `clock` is for tests."""
        self.cluster = cluster
        self._api = Api(access, clock)
        self._client = self._api.client()
        self._arn: str | None = None
        self._is_lone = False

    @property
    def account(self) -> Account:
        """The account around the cluster, for guards."""
        return Account(self._api)

    @property
    def endpoint_url(self) -> str:
        """The URL that requests go to."""
        return str(self._client.meta.endpoint_url)

    @property
    def region(self) -> str:
        """The Region that requests are signed for."""
        return self._api.region

    # -- who is told ---------------------------------------------------------------------------

    def on_change(self, listener: Callable[[Mapping[str, Any]], object]) -> None:
        """Tell `listener` of every changing call: operation, parameters, request_id, error_code."""

        def told(call: ApiCall) -> None:
            if call.changes:
                listener(
                    {
                        "operation": call.operation,
                        "parameters": call.parameters,
                        "request_id": call.request_id,
                        "error_code": call.error_code,
                    }
                )

        self._api.listen(told)

    def on_call(self, listener: Callable[[ApiCall], object]) -> None:
        """Tell `listener` of every call, those that only read too, in the thread that made it."""
        self._api.listen(listener)

    def reads(self) -> Mapping[str, int]:
        """Return how often each operation that only reads was called (`DescribeDBClusters`: 12)."""
        return self._api.reads()

    # -- reading -------------------------------------------------------------------------------

    def topology(self) -> Topology:
        """Describe the cluster and its instances (two requests, not atomic).

        Where there is no cluster of that identifier, describe the instance that has it and is in no
        cluster.
        """
        if self._is_lone:
            found = self._lone_instance()
        else:
            try:
                found = translate.topology(self._describe_cluster(), self._instances())
            except ControlPlaneError as error:
                if error.code != "DBClusterNotFoundFault":
                    raise
                found = self._instead(error)
        self._arn = found.arn
        return found

    def custom_endpoints(self) -> tuple[CustomEndpoint, ...]:
        """DescribeDBClusterEndpoints, the custom ones; an instance in no cluster has none."""
        if self._is_lone:
            return ()
        entries = self._api.entries(
            f"describing the endpoints of {self.cluster}",
            "describe_db_cluster_endpoints",
            "DBClusterEndpoints",
            DBClusterIdentifier=self.cluster,
        )
        return tuple(
            translate.custom_endpoint(entry)
            for entry in entries
            if entry.get("EndpointType") == "CUSTOM"
        )

    def global_cluster(self) -> GlobalCluster | None:
        """DescribeGlobalClusters: the one that the cluster is in, or None."""
        ours = (self.region, self.cluster.lower())
        entries = self._api.entries(
            f"describing the global cluster of {self.cluster}",
            "describe_global_clusters",
            "GlobalClusters",
        )
        for found in map(translate.global_cluster, entries):
            if any((m.region, m.arn.rpartition(":")[2]) == ours for m in found.members):
                return found
        return None

    def acu_now(self, statistic: str = "Average") -> Mapping[str, float]:
        """CloudWatch's latest ServerlessDatabaseCapacity of each instance that has one, in ACU.

        It is of a minute, and comes about a minute late; `statistic` is of that minute.
        """
        return cloudwatch.latest(self._api, _CAPACITY, self._serverless(), statistic)

    def acu_since(self, since: datetime) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """CloudWatch's datapoints of the same metric since an instant, oldest first."""
        return cloudwatch.series(self._api, _CAPACITY, self._serverless(), since)

    def _serverless(self) -> list[str]:
        return [
            instance["DBInstanceIdentifier"]
            for instance in self._instances()
            if instance.get("DBInstanceClass") == SERVERLESS_CLASS
        ]

    def alarm_states(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the states of CloudWatch alarms by name; those that there are not are left out."""
        return {alarm.name: alarm.state for alarm in self.account.alarms(names)}

    def answer(self, operation: str) -> ApiAnswer:
        """Call a describing operation and tell how it was answered; raises for no answer."""
        name, of_cluster = _DESCRIBING[operation]
        ours = {"DBClusterIdentifier": self.cluster} if of_cluster else {}
        call = self._api.probe(name, **ours)
        return ApiAnswer(
            error_code=call.error_code, attempts=call.attempts, duration_s=call.duration_s
        )

    def events(self, since: datetime) -> list[ClusterEvent]:
        """Return the events of the cluster and its instances since an instant, oldest first.

        AWS delivers events late, out of order or not at all: nothing may depend on one.
        """
        sources = {member.id for member in self.topology().members} | {self.cluster}
        found = [
            ClusterEvent(
                at=entry["Date"],
                source_id=entry["SourceIdentifier"],
                source_type=entry["SourceType"],
                message=entry["Message"],
                categories=tuple(entry.get("EventCategories", ())),
            )
            for source_type in ("db-cluster", "db-instance")
            for entry in self._api.entries(
                f"reading events of {self.cluster}",
                "describe_events",
                "Events",
                SourceType=source_type,
                StartTime=since,
            )
            if entry.get("SourceIdentifier") in sources
        ]
        return sorted(found, key=lambda event: event.at)

    # -- instances -----------------------------------------------------------------------------

    def failover(self, target: str | None) -> None:
        """FailoverDBCluster, to `target` or to the service's choice."""
        chosen = {"TargetDBInstanceIdentifier": target} if target else {}
        to = f" to {target}" if target else ""
        self._change_cluster(f"failing over{to} in", "failover_db_cluster", **chosen)

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        """RebootDBInstance; ForceFailover is for Multi-AZ instances."""
        how = {"ForceFailover": True} if force_failover else {}
        self._change_instance("rebooting", "reboot_db_instance", instance, **how)

    def create_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        """CreateDBInstance in the cluster, with `settings` as `Member.settings` holds them."""
        self._change_instance(
            "creating",
            "create_db_instance",
            instance,
            DBClusterIdentifier=self.cluster,
            **settings,
        )

    def delete_instance(self, instance: str) -> None:
        """DeleteDBInstance; an Aurora instance has no snapshot of its own."""
        self._change_instance("deleting", "delete_db_instance", instance, SkipFinalSnapshot=True)

    def modify_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        """ModifyDBInstance with ApplyImmediately."""
        self._change_instance(
            "modifying", "modify_db_instance", instance, ApplyImmediately=True, **settings
        )

    # -- the cluster ---------------------------------------------------------------------------

    def set_capacity(self, capacity: Capacity) -> None:
        """ModifyDBCluster with Serverless v2 bounds; the pause after idling only where it is given."""
        bounds: dict[str, float] = {
            "MinCapacity": capacity.min_acu,
            "MaxCapacity": capacity.max_acu,
        }
        if capacity.pause_after_s is not None:
            bounds["SecondsUntilAutoPause"] = capacity.pause_after_s
        self._change_cluster(
            "setting the capacity of", "modify_db_cluster", ServerlessV2ScalingConfiguration=bounds
        )

    def stop_cluster(self) -> None:
        """StopDBCluster."""
        self._change_cluster("stopping", "stop_db_cluster")

    def start_cluster(self) -> None:
        """StartDBCluster."""
        self._change_cluster("starting", "start_db_cluster")

    def modify_endpoint(
        self, endpoint: str, *, static: Sequence[str], excluded: Sequence[str]
    ) -> None:
        """ModifyDBClusterEndpoint; both lists are sent, since only an empty one clears what was."""
        self._api.change(
            f"modifying custom endpoint {endpoint}",
            "modify_db_cluster_endpoint",
            DBClusterEndpointIdentifier=endpoint,
            StaticMembers=list(static),
            ExcludedMembers=list(excluded),
        )

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """AddTagsToResource on the cluster."""
        self._api.change(
            f"tagging {self.cluster}",
            "add_tags_to_resource",
            ResourceName=self._known_arn(),
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )

    def remove_tags(self, keys: Sequence[str]) -> None:
        """RemoveTagsFromResource on the cluster."""
        self._api.change(
            f"removing tags of {self.cluster}",
            "remove_tags_from_resource",
            ResourceName=self._known_arn(),
            TagKeys=list(keys),
        )

    # -- the global cluster --------------------------------------------------------------------

    def switchover_global(self, target_arn: str) -> None:
        """SwitchoverGlobalCluster to a secondary cluster, asked of the present primary's Region."""
        world = self._require_global()
        self._api.change(
            f"switching global cluster {world.id} over to {target_arn}",
            "switchover_global_cluster",
            region=world.primary.region if world.primary else None,
            GlobalClusterIdentifier=world.id,
            TargetDbClusterIdentifier=target_arn,
        )

    def failover_global(self, target_arn: str) -> None:
        """FailoverGlobalCluster with AllowDataLoss to a secondary cluster, asked of its own Region.

        That is where AWS's guide has it asked: the primary's Region may be the one that is lost.
        """
        self._api.change(
            f"failing the global cluster of {self.cluster} over to {target_arn}",
            "failover_global_cluster",
            region=translate.region_of(target_arn) or None,
            GlobalClusterIdentifier=self._require_global().id,
            TargetDbClusterIdentifier=target_arn,
            AllowDataLoss=True,
        )

    # ------------------------------------------------------------------------------------------

    def _change_cluster(self, doing: str, operation: str, **parameters: Any) -> None:
        self._api.change(
            f"{doing} cluster {self.cluster}",
            operation,
            DBClusterIdentifier=self.cluster,
            **parameters,
        )

    def _change_instance(
        self, doing: str, operation: str, instance: str, **parameters: Any
    ) -> None:
        self._api.change(
            f"{doing} instance {instance}", operation, DBInstanceIdentifier=instance, **parameters
        )

    def _describe_cluster(self) -> Mapping[str, Any]:
        answer = self._api.read(
            f"describing cluster {self.cluster}",
            "describe_db_clusters",
            DBClusterIdentifier=self.cluster,
        )
        cluster: Mapping[str, Any] = answer["DBClusters"][0]
        return cluster

    def _instances(self) -> list[Mapping[str, Any]]:
        which: dict[str, Any] = (
            {"DBInstanceIdentifier": self.cluster}
            if self._is_lone
            else {"Filters": [{"Name": "db-cluster-id", "Values": [self.cluster]}]}
        )
        return self._api.entries(
            f"describing the instances of {self.cluster}",
            "describe_db_instances",
            "DBInstances",
            **which,
        )

    def _instead(self, not_found: ControlPlaneError) -> Topology:
        """Return the instance that has the identifier which no cluster has, or raise that again."""
        self._is_lone = True
        try:
            return self._lone_instance()
        except ControlPlaneError as error:
            self._is_lone = False
            if error.code != "DBInstanceNotFound":
                raise
        raise not_found

    def _lone_instance(self) -> Topology:
        (instance,) = self._instances()
        if home := instance.get("DBClusterIdentifier"):
            raise ControlPlaneError(
                f"describing cluster {self.cluster}: it is an instance of cluster {home}; name that",
                code="DBClusterNotFoundFault",
            )
        return translate.lone_topology(instance)

    def _known_arn(self) -> str:
        return self._arn or self.topology().arn

    def _require_global(self) -> GlobalCluster:
        found = self.global_cluster()
        if found is None:
            raise ControlPlaneError(
                f"{self.cluster} is in no global cluster; `aws rds describe-global-clusters` lists "
                "those there are",
                code="GlobalClusterNotFoundFault",
                permanent=True,
            )
        return found
