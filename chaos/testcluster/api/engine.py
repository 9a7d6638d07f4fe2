"""What the control plane asks of the estate, Regions and clusters that it shows and commands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from chaos.testcluster.aurora.cloning import Origin
from chaos.testcluster.aurora.endpoint_changes import EndpointChanges
from chaos.testcluster.disturbances.registry import Disturbances
from chaos.testcluster.parameters.parameter_groups import ParameterGroups
from chaos.testcluster.parameters.parameter_state import ParameterState
from chaos.testcluster.planned import Planned
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.records import (
    ClusterChanges,
    ClusterRecord,
    ClusterSpec,
    EventRecord,
    InstanceChanges,
    InstanceSpec,
)
from chaos.testcluster.standalone.registry import Standalones
from chaos.testcluster.worldwide.global_cluster import GlobalCluster
from chaos.testcluster.worldwide.global_clusters import GlobalClusters

if TYPE_CHECKING:
    from chaos.testcluster.api.behaviour import Behaviour


class Engine(Protocol):
    """One cluster. Every command returns at once and raises `ApiError` if it is refused."""

    @property
    def endpoints(self) -> EndpointChanges:
        """Its custom endpoints."""

    @property
    def parameters(self) -> ParameterState:
        """Its parameter groups, and its instances'."""

    def snapshot(self) -> ClusterRecord:
        """Return the cluster as it is now."""

    def origin(self) -> Origin:
        """Return what a copy of it can be taken from now."""

    def failover(self, target: str | None) -> None:
        """Begin to promote `target`, or the reader that the promotion tiers choose."""

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        """Begin to restart an instance."""

    def create_instance(self, spec: InstanceSpec) -> None:
        """Begin to add a reader (or the writer of an empty cluster)."""

    def delete_instance(self, instance: str) -> None:
        """Begin to remove an instance."""

    def modify(self, changes: ClusterChanges) -> None:
        """Begin to change the cluster."""

    def modify_instance(self, instance: str, changes: InstanceChanges) -> None:
        """Begin to change an instance."""

    def log(self, instance: str) -> Path:
        """Return the log file of an instance's server."""

    def stop(self) -> None:
        """Begin to end all servers."""

    def start(self) -> None:
        """Begin to start all servers again."""

    def retag(
        self, instance: str | None, *, add: Mapping[str, str], remove: Collection[str]
    ) -> None:
        """Change the tags of an instance or (None) of the cluster, at once."""


class Region(Protocol):
    """One Region; identifiers are given in lower case."""

    @property
    def name(self) -> str:
        """As in ARNs: `eu-west-1`."""

    @property
    def engine_version(self) -> str:
        """The version of every server here: `15.18`."""

    @property
    def standalones(self) -> Standalones:
        """Its DB instances without a cluster."""

    @property
    def ca_file(self) -> Path | None:
        """The certificate that clients are to trust; None without TLS."""

    @property
    def parameter_groups(self) -> ParameterGroups:
        """The account's parameter groups, by Region."""

    @property
    def planned(self) -> Planned:
        """The account's maintenance and deployments, by Region."""

    def clusters(self) -> Sequence[Engine]:
        """Return its clusters."""

    def cluster(self, identifier: str) -> Engine:
        """Return a cluster; raise DBClusterNotFoundFault."""

    def cluster_of(self, instance: str) -> Engine:
        """Return the cluster of an instance; raise DBInstanceNotFound."""

    def create_cluster(
        self,
        spec: ClusterSpec,
        password: str,
        *,
        world: GlobalCluster | None = None,
        origin: Node | None = None,
    ) -> Engine:
        """Begin to make a cluster without instances, with a copy of a node's data where given."""

    def delete_cluster(self, identifier: str) -> None:
        """Begin to remove a cluster without instances."""

    def require_free_instance(self, instance: str) -> None:
        """Raise DBInstanceAlreadyExists where an instance has that identifier."""

    def events(self) -> tuple[EventRecord, ...]:
        """Return every event so far, the oldest first."""

    @property
    def global_clusters(self) -> GlobalClusters:
        """The account's global clusters, the same in every Region."""


class ServedEstate(Protocol):
    """What the API serves."""

    @property
    def api_behaviour(self) -> Behaviour:
        """How it misbehaves."""

    def region(self, name: str) -> Region:
        """Return a Region; raise SignatureDoesNotMatch where the name cannot be one."""


class ControlledEstate(Protocol):
    """What the control address serves."""

    @property
    def disturbances(self) -> Disturbances:
        """The disturbances in force."""

    def home(self) -> ClusterRecord:
        """Return the cluster that the server was started for."""
