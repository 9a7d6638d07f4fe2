"""Taking all servers of a cluster down and up again: stopping, starting, another port.

The writer goes first and comes first, so that no reader lacks anything that it wrote. Instances keep
their addresses and names, as AWS keeps a stopped cluster's endpoints; nobody answers there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from chaos.testcluster import events
from chaos.testcluster.aurora.core import (
    AVAILABLE,
    FAILED,
    MODIFYING,
    REBOOTING,
    STARTING,
    STOPPED,
    STOPPING,
    Core,
    Member,
    require_available,
    require_cluster_available,
)
from chaos.testcluster.aurora.readers import start_reader, start_writer
from chaos.testcluster.records import ApiError

_GRACE_S = 2.0


class Standstill:
    """The stops and starts of one cluster."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def stop(self) -> None:
        """Accept StopDBCluster.

        Raises:
            ApiError: the cluster or one of its instances is not available.
        """
        core = self._core
        with core.lock:
            require_cluster_available(core)
            for member in core.members.values():
                require_available(member)
            core.status = STOPPING
            self._mark(STOPPING)
        delays = core.pacer.next("stop")

        def work() -> None:
            core.pause(delays.stop)
            self.down()
            with core.lock:
                self._mark(STOPPED)
                core.status = STOPPED
            for member in core.others():
                core.record(events.INSTANCE_STOPPED, member.id)
            core.record(events.CLUSTER_STOPPED, core.spec.id)

        def failed() -> None:
            core.record(events.CLUSTER_STOP_FAILED, core.spec.id)
            self.give_up()

        core.background("stop", work, failed=failed)

    def start(self) -> None:
        """Accept StartDBCluster.

        Raises:
            ApiError: the cluster is not stopped.
        """
        core = self._core
        with core.lock:
            if core.status != STOPPED:
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"DbCluster {core.spec.id} is in {core.status} state but expected in one of "
                    f"{STOPPED}",
                )
            core.status = STARTING
            self._mark(STARTING)
        delays = core.pacer.next("start")

        def work() -> None:
            core.pause(delays.start)
            self.up()
            with core.lock:
                core.status = AVAILABLE
            for member in core.others():
                core.record(events.INSTANCE_STARTED, member.id)
            core.record(events.CLUSTER_STARTED, core.spec.id)

        core.background("start", work, failed=self.give_up)

    def claim(self) -> None:
        """Take all instances, so that no failover begins until they are restarted; lock is held."""
        self._mark(MODIFYING)

    def change_port(self, port: int) -> None:
        """Restart every instance on another port; in the background, after `claim`."""
        core = self._core
        with core.lock:
            self._mark(REBOOTING)
            members = core.others()
        self.down()
        with core.lock:
            core.foundation = replace(core.foundation, port=port)
        for member in members:
            core.record(events.INSTANCE_SHUTDOWN, member.id)
            member.node.rebase(core.foundation)
        self.up()
        for member in members:
            core.record(events.INSTANCE_RESTARTED, member.id)

    # -- all servers -----------------------------------------------------------------------------

    def down(self) -> None:
        """Shut all servers down, the writer first."""
        core = self._core
        core.await_awake(core.others())
        writer = core.writer_member()
        if writer is not None:
            writer.node.shut_down(grace_s=_GRACE_S)
        _each(lambda m: m.node.shut_down(grace_s=_GRACE_S), core.others(writer))

    def up(self) -> None:
        """Start all servers, the writer first; each is available once it serves.

        Raises:
            HostError, WaitTimeout: one of them does not come up.
        """
        core = self._core
        writer = core.writer_member()
        if writer is not None:
            start_writer(core, writer)
            self._serve(writer)

        def start(member: Member) -> None:
            start_reader(core, member)
            self._serve(member)

        _each(start, core.others(writer))
        core.publish_topology()

    def _serve(self, member: Member) -> None:
        with self._core.lock:
            member.status = AVAILABLE
            member.in_reader_endpoint = True

    def _mark(self, status: str) -> None:
        for member in self._core.members.values():
            member.status = status
            member.in_reader_endpoint = False

    def give_up(self) -> None:
        """Say how it is with each instance where not all could be done; the lock is held."""
        core = self._core
        for member in core.members.values():
            if member.status in {STOPPING, STARTING, REBOOTING, MODIFYING}:
                member.status = AVAILABLE if member.node.pid is not None else FAILED
                member.in_reader_endpoint = member.status == AVAILABLE
        core.status = AVAILABLE


def _each(work: Callable[[Member], None], members: Iterable[Member]) -> None:
    """Do it for all at the same time; raise what the first of them raised."""
    members = list(members)
    if members:
        with ThreadPoolExecutor(max_workers=len(members)) as pool:
            list(pool.map(work, members))
