"""A cluster without servers, and the real control plane and name server in front of it."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from rds_model import holding_to_the_model

from chaos.clock import MonotonicClock
from chaos.errors import HostError
from chaos.names import NameServer
from chaos.testcluster.api.behaviour import Behaviour
from chaos.testcluster.api.control import Control, ServerFacts
from chaos.testcluster.api.server import ApiServer
from chaos.testcluster.disturbances.registry import Disturbances
from chaos.testcluster.metrics.monitoring import Monitoring
from chaos.testcluster.parameters.parameter_groups import ParameterGroups
from chaos.testcluster.records import (
    Address,
    Alias,
    ApiError,
    ClusterChanges,
    ClusterRecord,
    ClusterSpec,
    EventRecord,
    InstanceChanges,
    InstanceRecord,
    InstanceSpec,
    ServerlessBounds,
)
from chaos.testcluster.standalone.database import Standalone
from chaos.testcluster.standalone.registry import Standalones
from chaos.testcluster.worldwide.global_clusters import GlobalClusters

REGION = "eu-west-1"
HASH = "abc123def456"
DOMAIN = f"{REGION}.rds.amazonaws.com"
CLUSTER_ARN = f"arn:aws:rds:{REGION}:000000000000:cluster:orders"
READER = "orders-instance-002"
READER_ARN = f"arn:aws:rds:{REGION}:000000000000:db:{READER}"
CREATE_INSTANCE: dict[str, Any] = {
    "DBInstanceIdentifier": "orders-4",
    "DBClusterIdentifier": "orders",
    "DBInstanceClass": "db.serverless",
    "Engine": "aurora-postgresql",
    "Tags": [{"Key": "a", "Value": "b"}],
}
CREATED = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


def instance_record(name: str, number: int, *, is_writer: bool = False) -> InstanceRecord:
    return InstanceRecord(
        id=name,
        status="available",
        is_writer=is_writer,
        instance_class="db.serverless",
        availability_zone=f"{REGION}{'abc'[number % 3]}",
        promotion_tier=1,
        endpoint=f"{name}.{HASH}.{DOMAIN}",
        port=5432,
        created_at=CREATED,
        tags={"gameday": "allowed"},
        settings={},
        address=f"127.77.250.{10 + number}",
        pid=None,
        capacity_acu=0.5,
    )


def cluster_record(instances: int = 3) -> ClusterRecord:
    return ClusterRecord(
        id="orders",
        status="available",
        engine="aurora-postgresql",
        engine_version="15.18",
        region=REGION,
        account="000000000000",
        resource_id="cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        hash=HASH,
        cluster_endpoint=f"orders.cluster-{HASH}.{DOMAIN}",
        reader_endpoint=f"orders.cluster-ro-{HASH}.{DOMAIN}",
        port=5432,
        user="gameday",
        database="gameday",
        availability_zones=tuple(f"{REGION}{zone}" for zone in "abc"),
        created_at=CREATED,
        serverless=ServerlessBounds(min_acu=0.5, max_acu=8.0),
        tags={"gameday": "allowed"},
        parameter_group="default.aurora-postgresql15",
        instances=tuple(
            instance_record(f"orders-instance-{number:03d}", number, is_writer=number == 1)
            for number in range(1, instances + 1)
        ),
    )


def no_servers(*_: object) -> Standalone:
    """Refuse to make a stand-alone instance: nothing runs behind a paper cluster."""
    raise HostError("this is paper")


@dataclass
class PaperCluster:
    """What the engine's interface promises, in memory: every command takes effect at once."""

    record: ClusterRecord = field(default_factory=cluster_record)
    happened: list[EventRecord] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    refusal: ApiError | None = None
    api_behaviour: Behaviour = field(default_factory=lambda: Behaviour(MonotonicClock()))
    standalones: Standalones = field(default_factory=lambda: Standalones(no_servers))
    parameter_groups: ParameterGroups = field(default_factory=ParameterGroups)

    def __post_init__(self) -> None:
        self.disturbances = Disturbances(self)  # type: ignore[arg-type]

    def snapshot(self) -> ClusterRecord:
        return self.record

    def names(self) -> dict[str, Alias | Address]:
        writers = tuple(i.endpoint for i in self.record.instances if i.is_writer)
        readers = tuple(i.endpoint for i in self.record.instances if not i.is_writer)
        return {
            self.record.cluster_endpoint: Alias(targets=writers, ttl_s=5),
            self.record.reader_endpoint: Alias(targets=readers or writers, ttl_s=1),
            **{i.endpoint: Address(address=i.address, ttl_s=5) for i in self.record.instances},
        }

    def failover(self, target: str | None) -> None:
        self._called("failover", target)
        chosen = target or next(i.id for i in self.record.instances if not i.is_writer)
        self._change(lambda i: replace(i, is_writer=i.id == chosen))
        self.record = replace(self.record, status="failing-over")

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        self._called("reboot", (instance, force_failover))
        self._change(lambda i: replace(i, status="rebooting") if i.id == instance else i)

    def create_instance(self, spec: InstanceSpec) -> None:
        self._called("create_instance", spec)
        number = len(self.record.instances) + 1
        made = replace(
            instance_record(spec.id, number),
            status="creating",
            instance_class=spec.instance_class,
            promotion_tier=spec.promotion_tier,
            tags=spec.tags,
            settings=spec.settings,
        )
        self.record = replace(self.record, instances=(*self.record.instances, made))

    def delete_instance(self, instance: str) -> None:
        self._called("delete_instance", instance)
        left = tuple(i for i in self.record.instances if i.id != instance)
        self.record = replace(self.record, instances=left)

    def modify(self, changes: ClusterChanges) -> None:
        self._called("modify", changes)
        self.record = replace(self.record, serverless=changes.serverless or self.record.serverless)

    def modify_instance(self, instance: str, changes: InstanceChanges) -> None:
        self._called("modify_instance", (instance, changes))
        self._change(lambda i: replace(i, status="modifying") if i.id == instance else i)

    def stop(self) -> None:
        self._called("stop", None)

    def start(self) -> None:
        self._called("start", None)

    def retag(
        self, instance: str | None, *, add: Mapping[str, str], remove: Collection[str]
    ) -> None:
        self._called("retag", (instance, dict(add), list(remove)))

    def crash(self, instance: str) -> None:
        self._called("crash", instance)

    # -- the Region and the estate around it ----------------------------------------------------

    name = REGION

    def clusters(self) -> tuple[PaperCluster, ...]:
        return (self,)

    def cluster(self, identifier: str) -> PaperCluster:
        if identifier != self.record.id:
            raise ApiError("DBClusterNotFoundFault", f"DBCluster {identifier} not found.")
        return self

    def cluster_of(self, instance: str) -> PaperCluster:
        if all(i.id != instance for i in self.record.instances):
            raise ApiError("DBInstanceNotFound", f"DBInstance {instance} not found.")
        return self

    @property
    def engine_version(self) -> str:
        return self.record.engine_version

    def create_cluster(self, spec: ClusterSpec, password: str) -> PaperCluster:
        self._called("create_cluster", (spec, password))
        return self

    def delete_cluster(self, identifier: str) -> None:
        self._called("delete_cluster", identifier)

    def require_free_instance(self, instance: str) -> None:
        if any(i.id == instance for i in self.record.instances):
            raise ApiError("DBInstanceAlreadyExists", "DB instance already exists")

    def events(self) -> tuple[EventRecord, ...]:
        return tuple(self.happened)

    @property
    def global_clusters(self) -> GlobalClusters:
        return GlobalClusters(lambda _, name: self.cluster(name))  # type: ignore[arg-type,return-value]

    def region(self, name: str) -> PaperCluster:
        if name != self.name:
            raise ApiError(
                "SignatureDoesNotMatch",
                f"Credential should be scoped to a valid region, not '{name}'.",
            )
        return self

    def home(self) -> ClusterRecord:
        return self.record

    def regions(self) -> tuple[PaperCluster]:
        return (self,)

    def _called(self, name: str, argument: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.calls.append((name, argument))

    def _change(self, change: Callable[[InstanceRecord], InstanceRecord]) -> None:
        self.record = replace(
            self.record, instances=tuple(change(i) for i in self.record.instances)
        )


@dataclass(frozen=True)
class ControlPlane:
    """A served paper cluster; `stopped` collects what the control address asked to end."""

    cluster: PaperCluster
    address: tuple[str, int]
    stopped: list[bool]

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"


def rds_client(url: str, **settings: Any) -> Any:
    """Return an unmodified boto3 client that knows nothing but the URL and dummy credentials."""
    options = {
        "region_name": REGION,
        "aws_access_key_id": "any",
        "aws_secret_access_key": "any",
        "config": Config(retries={"total_max_attempts": 1}),
        **settings,
    }
    return boto3.client(options.pop("service", "rds"), endpoint_url=url, **options)


@contextmanager
def serve(
    cluster: PaperCluster, monitoring: Callable[[str], Monitoring] | None = None
) -> Iterator[ControlPlane]:
    """Serve a paper cluster's control plane on a port of its own."""
    stopped: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        url = f"http://{address[0]}:{address[1]}"
        facts = ServerFacts(
            api_url=url,
            control_url=f"{url}/control",
            name_server=NameServer(address="127.0.0.1", port=53, domain=DOMAIN),
            profile="fast",
            seed=0,
            pid=1,
            ca_file="/tmp/ca.pem",
            why_no_tls="",
            directory="/nowhere",
        )
        control = Control(cluster, facts, lambda: stopped.append(True))
        server = ApiServer(cluster, control, listener=listener, monitoring=monitoring)
        yield ControlPlane(cluster, address, stopped)
        server.close()


@pytest.fixture(scope="session")
def served_paper_cluster() -> Iterator[ControlPlane]:
    with serve(PaperCluster()) as served:
        yield served


@pytest.fixture(scope="session")
def shared_boto_rds(served_paper_cluster: ControlPlane) -> Iterator[Any]:
    client = holding_to_the_model(rds_client(served_paper_cluster.url))
    yield client
    client.close()


@pytest.fixture
def control_plane(served_paper_cluster: ControlPlane) -> ControlPlane:
    """A served paper cluster as if new; making a server and a client for each test is slow."""
    served_paper_cluster.cluster.disturbances.close()
    served_paper_cluster.cluster.__init__()  # type: ignore[misc]
    served_paper_cluster.stopped.clear()
    return served_paper_cluster


@pytest.fixture
def boto_rds(control_plane: ControlPlane, shared_boto_rds: Any) -> Any:
    """A boto3 client of the paper cluster, which holds every answer to the model."""
    return shared_boto_rds


_names = itertools.count()


def unique_id(prefix: str = "gd") -> str:
    """Return a cluster identifier that no test running beside this one uses."""
    return f"{prefix}-{random.SystemRandom().randrange(16**8):08x}-{next(_names)}"
