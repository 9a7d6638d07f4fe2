"""A global cluster: a primary that writes, and secondaries in other Regions that stream from it.

    primary's writer ==asynchronous==> secondary's first node --cascade--> its other nodes

Nothing but that stream joins two Regions: a secondary does not read the primary's storage, so it
lags and may lack the newest commits, as Aurora's does. A switchover stops writes, waits until the
target has all of them, and exchanges the roles; a failover promotes what the target has, and every
other member copies the new primary's data anew. Source: "Using switchover or failover in Amazon Aurora
Global Database", https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/

Modelled: a failover always ends the old primary's servers first, so it cannot go on writing (Aurora's
fence is a best effort); a secondary without instances holds no data.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime

from chaos.errors import DatabaseError, HostError, WaitTimeout
from chaos.testcluster import events
from chaos.testcluster.aurora.cloning import copy_volume, require_origin
from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.aurora.core import AVAILABLE, FAILED, FAILING_OVER, REBOOTING, Core, Member
from chaos.testcluster.aurora.readers import clone, start_in_role, start_writer
from chaos.testcluster.identifiers import arn
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.records import ACCOUNT, ApiError
from chaos.wait import wait_until

log = logging.getLogger(__name__)

_CLEAN_SHUTDOWN_S = 10.0
_SYNCHRONIZED_S = 15.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange of roles that is going on."""

    old: Cluster
    new: Cluster
    allows_data_loss: bool


class GlobalCluster:
    """One global cluster; attributes are guarded by the lock of the estate's `GlobalClusters`."""

    def __init__(self, identifier: str, *, engine: str, created_at: datetime) -> None:
        self.id = identifier
        self.engine = engine
        self.created_at = created_at
        self.resource_id = (
            "cluster-" + hashlib.sha256(f"{identifier} {created_at}".encode()).hexdigest()[:16]
        )
        self.deletion_protection = False
        self.tags: dict[str, str] = {}
        self.status = AVAILABLE
        self.exchange: Exchange | None = None
        self.primary: Cluster | None = None
        self.dns_primary: Cluster | None = None  # as the global writer endpoint answers, which lags
        self.secondaries: list[Cluster] = []
        self.resynchronizing: set[Cluster] = set()  # secondaries that get the primary's data anew

    @property
    def members(self) -> tuple[Cluster, ...]:
        """The member clusters, the primary first."""
        return (*((self.primary,) if self.primary else ()), *self.secondaries)

    @property
    def endpoint(self) -> str:
        """The global writer endpoint, which leads to the primary wherever it is."""
        # Letters and digits as in other endpoints, and the same for the life of the global cluster.
        return f"{self.id}.global-{self.resource_id[-12:]}.global.rds.amazonaws.com"

    def source(self) -> Node | None:
        """Return the node that secondaries stream from now."""
        writer = self.primary.core.writer_member() if self.primary else None
        return writer.node if writer else None


def cluster_arn(cluster: Cluster) -> str:
    """Return the ARN by which a global cluster names a member."""
    spec = cluster.core.spec
    return arn(spec.region, ACCOUNT, "cluster", spec.id)


def require_head(cluster: Cluster) -> Member:
    """Return a member cluster's first node, available.

    Raises:
        ApiError: InvalidDBClusterStateFault: it has none, or the cluster is busy.
    """
    core = cluster.core
    with core.lock:
        head = core.writer_member()
        if core.status != AVAILABLE or head is None or head.status != AVAILABLE:
            raise ApiError(
                "InvalidDBClusterStateFault",
                f"DB cluster {core.spec.id} in {core.spec.region} must be available and have an "
                "available instance.",
            )
        return head


class RoleExchange:
    """Switches or fails a global cluster over to one of its secondaries; runs in the background."""

    def __init__(self, world: GlobalCluster, old: Cluster, new: Cluster, *, lossy: bool) -> None:
        self._world = world
        self._old, self._new = old, new
        self._lossy = lossy

    def begin(self) -> None:
        """Claim both clusters, and do it in the background.

        Raises:
            ApiError: one of them is busy.
        """
        world, old, new = self._world, self._old.core, self._new.core
        with new.lock, old.lock:
            heads = [require_head(self._new)]
            if not self._lossy:
                heads.append(require_head(self._old))
            world.exchange = Exchange(self._old, self._new, self._lossy)
            world.status = FAILING_OVER if self._lossy else "switching-over"
            old.status = new.status = FAILING_OVER
            for head in heads:  # Who restarted the old one meanwhile would make a second writer.
                head.status = REBOOTING
        new.background("change of the primary cluster", self._run, failed=self._failed)

    def _run(self) -> None:
        old, new = self._old.core, self._new.core
        delays = new.pacer.next("global switchover")
        if self._lossy:
            new.pause(delays.shutdown)
            self._fence()
        else:
            self._record(events.SWITCHOVER_STARTED)
            new.pause(delays.shutdown)
            if not self._stop_writes():
                self._cancel()
                return
        new.pause(delays.promote)
        try:
            self._head(new).node.promote()
        except (HostError, DatabaseError, WaitTimeout, OSError) as error:
            log.warning("%s cannot be promoted: %s", new.spec.id, error)
            self._give_up_target()
            return
        self._become_primary()
        if self._lossy:
            for cluster in self._world.secondaries:
                cluster.core.background(
                    "resynchronization",
                    functools.partial(self._resynchronize, cluster),
                    failed=functools.partial(_lost, cluster.core),
                )
        else:
            self._record(events.SWITCHOVER_PROMOTED)
            old.background("return as a secondary", self._demote, failed=lambda: _lost(old))
        new.pause(delays.dns_lag)
        self._world.dns_primary = self._new
        self._record(events.GLOBAL_DNS_CHANGED)
        self._record(
            events.GLOBAL_FAILOVER_COMPLETED if self._lossy else events.SWITCHOVER_FINISHED
        )
        self._settle()

    def _fence(self) -> None:
        """End all of the old primary's servers; whatever else starts one of them makes it a reader."""
        old, head = self._old.core, self._head(self._new.core)
        with old.lock:
            old.source = lambda: head.node
        _claimed(old)
        for member in old.others():
            member.node.kill()

    def _stop_writes(self) -> bool:
        """Shut the old primary's writer down, and tell whether the target then gets all it wrote."""
        old, new = self._old.core, self._new.core
        writer = self._head(old)
        # A clean end gives every stream what was written last, its own end included.
        writer.node.shut_down(grace_s=_CLEAN_SHUTDOWN_S)
        self._record(events.SWITCHOVER_OLD_DOWN, self._old)
        self._record(events.SWITCHOVER_WAITING)
        storage, foundation = old.foundation.storage, old.foundation
        target = self._head(new).node
        target.replay.catch_up()

        def synchronized() -> bool:
            new.pause(0)
            lsn = target.replayed_lsn()
            return lsn is not None and not storage.holds_more(
                lsn, foundation.binaries, foundation.account
            )

        try:
            wait_until(synchronized, f"{new.spec.id} to have all", timeout_s=_SYNCHRONIZED_S)
        except (WaitTimeout, HostError) as error:
            log.warning("%s cannot take over: %s", new.spec.id, error)
            return False
        return True

    def _become_primary(self) -> None:
        """Make the promoted target the primary; its other nodes follow the same node as before."""
        new, world = self._new.core, self._world
        head = self._head(new)
        with new.lock:
            new.source = None
            new.shown_writer = new.dns_writer = new.writer
            head.status = AVAILABLE
        world.secondaries = [c for c in world.members if c is not self._new]
        world.primary = self._new
        for cluster in world.secondaries:
            cluster.core.source = world.source
        new.publish_topology()

    def _demote(self) -> None:
        """Bring the old primary back as a secondary, on its own data: the new one has them all."""
        old, head = self._old.core, self._head(self._old.core)
        start_writer(old, head)
        with old.lock:
            head.status = old.status = AVAILABLE
        old.publish_topology()

    def _resynchronize(self, cluster: Cluster) -> None:
        """Copy the new primary's data to a secondary: it may have what that one lacks."""
        core = cluster.core
        self._world.resynchronizing.add(cluster)
        with core.lock:
            core.status = FAILING_OVER
        self._record(events.GLOBAL_RESYNC_STARTED, cluster)
        try:
            rebuild(core, _claimed(core))
        finally:
            self._world.resynchronizing.discard(cluster)
        with core.lock:
            core.status = AVAILABLE
        self._record(events.GLOBAL_RESYNC_FINISHED, cluster)

    def _cancel(self) -> None:
        """Give the old primary its writer back."""
        start_writer(self._old.core, self._head(self._old.core))
        self._release_old()
        with self._new.core.lock:
            self._head(self._new.core).status = AVAILABLE
        self._record(events.SWITCHOVER_CANCELLED)
        self._settle()

    def _give_up_target(self) -> None:
        """Leave the roles as they were, after a promotion that failed, and give the target new data."""
        new = self._new.core
        self._head(new).node.kill()  # Before anything else: it may be writable all the same.
        self._release_old()
        self._record(events.GLOBAL_FAILOVER_FAILED if self._lossy else events.SWITCHOVER_CANCELLED)
        self._settle()
        new.background(
            "resynchronization",
            functools.partial(self._resynchronize, self._new),
            failed=functools.partial(_lost, new),
        )

    def _release_old(self) -> None:
        """Let the old primary be one again; its monitor restarts what is down, as what has died."""
        old = self._old.core
        with old.lock:
            if self._world.primary is self._old:
                old.source = None
            for member in old.members.values():
                if member.status == REBOOTING:
                    member.status = AVAILABLE
            old.status = AVAILABLE

    def _settle(self) -> None:
        with self._new.core.lock:
            self._new.core.status = AVAILABLE
        self._world.exchange = None
        self._world.status = AVAILABLE

    def _failed(self) -> None:
        self._record(events.GLOBAL_FAILOVER_FAILED if self._lossy else events.SWITCHOVER_FAILED)
        _lost(self._new.core)
        self._release_old()
        self._settle()

    @staticmethod
    def _head(core: Core) -> Member:
        head = core.writer_member()
        if head is None:
            raise HostError(f"cluster {core.spec.id} has no instance to write with")
        return head

    def _record(self, kind: events.EventKind, about: Cluster | None = None) -> None:
        core = (about or self._new).core
        core.record(kind, core.spec.id, name=core.spec.id, region=core.spec.region)


def _claimed(core: Core) -> list[Member]:
    """Take every node that is not gone from whoever might use it; the first node comes first."""
    with core.lock:
        head = core.writer_member()
        claimed = [m for m in core.members.values() if m.status in {AVAILABLE, REBOOTING, FAILED}]
        for member in claimed:
            member.status = REBOOTING
            member.in_reader_endpoint = False
    return sorted(claimed, key=lambda m: m is not head)


def _lost(core: Core) -> None:
    for member in core.members.values():
        if member.status == REBOOTING:
            member.status = AVAILABLE if member.node.pid is not None else FAILED
    core.status = AVAILABLE


def rebuild(core: Core, members: list[Member]) -> None:
    """Give a secondary's nodes, the first one first, a fresh copy of the primary's data.

    Raises:
        HostError, WaitTimeout: a node could not be brought back.
    """
    for member in members:
        member.node.kill()
    for member in members:
        clone(core, member)
        start_in_role(core, member)
        with core.lock:
            member.status = AVAILABLE
            member.in_reader_endpoint = True
    core.publish_topology()


def follow(core: Core) -> None:
    """Let a secondary's first node stream from where the primary's writer is now."""
    source = core.source() if core.source is not None else None
    with core.lock:
        head = core.writer_member()
        at_rest = head is not None and head.status == AVAILABLE and head.node.pid is not None
    if source is not None and head is not None and at_rest and head.node.upstream != source.address:
        head.node.follow(source.address)


def detach(cluster: Cluster) -> None:
    """Make a secondary a cluster by itself, with what it has; without instances, with a copy.

    Raises:
        ApiError: it is busy, or there is nothing to copy.
    """
    core = cluster.core
    head = require_head(cluster) if core.members else None
    origin = require_origin(core) if head is None else None
    with core.lock:
        core.status = "promoting"
        if head is not None:
            head.status = REBOOTING

    def work() -> None:
        core.pause(core.pacer.next("global detachment").promote)
        if origin is not None:
            copy_volume(core, origin.node)
        if head is not None:
            head.node.promote()
        with core.lock:
            core.source = None
            core.shown_writer = core.dns_writer = core.writer
            if head is not None:
                head.status = AVAILABLE
            core.status = AVAILABLE
        core.publish_topology()

    def failed() -> None:
        if head is not None:
            head.status = FAILED
        core.status = AVAILABLE

    core.background("promotion of a secondary", work, failed=failed)
