"""What a cluster is made of at one instant, as the RDS API tells it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What an instance does in its cluster."""

    WRITER = "writer"
    READER = "reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Serverless v2 bounds of a cluster, in ACU (steps of 0.5).

    `pause_after_s` is SecondsUntilAutoPause, which the service shows only with a minimum of 0.
    """

    min_acu: float
    max_acu: float
    pause_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomEndpoint:
    """A custom endpoint of a cluster: `static` members only, or all but the `excluded` ones."""

    id: str
    address: str
    kind: str  # READER | ANY
    status: str
    static: tuple[str, ...]
    excluded: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalMember:
    """One cluster of a global cluster."""

    arn: str
    region: str
    is_primary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalCluster:
    """A global cluster: one primary cluster, which has the writer, and secondary ones.

    `failing_over` holds FailoverState's Status while the service moves the primary, else "".
    """

    id: str
    status: str
    members: tuple[GlobalMember, ...]
    failing_over: str = ""

    @property
    def primary(self) -> GlobalMember | None:
        """The cluster that has the writer."""
        return next((m for m in self.members if m.is_primary), None)

    @property
    def secondaries(self) -> tuple[GlobalMember, ...]:
        """Every other one."""
        return tuple(m for m in self.members if not m.is_primary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One instance of a cluster. `settings` holds what is needed to create it again as it was."""

    id: str
    role: Role
    status: str
    endpoint: str
    port: int
    promotion_tier: int
    instance_class: str
    availability_zone: str
    maintenance_window: str = ""
    pending: Mapping[str, object] = field(default_factory=dict)
    """PendingModifiedValues: changes that wait for a reboot or a window."""
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A cluster at one instant. Endpoints are DNS names; `tags` decide whether it is opted in.

    `resource_id` is the service's own and never given twice, unlike identifier and ARN. An RDS
    instance that is in no cluster is told as a cluster of one writer, `multi_az` where it has a
    standby; its reader endpoint is its only endpoint.
    """

    cluster: str
    arn: str
    resource_id: str
    status: str
    engine: str
    engine_version: str
    port: int
    cluster_endpoint: str
    reader_endpoint: str
    members: tuple[Member, ...]
    capacity: Capacity | None
    tags: Mapping[str, str]
    serverless_platform: str = ""
    """ServerlessV2PlatformVersion, on which the greatest maximum depends; "" where none is told."""
    is_cluster: bool = True
    multi_az: bool = False
    parameter_group: str = ""
    maintenance_window: str = ""
    """PreferredMaintenanceWindow, UTC, as `sun:04:00-sun:04:30`; each member has one of its own."""
    backup_window: str = ""
    """PreferredBackupWindow, UTC, as `02:00-02:30`."""
    pending: Mapping[str, object] = field(default_factory=dict)
    """PendingModifiedValues of the cluster: changes that wait for a window."""

    @property
    def has_standby(self) -> bool:
        """Whether it is one instance with a hidden standby, with which a failover swaps its zone.

        Of a cluster, `multi_az` says only that its instances are in several zones.
        """
        return self.multi_az and not self.is_cluster

    @property
    def writer(self) -> Member | None:
        """The writer that the API names, or None while it names none."""
        return next((m for m in self.members if m.role is Role.WRITER), None)

    @property
    def readers(self) -> tuple[Member, ...]:
        """Every reader, in the API's order."""
        return tuple(m for m in self.members if m.role is Role.READER)

    def member(self, instance: str) -> Member | None:
        """Return the member with this identifier, or None."""
        return next((m for m in self.members if m.id == instance), None)

    def all_available(self) -> bool:
        """Tell whether cluster and members all report `available`, a writer among them."""
        return (
            self.status == "available"
            and self.writer is not None
            and all(m.status == "available" for m in self.members)
        )

    def is_back_to(self, first: Topology, *, but: Collection[str] = ()) -> bool:
        """Tell whether everything is available, with the members of `first`, some apart."""
        mine = {m.id: m.status for m in self.members if m.id not in but}
        return (
            self.status == "available"
            and self.writer is not None
            and set(mine) == {m.id for m in first.members if m.id not in but}
            and all(status == "available" for status in mine.values())
        )
