"""What the test cluster's parts tell each other: specifications, snapshots, events, errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from chaos.model.serverless import SERVERLESS_CLASS
from chaos.testcluster.postgres.configuration import ADMIN_ROLE, DATABASE

ACCOUNT = "000000000000"  # which AWS never issues
PROVISIONED_CLASS = "db.r6g.large"


class ApiError(Exception):
    """A modelled RDS error: `code` as on the wire (`DBClusterNotFoundFault`), message as AWS says it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerlessBounds:
    """Serverless v2 bounds in ACU; with a minimum of 0, idle instances pause."""

    min_acu: float
    max_acu: float
    pause_after_s: int | None = None  # idle seconds; None: AWS's default, or they never pause


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSpec:
    """What CreateDBInstance asks for."""

    id: str
    instance_class: str = SERVERLESS_CLASS
    availability_zone: str | None = None  # None: the cluster spreads instances over its zones
    promotion_tier: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    """Further request members kept and shown as they were given (parameter group, ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceChanges:
    """What ModifyDBInstance asks for; None, and a setting that is not named, stays as it is."""

    new_id: str | None = None
    instance_class: str | None = None
    promotion_tier: int | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    immediately: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """A custom endpoint that a cluster begins with.

    Instances are given by number, and the first writer's is 1: `static` members only, or all but the
    `excluded` ones.
    """

    id: str
    kind: str = "ANY"  # READER | ANY
    static: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """What `gameday cluster up` or CreateDBCluster asks for.

    Without `serverless` bounds its instances are provisioned.
    """

    id: str = "gameday"
    readers: int = 2
    region: str = "eu-west-1"
    profile: str = "fast"  # testcluster/profiles.py
    seed: int = 0
    port: int | None = None  # None: 5432, or a free one where that is taken
    serverless: ServerlessBounds | None = field(
        default_factory=lambda: ServerlessBounds(min_acu=0.5, max_acu=8.0)
    )
    cluster_ttl_s: int | None = None  # None, here and below: as the profile says
    reader_ttl_s: int | None = None
    instance_ttl_s: int | None = None
    dns_flip_s: float | None = None  # promotion -> the cluster endpoint's name answers it
    read_availability: bool = True
    """False: a writer's failover or reboot also restarts the readers, as older versions do."""
    instance_class: str | None = None  # None: db.serverless with bounds, else db.r6g.large
    reader_tiers: tuple[int, ...] = ()  # of the readers in their order; 1 where none is given
    custom_endpoints: tuple[EndpointSpec, ...] = ()
    secondary_region: str | None = None
    """Where the other cluster, `ID-secondary`, of a global cluster `ID-global` is; None: of none."""
    multi_az_instance: bool = False
    """An instance of RDS for PostgreSQL with a hidden standby, in no cluster at all."""
    tags: Mapping[str, str] = field(default_factory=lambda: {"gameday": "allowed"})
    user: str = ADMIN_ROLE
    database: str | None = DATABASE  # None: only `postgres`, which is always there
    parameter_group: str | None = None  # None: the default DB cluster parameter group
    settings: Mapping[str, object] = field(default_factory=dict)
    """Further request members kept and shown as they were given (backup retention, ...)."""

    @property
    def first_class(self) -> str:
        """The class that its first instances have."""
        if self.instance_class is not None:
            return self.instance_class
        return SERVERLESS_CLASS if self.serverless is not None else PROVISIONED_CLASS


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterChanges:
    """What ModifyDBCluster asks for; None, and a setting that is not named, stays as it is."""

    new_id: str | None = None
    port: int | None = None
    password: str | None = field(default=None, repr=False)
    serverless: ServerlessBounds | None = None
    parameter_group: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    immediately: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """One instance as the API shows it, plus what only the control address shows."""

    id: str
    status: str
    is_writer: bool
    instance_class: str
    availability_zone: str
    promotion_tier: int
    endpoint: str  # DNS name
    port: int
    created_at: datetime
    tags: Mapping[str, str]
    settings: Mapping[str, object]
    address: str  # loopback address
    pid: int | None  # postmaster, None while it is down
    capacity_acu: float | None  # None: provisioned; 0: paused
    paused: bool = False
    awaits_reboot: bool = False
    """Whether it runs with other static settings than its parameter group and capacity want."""
    cluster_parameters: str = "in-sync"  # how far it is with the cluster's parameter group
    parameters: str = "in-sync"  # and with its own
    pending: Mapping[str, object] = field(default_factory=dict)
    """What was asked for and waits for ApplyImmediately, as PendingModifiedValues shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRecord:
    """One custom endpoint as the API shows it."""

    id: str
    endpoint: str  # DNS name
    resource_id: str  # cluster-endpoint-XXXXXXXX
    status: str  # creating | available | modifying | deleting
    kind: str  # READER | ANY
    static_members: tuple[str, ...]
    excluded_members: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """The cluster as the API shows it."""

    id: str
    status: str
    engine: str  # aurora-postgresql
    engine_version: str
    region: str
    account: str  # 000000000000, which AWS never issues
    resource_id: str  # cluster-XXXXXXXX
    hash: str  # the 12 letters and digits in every endpoint name
    cluster_endpoint: str
    reader_endpoint: str
    port: int
    user: str
    database: str | None
    availability_zones: tuple[str, ...]
    created_at: datetime
    serverless: ServerlessBounds | None
    tags: Mapping[str, str]
    parameter_group: str  # DB cluster parameter group
    instances: tuple[InstanceRecord, ...]
    settings: Mapping[str, object] = field(default_factory=dict)
    pending: Mapping[str, object] = field(default_factory=dict)
    """What was asked for and waits for ApplyImmediately, as PendingModifiedValues shows it."""
    custom_endpoints: tuple[EndpointRecord, ...] = ()
    is_secondary: bool = False  # of a global cluster, so without a writer
    global_cluster: str | None = None  # told by `Estate.home` alone
    is_cluster: bool = True
    """False: an instance in no cluster, told as a cluster of one writer with one endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One RDS event (facts: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/)."""

    at: datetime
    region: str
    source_type: str  # db-cluster | db-instance
    source_id: str
    event_id: str  # RDS-EVENT-0071
    categories: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A DNS name that is a CNAME; with several targets each query is answered with one of them.

    No target at all (a cluster without instances): the name exists and resolves to nothing.
    """

    targets: tuple[str, ...]
    ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A DNS name with one IPv4 address."""

    address: str
    ttl_s: int
