"""One Region of the estate: its clusters, under identifiers that are unique in it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path

from chaos.errors import HostError
from chaos.testcluster.aurora.cloning import copy_volume
from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.aurora.cluster_changes import IAM
from chaos.testcluster.ground import Ground
from chaos.testcluster.parameters.parameter_groups import ParameterGroups
from chaos.testcluster.planned import Planned
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.records import (
    ApiError,
    ClusterSpec,
    EventRecord,
)
from chaos.testcluster.standalone.registry import Standalones
from chaos.testcluster.worldwide.global_cluster import GlobalCluster
from chaos.testcluster.worldwide.global_clusters import GlobalClusters

Make = Callable[[ClusterSpec, str], Cluster]
"""Adds a cluster of a specification, with a password, to its Region."""


class Region:
    """The resources of one Region; identifiers are given in lower case."""

    def __init__(
        self,
        name: str,
        ground: Ground,
        make: Make,
        global_clusters: GlobalClusters,
        standalones: Standalones,
    ) -> None:
        self.name = name
        self.global_clusters = global_clusters
        self.standalones = standalones
        self._ground = ground
        self._make = make
        self._lock = threading.RLock()
        self._clusters: dict[str, Cluster] = {}

    @property
    def engine_version(self) -> str:
        """The version of every server here."""
        return self._ground.binaries.version

    @property
    def ca_file(self) -> Path | None:
        """The certificate that clients are to trust; None without TLS."""
        return self._ground.security.ca_file

    @property
    def parameter_groups(self) -> ParameterGroups:
        """The account's parameter groups, by Region."""
        return self._ground.parameter_groups

    @property
    def planned(self) -> Planned:
        """The account's maintenance and deployments, by Region."""
        return self._ground.planned

    def clusters(self) -> tuple[Cluster, ...]:
        """Return the DB clusters."""
        with self._lock:
            return tuple(self._clusters.values())

    def cluster(self, identifier: str) -> Cluster:
        """Return the cluster of that identifier.

        Raises:
            ApiError: DBClusterNotFoundFault.
        """
        with self._lock:
            found = self._clusters.get(identifier)
        if found is None:
            raise ApiError("DBClusterNotFoundFault", f"DBCluster {identifier} not found.")
        return found

    def cluster_of(self, instance: str) -> Cluster:
        """Return the cluster that an instance is a member of.

        Raises:
            ApiError: DBInstanceNotFound.
        """
        for cluster in self.clusters():
            with cluster.core.lock:
                if instance in cluster.core.members:
                    return cluster
        raise ApiError("DBInstanceNotFound", f"DBInstance {instance} not found.")

    def events(self) -> tuple[EventRecord, ...]:
        """Return what happened in this Region, the oldest first."""
        return tuple(e for e in self._ground.events.all() if e.region == self.name)

    def put(self, cluster: Cluster) -> None:
        """Add a cluster.

        Raises:
            ApiError: DBClusterAlreadyExistsFault.
        """
        identifier = cluster.core.spec.id
        with self._lock:
            if identifier in self._clusters:
                raise ApiError("DBClusterAlreadyExistsFault", "DB Cluster already exists")
            self._clusters[identifier] = cluster
        cluster.core.register = self

    def create_cluster(
        self,
        spec: ClusterSpec,
        password: str,
        *,
        world: GlobalCluster | None = None,
        origin: Node | None = None,
    ) -> Cluster:
        """CreateDBCluster: make a cluster without instances; its pace is the first cluster's.

        It becomes a member of `world`, and its data begin as a copy of what `origin` has.

        Raises:
            ApiError: the identifier is taken, or the cluster cannot be made here.
        """
        self.require_free_cluster(spec.id)
        try:
            cluster = self._make(spec, password)
        except HostError as error:
            raise ApiError("InsufficientDBInstanceCapacity", str(error)) from error
        try:
            if spec.parameter_group is not None:
                cluster.parameters.use_cluster_group(spec.parameter_group)
            if spec.settings.get(IAM):
                cluster.change_iam_authentication(enabled=True)
        except ApiError:
            self.remove(cluster)
            cluster.close()
            raise
        if world is not None:
            self.global_clusters.join(world, cluster)
        cluster.found(None if origin is None else functools.partial(copy_volume, origin=origin))
        return cluster

    def delete_cluster(self, identifier: str) -> None:
        """DeleteDBCluster.

        Raises:
            ApiError: there is no such cluster, or it cannot be deleted now.
        """
        cluster = self.cluster(identifier)
        cluster.delete(functools.partial(self.remove, cluster))

    def rename_cluster(self, old: str, new: str) -> None:
        """Put a cluster under another identifier.

        Raises:
            ApiError: DBClusterAlreadyExistsFault.
        """
        with self._lock:
            self.require_free_cluster(new)
            self._clusters = {new if k == old else k: v for k, v in self._clusters.items()}

    def require_free_cluster(self, identifier: str) -> None:
        """Raise DBClusterAlreadyExistsFault if there is a cluster of that identifier."""
        if identifier in self._clusters:
            raise ApiError("DBClusterAlreadyExistsFault", "DB Cluster already exists")

    def require_free_instance(self, instance: str) -> None:
        """Raise DBInstanceAlreadyExists if any cluster has an instance of that identifier."""
        taken = any(cluster.core.has_taken(instance) for cluster in self.clusters())
        if taken or self.standalones.find(instance) is not None:
            raise ApiError("DBInstanceAlreadyExists", "DB instance already exists")

    def remove(self, cluster: Cluster) -> None:
        """Forget a cluster; closing it is its owner's."""
        with self._lock:
            self._clusters = {k: v for k, v in self._clusters.items() if v is not cluster}
