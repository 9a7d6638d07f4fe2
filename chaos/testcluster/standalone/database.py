"""One stand-alone instance: made, flipped, changed, promoted, stopped and deleted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from chaos.testcluster import events
from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.aurora.core import (
    AVAILABLE,
    CREATING,
    DELETING,
    FAILED,
    FAILING_OVER,
    MODIFYING,
    REBOOTING,
    Core,
    Member,
    require_available,
)
from chaos.testcluster.aurora.founding import set_up
from chaos.testcluster.aurora.readers import clone, start_in_role
from chaos.testcluster.ground import Ground
from chaos.testcluster.parameters.parameter_groups import Level
from chaos.testcluster.parameters.parameter_state import GROUP_SETTING
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.records import (
    Address,
    Alias,
    ApiError,
    ClusterRecord,
    ClusterSpec,
    InstanceSpec,
)
from chaos.testcluster.standalone import events as seen
from chaos.testcluster.standalone.core import StandaloneCore
from chaos.testcluster.standalone.records import StandaloneChanges, StandaloneRecord, StandaloneSpec
from chaos.testcluster.standalone.synchrony import Synchrony
from chaos.testcluster.standalone.view import as_cluster
from chaos.wait import wait_until

_BUSY_TIMEOUT_S = 120.0
_SURFACE = Path(__file__).with_name("surface.sql")


class Standalone(Cluster):
    """A DB instance of RDS for PostgreSQL.

    Args:
        spec: what was asked for.
        nodes: the cluster of its nodes, with the server's pace.
        ground: what it shares with the server's other resources.
        directory: a folder to make, for all of its data.
        password: of its master user.
        source: what it is a read replica of.

    Raises:
        HostError: the specification cannot be met here.
    """

    core: StandaloneCore
    core_class: ClassVar[type[Core]] = StandaloneCore

    def __init__(
        self,
        spec: StandaloneSpec,
        nodes: ClusterSpec,
        ground: Ground,
        *,
        directory: Path,
        password: str,
        source: Standalone | None = None,
    ) -> None:
        super().__init__(nodes, ground, directory=directory, password=password)
        self.spec = spec
        self.source = source
        self.pending = StandaloneChanges()
        self.doing = ""
        """The status while something is done to the instance as a whole, else empty."""
        self._numbers = 0
        self.synchrony = Synchrony(self.core, self._restart)
        if source is not None:
            self.core.source = source.active_node

    # -- what is shown ---------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The instance identifier."""
        return self.spec.id

    @property
    def status(self) -> str:
        """As the API shows it; a failover is a reboot of the instance."""
        core = self.core
        with core.lock:
            active = core.writer_member()
            if self.doing or active is None:
                return self.doing or core.status
            if core.status == FAILING_OVER:
                return REBOOTING
            return active.status if core.status == AVAILABLE else core.status

    def active_node(self) -> Node | None:
        """Return the node that serves, or will when it runs again; None before there is one."""
        active = self.core.writer_member()
        return active.node if active is not None else None

    def record(self) -> StandaloneRecord:
        """Return the instance as the API shows it now; its zones follow a failover late."""
        core = self.core
        with core.lock:
            active = core.writer_member()
            shown = core.members.get(core.shown_writer or "")
            others = core.others(shown)
            node = active.node if active else None
            return StandaloneRecord(
                id=self.id,
                status=self.status,
                region=core.spec.region,
                instance_class=active.spec.instance_class if active else self.spec.instance_class,
                engine_version=core.foundation.binaries.version,
                user=core.spec.user,
                database=core.spec.database,
                endpoint=self._view.instance_endpoint(self.id),
                port=core.foundation.port,
                storage_gib=self.spec.storage_gib,
                multi_az=self.spec.multi_az,
                zone=shown.availability_zone if shown else None,
                secondary_zone=others[0].availability_zone if others else None,
                created_at=core.created_at,
                resource_id=_resource_id(f"{core.hash} {self.id} {core.created_at.isoformat()}"),
                source=self.source.id if self.source else None,
                replicates=node is not None and node.pid is not None,
                parameter_status=(
                    core.parameters.status(Level.INSTANCE, active) if active else "in-sync"
                ),
                pending=self.pending,
                tags=core.spec.tags,
                settings=self.spec.settings,
                address=node.address if node else None,
                pid=node.pid if node else None,
            )

    def snapshot(self) -> ClusterRecord:
        """Return the instance as a cluster of one writer, which is how its server shows its home."""
        return as_cluster(self.record(), self.core)

    def names(self) -> Mapping[str, Alias | Address]:
        """Return the one name, which leads to the active node some time after a failover."""
        core = self.core
        with core.lock:
            behind = core.members.get(core.dns_writer or "")
            if behind is None or self.doing == CREATING:
                return {}
            address = Address(address=behind.node.address, ttl_s=core.pacer.profile.instance_ttl_s)
        return {self._view.instance_endpoint(self.id): address}

    # -- life ------------------------------------------------------------------------------------

    def create(self) -> None:
        """CreateDBInstance, CreateDBInstanceReadReplica: come to life in the background."""
        core = self.core
        self.doing = CREATING
        delays = core.pacer.next("creation")

        def work() -> None:
            core.pause(delays.create)
            self.come_to_life()

        core.background("creation", work, failed=self.failed)

    def come_to_life(self) -> None:
        """Make the node, or the two, and return when they serve.

        Raises:
            HostError, WaitTimeout: PostgreSQL could not be started here.
        """
        core = self.core
        member = self.add_node(self.spec.availability_zone)
        if core.source is None:
            self._found(member)
        else:
            clone(core, member)
            core.foundation.storage.attach(member.node.data)
            start_in_role(core, member)
        if self.spec.multi_az:
            standby = self.add_node(None)
            clone(core, standby)
            start_in_role(core, standby)
            standby.status = AVAILABLE
        with core.lock:
            member.status = core.status = AVAILABLE
            core.shown_writer = core.dns_writer = core.writer
            self.done()
        self._monitor.start()
        self.synchrony.start()
        core.announce(events.INSTANCE_CREATED)

    def add_node(self, zone: str | None) -> Member:
        """Add a node without data, in a zone or (None) in one where the instance has none."""
        core = self.core
        with core.lock:
            self._numbers += 1
            taken = {m.availability_zone for m in core.members.values()}
            free = next(z for z in core.zones if z not in taken)
            member = core.add_member(
                InstanceSpec(
                    id=f"{self.id}-node-{self._numbers}",
                    instance_class=self.spec.instance_class,
                    availability_zone=zone or free,
                    settings=self.spec.settings,
                ),
                CREATING,
            )
            core.writer = core.writer or member.id
            return member

    def _found(self, member: Member) -> None:
        """Make the first data, with the master user and PostgreSQL's surface of RDS."""
        core, node = self.core, member.node
        node.create_from_template()
        node.write_topology([])
        core.foundation.storage.attach(node.data)
        start_in_role(core, member)
        surface = _SURFACE.read_bytes()
        databases = {"template1", "postgres", core.spec.database or "postgres"}
        set_up(core, node)
        for database in sorted(databases):
            with node.connect(database) as connection:
                connection.execute(surface)

    def end(self, forget: Callable[[], None]) -> None:
        """DeleteDBInstance; `forget` takes it out of its Region.

        Raises:
            ApiError: it is being deleted already, or protected.
        """
        core = self.core
        with core.lock:
            if self.doing == DELETING:
                raise ApiError(
                    "InvalidDBInstanceState", f"Instance {self.id} is already being deleted."
                )
            if self.spec.settings.get("DeletionProtection"):
                raise ApiError(
                    "InvalidParameterCombination",
                    "Cannot delete protected DB Instance, please disable deletion protection and "
                    "try again.",
                )
            self.doing = DELETING
        delays = core.pacer.next("deletion")

        def work() -> None:
            core.pause(delays.delete)
            self.close()
            forget()
            core.announce(events.INSTANCE_DELETED)

        core.background("deletion", work, failed=self.failed)

    def close(self) -> None:
        """Kill every server and remove all data; bounded, and harmless a second time."""
        super().close()
        self.synchrony.join(1.0)

    # -- changes ---------------------------------------------------------------------------------

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        """RebootDBInstance: in place, or by a failover to the standby.

        Raises:
            ApiError: it is not available, or has no standby.
        """
        core = self.core
        with core.lock:
            self.require_available()
            if force_failover and not self.spec.multi_az:
                raise ApiError(
                    "InvalidParameterCombination",
                    "ForceFailover cannot be specified since the instance is not configured for "
                    "Multi-AZ.",
                )
            if not force_failover:
                self._instances.reboot(instance, force_failover=False)
                return
            standby = core.standby()
            if standby is None or not standby.healthy:
                core.announce(seen.FAILOVER_ABANDONED)
            else:
                self._failover.request(standby.id)

    def promote(self) -> None:
        """PromoteReadReplica: end the replication and take writes.

        Raises:
            ApiError: it is not a read replica, or not available.
        """
        with self.core.lock:
            if self.source is None:
                raise ApiError(
                    "InvalidDBInstanceState", f"DB Instance {self.id} is not a read replica."
                )
            self.require_available()
            self.source = None
            self.doing = MODIFYING
        core = self.core
        delays = core.pacer.next("promotion")

        def work() -> None:
            core.pause(delays.promote)
            with core.lock:
                core.source = None
            core.announce(seen.REPLICATION_ENDED)
            node = core.require_member(self.id).node
            node.replay.catch_up()
            node.promote()
            self.done()

        core.background("promotion", work, failed=self.failed)

    def lose_source(self) -> None:
        """Take writes, as the source is deleted; once what is being done to this instance is done."""
        core = self.core

        def free() -> bool:
            core.pause(0)
            return self.source is None or self.status in {AVAILABLE, DELETING, FAILED}

        def work() -> None:
            wait_until(free, f"{self.id} to be free for its promotion", timeout_s=_BUSY_TIMEOUT_S)
            with core.lock:
                if self.source is not None and self.status == AVAILABLE:
                    self.promote()

        core.background("promotion without a source", work, failed=lambda: None)

    def require_available(self) -> None:
        """Raise InvalidDBInstanceState unless the instance is available."""
        if self.status != AVAILABLE:
            raise ApiError(
                "InvalidDBInstanceState",
                f"Instance {self.id} is not in available state; it is {self.status}.",
            )
        require_available(self.core.require_member(self.id))

    def put_settings(self, settings: Mapping[str, object]) -> None:
        """Change what is kept and shown, and the parameter group, of the instance and its nodes.

        Raises:
            ApiError: there is no such parameter group, or it is of another family.
        """
        core = self.core
        if GROUP_SETTING in settings:
            core.parameters.require(Level.INSTANCE, str(settings[GROUP_SETTING]))
        with core.lock:
            self.spec = replace(self.spec, settings={**self.spec.settings, **settings})
            for member in core.members.values():
                member.spec = replace(member.spec, settings=self.spec.settings)

    def gave_up(self) -> None:
        """Go on with what there is after a change that failed; the caller holds the lock."""
        for member in self.core.members.values():
            if member.status == REBOOTING:
                member.status = AVAILABLE if member.node.pid is not None else FAILED
        self.done()

    def done(self) -> None:
        """Say that what was being done is done; a deletion, accepted meanwhile, goes on."""
        with self.core.lock:
            if self.doing != DELETING:
                self.doing = ""

    def failed(self) -> None:
        """Say that what was being done has failed."""
        self.doing = FAILED
        self.core.announce(events.INSTANCE_FAILED)


def _resource_id(text: str) -> str:
    return "db-" + base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:26]
