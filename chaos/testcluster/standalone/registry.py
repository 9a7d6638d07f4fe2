"""The stand-alone instances of one Region."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from chaos.errors import HostError
from chaos.testcluster.records import PROVISIONED_CLASS, ApiError, ClusterSpec
from chaos.testcluster.standalone.database import Standalone
from chaos.testcluster.standalone.records import StandaloneSpec

Make = Callable[[StandaloneSpec, str, Standalone | None], Standalone]
"""Makes an instance of a specification, with a password, perhaps as a replica of another."""

REPLICAS_MAX = 15


class Standalones:
    """Instances by identifier, in lower case."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._by_id: dict[str, Standalone] = {}

    def all(self) -> tuple[Standalone, ...]:
        """Return every instance."""
        with self._lock:
            return tuple(self._by_id.values())

    def find(self, identifier: str) -> Standalone | None:
        """Return an instance, None where there is none of that identifier."""
        with self._lock:
            return self._by_id.get(identifier)

    def replicas(self, source: Standalone) -> tuple[Standalone, ...]:
        """Return the read replicas of an instance."""
        return tuple(other for other in self.all() if other.source is source)

    def create(
        self, spec: StandaloneSpec, password: str, source: Standalone | None = None
    ) -> Standalone:
        """CreateDBInstance, CreateDBInstanceReadReplica.

        Raises:
            ApiError: the identifier is taken, or the instance or the replica cannot be made now.
        """
        if source is not None:
            source.require_available()
            if len(self.replicas(source)) >= REPLICAS_MAX:
                raise ApiError(
                    "InstanceQuotaExceeded",
                    f"DB instance {source.id} already has {REPLICAS_MAX} read replicas.",
                )
        made = self.put(spec, password, source)
        try:
            made.put_settings(spec.settings)
        except ApiError:
            self._forget(made)
            made.close()
            raise
        made.create()
        return made

    def put(
        self, spec: StandaloneSpec, password: str, source: Standalone | None = None
    ) -> Standalone:
        """Add an instance without servers.

        Raises:
            ApiError: the identifier is taken, or it cannot be made now.
        """
        try:
            made = self._make(spec, password, source)
        except HostError as error:
            raise ApiError("InsufficientDBInstanceCapacity", str(error)) from error
        with self._lock:
            taken = spec.id in self._by_id
            if not taken:
                self._by_id[spec.id] = made
        if taken:
            made.close()
            raise ApiError("DBInstanceAlreadyExists", "DB instance already exists")
        return made

    def delete(self, instance: Standalone) -> None:
        """DeleteDBInstance; what was replicated from it takes writes from then on.

        Raises:
            ApiError: it is being deleted already, or protected.
        """
        replicas = self.replicas(instance)
        instance.end(functools.partial(self._forget, instance))
        for replica in replicas:
            replica.lose_source()

    def _forget(self, instance: Standalone) -> None:
        with self._lock:
            self._by_id.pop(instance.id, None)


def multi_az(home: ClusterSpec) -> StandaloneSpec:
    """Return the Multi-AZ instance that a server is started for."""
    return StandaloneSpec(
        id=home.id,
        region=home.region,
        instance_class=home.instance_class or PROVISIONED_CLASS,
        user=home.user,
        database=home.database,
        port=home.port,
        multi_az=True,
        tags=home.tags,
        settings=home.settings,
    )


def nodes_of(spec: StandaloneSpec, pace: ClusterSpec) -> ClusterSpec:
    """Return the specification of the cluster of an instance's nodes."""
    return ClusterSpec(
        id=spec.id,
        region=spec.region,
        readers=1,
        port=spec.port,
        serverless=None,
        tags=spec.tags,
        user=spec.user,
        database=spec.database,
        profile=pace.profile,
        seed=pace.seed,
        instance_ttl_s=pace.instance_ttl_s,
        dns_flip_s=pace.dns_flip_s,
    )
