"""What a cluster is made of at one instant, as the RDS API tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What an instance does in its cluster."""

    WRITER = "writer"
    READER = "reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Serverless v2 bounds of a cluster, in ACU (steps of 0.5)."""

    min_acu: float
    max_acu: float


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
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A cluster at one instant. Endpoints are DNS names; `tags` decide whether it is opted in.

    `resource_id` is the service's own and never given twice, unlike identifier and ARN.
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
