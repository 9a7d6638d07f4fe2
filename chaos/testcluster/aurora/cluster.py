"""The embedded Aurora-like cluster: real PostgreSQL servers and the control plane's decisions.

    Cluster --- View        what the API and the name server show
            --- Failover    promotion, planned or not
            --- Instances   reboot, create, delete
            --- Serverless  capacity follows load, idle instances pause
            --- Standstill  stop, start
            --- Cluster-, InstanceModification
            --- Monitor     notices dead servers
            all on one Core: state, events, background work; Storage says why no commit is lost

API operations validate, change statuses and return at once; the work goes on in the background at the
pace of the profile. All durations are modelled.
"""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from chaos.errors import HostError, WaitTimeout
from chaos.testcluster import events
from chaos.testcluster.aurora import deletion
from chaos.testcluster.aurora.cloning import Origin, require_origin
from chaos.testcluster.aurora.cluster_changes import ClusterModification
from chaos.testcluster.aurora.core import (
    AVAILABLE,
    CLONING_FAILED,
    CREATING,
    DELETING,
    Core,
    Member,
    endpoint_hash,
)
from chaos.testcluster.aurora.endpoint_changes import EndpointChanges
from chaos.testcluster.aurora.failover import Failover
from chaos.testcluster.aurora.founding import first_instances, set_up
from chaos.testcluster.aurora.instance_changes import InstanceModification
from chaos.testcluster.aurora.instances import Instances
from chaos.testcluster.aurora.monitor import Monitor
from chaos.testcluster.aurora.standstill import Standstill
from chaos.testcluster.aurora.tags import retag
from chaos.testcluster.aurora.view import View
from chaos.testcluster.ground import Ground
from chaos.testcluster.parameters.parameter_state import ParameterState
from chaos.testcluster.postgres.node import Foundation, Node
from chaos.testcluster.postgres.storage import Storage
from chaos.testcluster.process.addresses import choose_port
from chaos.testcluster.profiles import Pacer, profile_of
from chaos.testcluster.records import (
    Address,
    Alias,
    ApiError,
    ClusterChanges,
    ClusterRecord,
    ClusterSpec,
    InstanceChanges,
    InstanceSpec,
)
from chaos.testcluster.security.admission import Access
from chaos.testcluster.serverless.bounds import validate
from chaos.testcluster.serverless.life import Serverless
from chaos.wait import wait_until

log = logging.getLogger(__name__)

_READY_TIMEOUT_S = 30.0


class Cluster:
    """One test cluster: a writer and `spec.readers` readers.

    Args:
        spec: what was asked for.
        ground: what it shares with the server's other clusters.
        directory: a folder to make below the ground's, for all of its data; `close` removes it.
        password: of the user `gameday_admin`.

    Raises:
        HostError: the specification cannot be met here.
    """

    core_class: ClassVar[type[Core]] = Core

    def __init__(
        self, spec: ClusterSpec, ground: Ground, *, directory: Path, password: str
    ) -> None:
        pacer = Pacer(profile_of(spec), spec.seed)
        if spec.serverless is not None:
            try:
                validate(spec.serverless, engine_version=ground.binaries.version)
            except ApiError as error:
                raise HostError(f"cannot start cluster {spec.id}: {error.message}") from error
        port = choose_port(ground.addresses, spec.port, spec.readers + 1)
        suffix = (
            f"{endpoint_hash(ground.block.number, spec.region)}.{spec.region}.rds.amazonaws.com"
        )
        # Another account's servers pass through.
        directory.mkdir(mode=0o711 if ground.account.other else 0o700)
        foundation = Foundation(
            binaries=ground.binaries,
            account=ground.account,
            template=ground.template,
            storage=Storage(directory / "storage"),
            port=port,
            access=Access(ground.security, suffix),
        )
        core = self.core = self.core_class(
            spec,
            ground=ground,
            directory=directory,
            foundation=foundation,
            pacer=pacer,
            password=password,
        )
        self._view = View(core)
        self._failover = Failover(core)
        self._instances = Instances(core, self._failover)
        self._serverless = Serverless(core, self._restart)
        self._standstill = Standstill(core)
        self._modification = ClusterModification(core, self._standstill, self._serverless)
        self._instance_modification = InstanceModification(core, self._instances)
        self.endpoints = EndpointChanges(core)
        self._monitor = Monitor(core, self._failover, self._instances)

    # -- life ------------------------------------------------------------------------------------

    def launch(self, start: Callable[[Core], None] | None = None) -> None:
        """Start the specified instances; return when the writer accepts and the readers stream.

        `start` starts their servers where their data do not begin with this cluster.

        Raises:
            HostError: PostgreSQL could not be started here; nothing is left behind.
        """
        core = self.core
        try:
            for instance in first_instances(core.spec):
                core.add_member(instance, CREATING)
            core.writer = core.shown_writer = core.dns_writer = next(iter(core.members))
            (start or self._start_nodes)(core)
            self._be_available()
            self._monitor.start()
            self._serverless.start()
        except BaseException:
            self.close()
            raise

    def _start_nodes(self, core: Core) -> None:
        writer, *readers = core.members.values()

        def create(member: Member) -> None:
            member.node.create_from_template()
            member.node.write_topology([])
            member.node.start(None if member is writer else writer.node.address)

        core.foundation.storage.attach(writer.node.data)
        with ThreadPoolExecutor(max_workers=len(core.members)) as pool:
            list(pool.map(create, core.members.values()))
        set_up(core, writer.node)
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

    def _be_available(self) -> None:
        core = self.core
        for member in core.members.values():
            member.status = AVAILABLE
            member.in_reader_endpoint = True
        core.status = AVAILABLE
        self.endpoints.begin_with(core.spec.custom_endpoints)
        core.publish_topology()
        core.record(events.CLUSTER_CREATED, core.spec.id)
        for member in core.members.values():
            core.record(events.INSTANCE_CREATED, member.id)

    def found(self, fill: Callable[[Core], None] | None = None) -> None:
        """CreateDBCluster: become available, without an instance, in the background.

        `fill` gives it data before; without, its first instance starts with an empty database.
        """
        core = self.core
        delays = core.pacer.next("creation of the cluster")

        def work() -> None:
            core.pause(delays.create)
            if fill is not None:
                fill(core)
            with core.lock:
                core.status = AVAILABLE
            core.record(events.CLUSTER_CREATED, core.spec.id)

        core.background("creation", work, failed=self._not_filled)
        self._monitor.start()
        self._serverless.start()

    def delete(self, forget: Callable[[], None]) -> None:
        """DeleteDBCluster, once its last instances are gone; `forget` takes it out of its Region.

        Raises:
            ApiError: it is protected, busy, or has instances that are not being deleted.
        """

        def end() -> None:
            self.close()
            forget()

        deletion.begin(self.core, end)

    def _not_filled(self) -> None:
        self.core.status = CLONING_FAILED

    def close(self) -> None:
        """Kill every server and remove all data; bounded, and harmless a second time."""
        core = self.core
        with core.lock:
            core.closing.set()
            core.status = DELETING
            nodes = [member.node for member in core.members.values()]
        for node in nodes:
            node.crash()  # Whoever waits for it, holding its lock, now learns that it ended.
        self._monitor.join(1.0)
        self._serverless.close()
        core.end_background()
        for member in core.others():  # Work that was going on may have added one.
            _end(member.node)
            core.remove_member(member)
        shutil.rmtree(core.directory, ignore_errors=True)

    def origin(self) -> Origin:
        """Return what a copy of this cluster can be taken from now.

        Raises:
            ApiError: InvalidDBClusterStateFault.
        """
        return require_origin(self.core)

    # -- what is shown ---------------------------------------------------------------------------

    def snapshot(self) -> ClusterRecord:
        """Return the cluster as the API shows it now."""
        return self._view.snapshot()

    def names(self) -> Mapping[str, Alias | Address]:
        """Return the cluster's DNS names as they are answered now."""
        return self._view.names()

    # -- API operations --------------------------------------------------------------------------

    def failover(self, target: str | None) -> None:
        """FailoverDBCluster, to a named reader or by promotion tier.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._failover.request(target)

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        """RebootDBInstance: restart in place.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._instances.reboot(instance, force_failover=force_failover)

    def create_instance(self, spec: InstanceSpec) -> None:
        """CreateDBInstance: another reader.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._instances.create(spec)

    def delete_instance(self, instance: str) -> None:
        """DeleteDBInstance; the writer fails over first where readers exist.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._instances.delete(instance)

    def stop(self) -> None:
        """StopDBCluster: all servers end, the data and the endpoints stay.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._standstill.stop()

    def start(self) -> None:
        """StartDBCluster, of a stopped one.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._standstill.start()

    def modify(self, changes: ClusterChanges) -> None:
        """ModifyDBCluster.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._modification.request(changes)

    def modify_instance(self, instance: str, changes: InstanceChanges) -> None:
        """ModifyDBInstance.

        Raises:
            ApiError: as the API would refuse it.
        """
        self._instance_modification.request(instance, changes)

    def retag(
        self, instance: str | None, *, add: Mapping[str, str], remove: Collection[str]
    ) -> None:
        """AddTagsToResource and RemoveTagsFromResource, of an instance or (None) of the cluster.

        Raises:
            ApiError: as the API would refuse it.
        """
        retag(self.core, instance, add=add, remove=remove)

    def log(self, instance: str) -> Path:
        """Return the log file of an instance's server.

        Raises:
            ApiError: there is no such instance.
        """
        with self.core.lock:
            return self.core.require_member(instance).node.log

    @property
    def parameters(self) -> ParameterState:
        """The parameter groups of the cluster and its instances."""
        return self.core.parameters

    @property
    def access(self) -> Access:
        """How clients are let in; `access.iam` is IAMDatabaseAuthenticationEnabled."""
        return self.core.foundation.access

    def change_iam_authentication(self, *, enabled: bool) -> None:
        """Let IAM tokens in or no longer, at once (EnableIAMDatabaseAuthentication).

        Raises:
            ApiError: InvalidParameterCombination: this PostgreSQL was built without what it takes.
        """
        self.access.change_iam(enabled=enabled)
        for member in self.core.others():
            member.node.reload_access()

    def _restart(self, member: Member) -> None:
        self._instances.restart(member, planned=True)

    # -- the control address ---------------------------------------------------------------------

    def crash(self, instance: str) -> None:
        """Kill an instance's whole process tree, as if from outside; the monitor reacts.

        Raises:
            ApiError: there is no such instance.
        """
        with self.core.lock:
            node = self.core.require_member(instance).node
        node.crash()


def _end(node: Node) -> None:
    try:
        node.silence.end()
        node.kill()
    except (WaitTimeout, OSError) as error:
        log.warning("%s was not ended: %s", node.identifier, error)
