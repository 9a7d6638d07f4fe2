"""One cluster through the RDS API: what faults, guards and observers may ask and do.

Timing never relies on botocore's waiters (they poll every 30 s) nor on its retries: a request is sent
once, and again only where the service says that it was throttled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from chaos.aws.translate import errors_of, topology
from chaos.errors import ControlPlaneError
from chaos.model.topology import Capacity, Topology

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 10
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAccess:
    """How to reach the RDS API. None leaves a setting to boto3's usual chain."""

    region: str | None = None
    endpoint_url: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvent:
    """One RDS event; `at` has the service's resolution and clock."""

    at: datetime
    source_id: str
    source_type: str
    message: str
    categories: tuple[str, ...]


Call = Mapping[str, Any]


class ControlPlane:
    """The RDS API of one cluster. Every method sends its requests and returns; none waits.

    All raise `ControlPlaneError` with the service's code and message.
    """

    def __init__(self, cluster: str, access: ApiAccess) -> None:
        """Make a client for the cluster with this identifier."""
        self.cluster = cluster
        self._on_change: Callable[[Call], object] = lambda _: None
        with errors_of("preparing the RDS client"):
            self._client = boto3.client(
                "rds",
                region_name=access.region,
                endpoint_url=access.endpoint_url,
                aws_access_key_id=access.access_key,
                aws_secret_access_key=access.secret_key,
                config=Config(
                    connect_timeout=CONNECT_TIMEOUT_S,
                    read_timeout=READ_TIMEOUT_S,
                    retries={"total_max_attempts": 1},
                ),
            )

    @property
    def endpoint_url(self) -> str:
        """The URL that requests go to."""
        return str(self._client.meta.endpoint_url)

    @property
    def region(self) -> str:
        """The Region that requests are signed for."""
        return str(self._client.meta.region_name)

    def on_change(self, listener: Callable[[Call], object]) -> None:
        """Tell `listener` of every changing call: operation, parameters, request_id, error_code."""
        self._on_change = listener

    def topology(self) -> Topology:
        """Describe the cluster and its instances (two requests, not atomic)."""
        with errors_of(f"describing cluster {self.cluster}"):
            clusters = _unthrottled(
                lambda: self._client.describe_db_clusters(DBClusterIdentifier=self.cluster)
            )["DBClusters"]
            instances = self._pages(
                "describe_db_instances",
                "DBInstances",
                Filters=[{"Name": "db-cluster-id", "Values": [self.cluster]}],
            )
        return topology(clusters[0], instances)

    def events(self, since: datetime) -> list[ClusterEvent]:
        """Return the events of the cluster and its instances since an instant, oldest first.

        AWS delivers events late, out of order or not at all: nothing may depend on one.
        """
        members = {member.id for member in self.topology().members}
        found: list[ClusterEvent] = []
        with errors_of(f"reading events of cluster {self.cluster}"):
            for source_type in ("db-cluster", "db-instance"):
                found += [
                    ClusterEvent(
                        at=entry["Date"],
                        source_id=entry["SourceIdentifier"],
                        source_type=entry["SourceType"],
                        message=entry["Message"],
                        categories=tuple(entry.get("EventCategories", ())),
                    )
                    for entry in self._pages(
                        "describe_events", "Events", SourceType=source_type, StartTime=since
                    )
                    if entry["SourceIdentifier"] in members | {self.cluster}
                ]
        return sorted(found, key=lambda event: event.at)

    def failover(self, target: str | None) -> None:
        """FailoverDBCluster, to `target` or to the service's choice."""
        chosen = {"TargetDBInstanceIdentifier": target} if target else {}
        self._change("failover_db_cluster", DBClusterIdentifier=self.cluster, **chosen)

    def reboot(self, instance: str) -> None:
        """RebootDBInstance without failover."""
        self._change("reboot_db_instance", DBInstanceIdentifier=instance)

    def delete_instance(self, instance: str) -> None:
        """DeleteDBInstance; an Aurora instance has no snapshot of its own."""
        self._change("delete_db_instance", DBInstanceIdentifier=instance, SkipFinalSnapshot=True)

    def create_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        """CreateDBInstance in the cluster with `settings` as `Member.settings` holds them."""
        self._change(
            "create_db_instance",
            DBInstanceIdentifier=instance,
            DBClusterIdentifier=self.cluster,
            **settings,
        )

    def set_capacity(self, capacity: Capacity) -> None:
        """ModifyDBCluster with new Serverless v2 bounds."""
        self._change(
            "modify_db_cluster",
            DBClusterIdentifier=self.cluster,
            ServerlessV2ScalingConfiguration={
                "MinCapacity": capacity.min_acu,
                "MaxCapacity": capacity.max_acu,
            },
        )

    def _change(self, operation: str, **parameters: Any) -> None:
        call: dict[str, Any] = {"operation": operation, "parameters": parameters}
        try:
            with errors_of(f"{operation} on {self.cluster}"):
                answer = _unthrottled(lambda: getattr(self._client, operation)(**parameters))
        except ControlPlaneError as error:
            self._on_change({**call, "request_id": None, "error_code": error.code or "no answer"})
            raise
        self._on_change(
            {
                **call,
                "request_id": answer["ResponseMetadata"].get("RequestId"),
                "error_code": None,
            }
        )

    def _pages(self, operation: str, key: str, **parameters: Any) -> list[Mapping[str, Any]]:
        client: Any = self._client
        pages = client.get_paginator(operation).paginate(**parameters)
        found: list[Mapping[str, Any]] = _unthrottled(
            lambda: [entry for page in pages for entry in page[key]]
        )
        return found


def _unthrottled(send: Callable[[], Any]) -> Any:
    """Send, and again with backoff while the service answers that it throttles (at most 5 times)."""
    return Retrying(
        retry=retry_if_exception(_is_throttled),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        stop=stop_after_attempt(5),
        reraise=True,
    )(send)


def _is_throttled(error: BaseException) -> bool:
    answer: Mapping[str, Any] = getattr(error, "response", {})
    return answer.get("Error", {}).get("Code") in _THROTTLED
