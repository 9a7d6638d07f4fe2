"""The embedded Aurora-like cluster: real PostgreSQL servers and the control plane's decisions.

    Cluster --- View        what the API and the name server show
            --- Failover    promotion, planned or not
            --- Instances   reboot, create, delete
            --- Scaling     Serverless v2 capacity
            --- Monitor     notices dead servers
            all on one Core: state, events, background work; Storage says why no commit is lost

API operations validate, change statuses and return at once; the work goes on in the background at the
pace of the profile. All durations are modelled.
"""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from psycopg import sql

from chaos.errors import HostError, WaitTimeout
from chaos.testcluster import events
from chaos.testcluster.account import server_account
from chaos.testcluster.addresses import AddressBlock, free_port, port_is_free
from chaos.testcluster.configuration import ADMIN_ROLE
from chaos.testcluster.core import AVAILABLE, CREATING, DELETING, Core, Member
from chaos.testcluster.directory import make_directory
from chaos.testcluster.failover import Failover
from chaos.testcluster.instances import Instances
from chaos.testcluster.monitor import Monitor
from chaos.testcluster.node import Foundation, Node
from chaos.testcluster.postgres import PostgresBinaries
from chaos.testcluster.profiles import Pacer, profile_named
from chaos.testcluster.reaper import Reaper
from chaos.testcluster.records import (
    Address,
    Alias,
    ApiError,
    ClusterRecord,
    ClusterSpec,
    EventRecord,
    InstanceSpec,
    ServerlessBounds,
)
from chaos.testcluster.serverless import Scaling, validate
from chaos.testcluster.storage import Storage
from chaos.testcluster.tags import retag
from chaos.testcluster.template import cached_template
from chaos.testcluster.view import View
from chaos.wait import wait_until

__all__ = ["DEFAULT_PORT", "Cluster", "make_directory"]

log = logging.getLogger(__name__)

DEFAULT_PORT = 5432
_READY_TIMEOUT_S = 30.0


class Cluster:
    """One test cluster: a writer and `spec.readers` readers.

    Args:
        spec: what was asked for.
        block: the leased addresses; they stay the caller's to close.
        directory: an existing private folder for all data, removed by `close`; None makes one.
        binaries: the PostgreSQL to run.
        password: of the user `gameday_admin`.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        *,
        block: AddressBlock,
        binaries: PostgresBinaries,
        password: str,
        directory: Path | None = None,
    ) -> None:
        self.spec = spec
        self._block = block
        self._binaries = binaries
        self._password = password
        self._pacer = Pacer(profile_named(spec.profile), spec.seed)
        if spec.serverless is not None:
            try:
                validate(spec.serverless)
            except ApiError as error:
                raise HostError(f"cannot start cluster {spec.id}: {error.message}") from error
        self._directory = directory or make_directory(spec.readers + 1)
        self._core: Core | None = None
        self._reaper: Reaper | None = None
        self._monitor: Monitor | None = None

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all instances; return when the writer accepts and the readers stream.

        Raises:
            HostError: PostgreSQL could not be started here; nothing is left behind.
        """
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._reaper = Reaper(self._directory)
        account = server_account(self._binaries)
        if account.other:
            self._directory.chmod(0o711)  # Another account's servers pass through.
        storage = Storage(self._directory / "storage")
        foundation = Foundation(
            binaries=self._binaries,
            account=account,
            template=cached_template(self._binaries, account),
            storage=storage,
            port=self._choose_port(),
        )
        core = self._core = Core(
            self.spec,
            block=self._block,
            directory=self._directory,
            foundation=foundation,
            pacer=self._pacer,
        )
        self._view = View(core)
        self._failover = Failover(core)
        self._instances = Instances(core, self._failover)
        self._scaling = Scaling(core)
        for number in range(1, self.spec.readers + 2):
            core.add_member(InstanceSpec(id=f"{self.spec.id}-instance-{number}"), CREATING)
        self._start_nodes(core)
        self._monitor = Monitor(core, self._failover, self._instances)
        self._monitor.start()

    def _choose_port(self) -> int:
        addresses = [
            self._block.instance_address(number) for number in range(1, self.spec.readers + 2)
        ]
        wanted = self.spec.port or DEFAULT_PORT
        if all(port_is_free(address, wanted) for address in addresses):
            return wanted
        if self.spec.port is not None:
            raise HostError(
                f"port {wanted} is in use on {addresses[0]} or on all addresses; "
                "free it, or name another port"
            )
        return free_port(addresses[0])

    def _start_nodes(self, core: Core) -> None:
        writer, *readers = core.members.values()

        def create(member: Member) -> None:
            member.node.create_from_template()
            member.node.write_topology([])
            member.node.start(None if member is writer else writer.node.address)

        core.writer = core.shown_writer = core.dns_writer = writer.id
        core.foundation.storage.attach(writer.node.data)
        with ThreadPoolExecutor(max_workers=len(core.members)) as pool:
            list(pool.map(create, core.members.values()))
        with writer.node.connect() as connection:
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(ADMIN_ROLE), sql.Literal(self._password)
                )
            )
        position = writer.node.position()
        if position is None:
            raise HostError(f"{writer.id} does not answer: {writer.node.log_tail()}")
        for reader in readers:
            # The password has to be there, not only the stream.
            wait_until(
                functools.partial(reader.node.follows, position),
                f"{reader.id} to stream",
                timeout_s=_READY_TIMEOUT_S,
                interval_s=0.01,
            )
        for member in core.members.values():
            member.status = AVAILABLE
            member.in_reader_endpoint = True
        core.status = AVAILABLE
        core.publish_topology()
        core.record(events.CLUSTER_CREATED, self.spec.id)
        for member in core.members.values():
            core.record(events.INSTANCE_CREATED, member.id)

    def close(self) -> None:
        """Kill every server and remove all data; bounded, and harmless a second time."""
        core = self._core
        if core is not None:
            with core.lock:
                core.closing.set()
                core.status = DELETING
                nodes = [member.node for member in core.members.values()]
            for node in nodes:
                node.crash()  # Whoever waits for it, holding its lock, now learns that it ended.
            if self._monitor is not None:
                self._monitor.join(1.0)
            core.end_background()
            for node in nodes:
                _end(node)
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._reaper is not None:
            self._reaper.dismiss()

    # -- what is shown ---------------------------------------------------------------------------

    def snapshot(self) -> ClusterRecord:
        """Return the cluster as the API shows it now."""
        return self._view.snapshot()

    def events(self) -> tuple[EventRecord, ...]:
        """Return all events, oldest first."""
        return self._require_core().events()

    def names(self) -> Mapping[str, Alias | Address]:
        """Return the cluster's DNS names as they are answered now."""
        return self._view.names()

    # -- API operations --------------------------------------------------------------------------

    def failover(self, target: str | None) -> None:
        """FailoverDBCluster, to a named reader or by promotion tier.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._require_core()
        self._failover.request(target)

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        """RebootDBInstance: restart in place.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._require_core()
        self._instances.reboot(instance, force_failover=force_failover)

    def create_instance(self, spec: InstanceSpec) -> None:
        """CreateDBInstance: another reader.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._require_core()
        self._instances.create(spec)

    def delete_instance(self, instance: str) -> None:
        """DeleteDBInstance; the writer fails over first where readers exist.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._require_core()
        self._instances.delete(instance)

    def modify_cluster(self, *, serverless: ServerlessBounds) -> None:
        """ModifyDBCluster: other Serverless v2 bounds.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._require_core()
        self._scaling.modify(serverless)

    def retag(
        self, instance: str | None, *, add: Mapping[str, str], remove: Collection[str]
    ) -> None:
        """AddTagsToResource and RemoveTagsFromResource, of an instance or (None) of the cluster.

        Raises:
            ApiError: as the API would refuse it.
        """
        retag(self._require_core(), instance, add=add, remove=remove)

    # -- the control address ---------------------------------------------------------------------

    def crash(self, instance: str) -> None:
        """Kill an instance's whole process tree, as if from outside; the monitor reacts.

        Raises:
            ApiError: there is no such instance.
        """
        core = self._require_core()
        with core.lock:
            node = core.require_member(instance).node
        node.crash()

    def _require_core(self) -> Core:
        if self._core is None:
            raise HostError(f"cluster {self.spec.id} was not started")
        return self._core


def _end(node: Node) -> None:
    try:
        node.kill()
    except (WaitTimeout, OSError) as error:
        log.warning("%s was not ended: %s", node.identifier, error)
