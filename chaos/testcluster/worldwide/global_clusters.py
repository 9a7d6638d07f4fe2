"""The global clusters of an estate: what may be asked of them, and the thread that keeps them joined.

Two steps keep every secondary where it belongs: its first node follows the primary's writer wherever a
failover took that one, and all nodes are told what `aurora_global_db_status()` has to show.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping

from chaos.clock import Anchor
from chaos.errors import GamedayError
from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.aurora.core import AVAILABLE
from chaos.testcluster.aurora.tags import changed_tags
from chaos.testcluster.records import Alias, ApiError
from chaos.testcluster.worldwide.global_cluster import (
    GlobalCluster,
    RoleExchange,
    cluster_arn,
    detach,
    follow,
    require_head,
)
from chaos.testcluster.worldwide.global_status import hide, show

log = logging.getLogger(__name__)

SECONDARIES_MAX = 10
_TTL_S = 5
_FOLLOW_INTERVAL_S = 0.1
_SHOW_EVERY = 5


class GlobalClusters:
    """Those of one account; every Region sees them all.

    Args:
        find: returns the cluster of a Region and an identifier; raises DBClusterNotFoundFault.
    """

    def __init__(self, find: Callable[[str, str], Cluster]) -> None:
        self._find = find
        self._lock = threading.RLock()
        self._items: dict[str, GlobalCluster] = {}
        self._closing = threading.Event()
        self._keeper: threading.Thread | None = None

    # -- what is there ---------------------------------------------------------------------------

    def all(self) -> tuple[GlobalCluster, ...]:
        """Return the global clusters, by identifier."""
        with self._lock:
            return tuple(self._items[key] for key in sorted(self._items))

    def get(self, identifier: str) -> GlobalCluster:
        """Return one.

        Raises:
            ApiError: GlobalClusterNotFoundFault.
        """
        with self._lock:
            found = self._items.get(identifier)
        if found is None:
            raise ApiError("GlobalClusterNotFoundFault", f"Global cluster {identifier} not found.")
        return found

    def of(self, cluster: Cluster) -> GlobalCluster | None:
        """Return the one that a cluster is a member of, if any."""
        return next((world for world in self.all() if cluster in world.members), None)

    def member(self, region: str, identifier: str) -> GlobalCluster | None:
        """Return the one that a Region's cluster of that identifier is a member of, if any."""
        return self.of(self._find(region, identifier))

    def names(self) -> Mapping[str, Alias]:
        """Return the global writer endpoints as they are answered now."""
        return {
            world.endpoint: Alias(
                targets=(
                    (world.dns_primary.snapshot().cluster_endpoint,) if world.dns_primary else ()
                ),
                ttl_s=_TTL_S,
            )
            for world in self.all()
        }

    # -- making and changing ---------------------------------------------------------------------

    def create(self, identifier: str, *, engine: str, source: str | None) -> GlobalCluster:
        """Make one, of an existing cluster (by ARN) as its primary, or empty.

        Raises:
            ApiError: the identifier is taken; the source is not there, busy, or a member already.
        """
        with self._lock:
            if identifier in self._items:
                raise ApiError(
                    "GlobalClusterAlreadyExistsFault", f"Global cluster {identifier} exists already"
                )
            anchor = Anchor.take()
            world = GlobalCluster(
                identifier, engine=engine, created_at=anchor.wall(anchor.monotonic_ns)
            )
            if source is not None:
                self._adopt_primary(world, self._cluster(source))
            self._items[identifier] = world
            self._begin_keeping()
            return world

    def _adopt_primary(self, world: GlobalCluster, cluster: Cluster) -> None:
        if self.of(cluster) is not None:
            raise ApiError(
                "InvalidDBClusterStateFault",
                f"DB cluster {cluster_arn(cluster)} is already a member of a global cluster.",
            )
        if cluster.core.status != AVAILABLE:
            raise ApiError(
                "InvalidDBClusterStateFault",
                f"DB cluster {cluster.core.spec.id} is not in available state; "
                f"it is {cluster.core.status}.",
            )
        world.primary = world.dns_primary = cluster

    def require_joinable(self, identifier: str, region: str) -> GlobalCluster:
        """Return the global cluster that a new cluster of a Region asks to be a member of.

        Raises:
            ApiError: it is not there, busy, full, or has a member in that Region already.
        """
        world = self.get(identifier)
        if world.status != AVAILABLE:
            raise _busy(world)
        if len(world.secondaries) >= SECONDARIES_MAX:
            raise ApiError(
                "InvalidGlobalClusterStateFault",
                f"A global cluster has at most {SECONDARIES_MAX} secondary clusters.",
            )
        if any(member.core.spec.region == region for member in world.members):
            raise ApiError(
                "InvalidParameterValue",
                f"Global cluster {identifier} has a member in {region} already; each member is in "
                "a Region of its own.",
            )
        return world

    def join(self, world: GlobalCluster, cluster: Cluster) -> None:
        """Make a cluster without instances a member: the primary where there is none."""
        with self._lock:
            if world.primary is None:
                world.primary = world.dns_primary = cluster
            else:
                cluster.core.source = world.source
                world.secondaries.append(cluster)

    def leave(self, cluster: Cluster) -> None:
        """Forget a cluster that was deleted."""
        with self._lock:
            world = self.of(cluster)
            if world is None:
                return
            if world.primary is cluster:
                world.primary = world.dns_primary = None
            else:
                world.secondaries.remove(cluster)
        hide(cluster)

    def remove(self, identifier: str, arn: str) -> GlobalCluster:
        """RemoveFromGlobalCluster: a secondary becomes a cluster by itself; a primary goes last.

        Raises:
            ApiError: not a member, busy, or the primary of others.
        """
        with self._lock:
            world = self.get(identifier)
            cluster = self._member(world, arn)
            if world.status != AVAILABLE:
                raise _busy(world)
            if cluster is world.primary and world.secondaries:
                raise ApiError(
                    "InvalidGlobalClusterStateFault",
                    f"{arn} is the primary of global cluster {identifier}; remove its secondary "
                    "clusters first.",
                )
            if cluster is not world.primary:
                detach(cluster)
            self.leave(cluster)
            return world

    def modify(
        self, identifier: str, *, new_identifier: str | None, deletion_protection: bool | None
    ) -> GlobalCluster:
        """ModifyGlobalCluster: the identifier, and the protection against deletion.

        Raises:
            ApiError: there is none, or the new identifier is taken.
        """
        with self._lock:
            world = self.get(identifier)
            if new_identifier is not None and new_identifier != identifier:
                if new_identifier in self._items:
                    raise ApiError(
                        "GlobalClusterAlreadyExistsFault",
                        f"Global cluster {new_identifier} exists already",
                    )
                del self._items[identifier]
                world.id = new_identifier
                self._items[new_identifier] = world
            if deletion_protection is not None:
                world.deletion_protection = deletion_protection
            return world

    def retag(self, identifier: str, *, add: Mapping[str, str], remove: Collection[str]) -> None:
        """Add or replace tags of one, and remove some.

        Raises:
            ApiError: there is none, or it would have too many.
        """
        with self._lock:
            world = self.get(identifier)
            world.tags = changed_tags(world.tags, add, remove)

    def delete(self, identifier: str) -> GlobalCluster:
        """DeleteGlobalCluster, of one without members.

        Raises:
            ApiError: there is none, it is protected, or it has members.
        """
        with self._lock:
            world = self.get(identifier)
            if world.deletion_protection:
                raise ApiError(
                    "InvalidParameterCombination",
                    "Cannot delete protected Global Cluster, please disable deletion protection "
                    "and try again.",
                )
            if world.members:
                raise ApiError(
                    "InvalidGlobalClusterStateFault", f"Global Cluster {identifier} is not empty"
                )
            del self._items[identifier]
            return world

    def change_primary(
        self, identifier: str, target: str, *, allows_data_loss: bool
    ) -> GlobalCluster:
        """SwitchoverGlobalCluster, or FailoverGlobalCluster where data may be lost.

        Raises:
            ApiError: the target is no secondary, or something is busy.
        """
        with self._lock:
            world = self.get(identifier)
            cluster = self._member(world, target)
            if world.status != AVAILABLE or world.primary is None:
                raise _busy(world)
            if cluster is world.primary:
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"DB cluster {target} is the primary of global cluster {identifier} already.",
                )
            require_head(cluster)
            RoleExchange(world, world.primary, cluster, lossy=allows_data_loss).begin()
            return world

    def _member(self, world: GlobalCluster, arn: str) -> Cluster:
        for member in world.members:
            if arn in {cluster_arn(member), member.core.spec.id}:
                return member
        raise ApiError(
            "DBClusterNotFoundFault", f"DB cluster {arn} is no member of global cluster {world.id}."
        )

    def _cluster(self, arn: str) -> Cluster:
        parts = arn.split(":")
        if len(parts) != 7 or parts[5] != "cluster":  # noqa: PLR2004 - arn:aws:rds:R:A:cluster:ID
            raise ApiError("InvalidParameterValue", f"{arn} is not the ARN of a DB cluster.")
        return self._find(parts[3], parts[6].lower())

    # -- keeping them joined ---------------------------------------------------------------------

    def _begin_keeping(self) -> None:
        if self._keeper is None and not self._closing.is_set():
            self._keeper = threading.Thread(target=self._keep, name="global clusters", daemon=True)
            self._keeper.start()

    def close(self) -> None:
        """End the thread, before the clusters are closed."""
        self._closing.set()
        with self._lock:
            keeper = self._keeper
        if keeper is not None:
            keeper.join(5.0)

    def _keep(self) -> None:
        turn = 0
        while not self._closing.wait(_FOLLOW_INTERVAL_S):
            turn += 1
            for world in self.all():
                try:
                    for cluster in world.secondaries:
                        follow(cluster.core)
                    if turn % _SHOW_EVERY == 0:
                        show(world)
                except (GamedayError, OSError):
                    log.exception("global cluster %s could not be kept joined", world.id)


def _busy(world: GlobalCluster) -> ApiError:
    return ApiError(
        "InvalidGlobalClusterStateFault",
        f"Global cluster {world.id} is not in available state, or has no primary cluster; "
        f"it is {world.status}.",
    )
