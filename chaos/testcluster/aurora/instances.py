"""Rebooting, creating and deleting instances, at the profile's pace."""

from __future__ import annotations

import logging

from chaos.errors import HostError
from chaos.testcluster import events
from chaos.testcluster.aurora import sabotage
from chaos.testcluster.aurora.core import (
    AVAILABLE,
    CREATING,
    DELETING,
    FAILED,
    FAILING_OVER,
    MODIFYING,
    REBOOTING,
    RENAMING,
    STARTING,
    STOPPED,
    STOPPING,
    Core,
    Member,
    require_available,
    require_cluster_available,
)
from chaos.testcluster.aurora.failover import Failover
from chaos.testcluster.aurora.founding import set_password, set_up
from chaos.testcluster.aurora.readers import clone, restart, start_in_role
from chaos.testcluster.parameters.parameter_groups import Level
from chaos.testcluster.parameters.parameter_state import GROUP_SETTING
from chaos.testcluster.records import ApiError, InstanceSpec
from chaos.wait import wait_until

log = logging.getLogger(__name__)

READERS_MAX = 15
_DELETE_GRACE_S = 1.0
_PLACE_TIMEOUT_S = 60.0


class Instances:
    """The operations on single instances of one cluster."""

    def __init__(self, core: Core, failover: Failover) -> None:
        self._core = core
        self._failover = failover

    # -- reboot ----------------------------------------------------------------------------------

    def reboot(self, instance: str, *, force_failover: bool) -> None:
        """Accept RebootDBInstance: a restart in place, never a failover.

        Raises:
            ApiError: there is no such instance, it is busy, or `force_failover` was asked for.
        """
        core = self._core
        with core.lock:
            member = core.require_member(instance)
            if force_failover:
                raise ApiError(
                    "InvalidParameterCombination",
                    "ForceFailover cannot be specified since the instance is not configured for "
                    "Multi-AZ; use FailoverDBCluster for a DB cluster.",
                )
            require_available(member)
            self.restart(member, planned=True)

    def restart(self, member: Member, *, planned: bool) -> None:
        """Restart an instance in place in the background; the caller holds the lock.

        `planned`: it is shut down first. Otherwise it has already ended by itself.
        """
        core = self._core
        delays = core.pacer.next(f"restart of {member.id}")
        member.status = REBOOTING
        member.in_reader_endpoint = False
        is_writer = core.writer == member.id

        def work() -> None:
            if planned:
                core.await_awake([member])
                core.pause(delays.shutdown)
            core.record(events.INSTANCE_SHUTDOWN, member.id)
            if is_writer and not core.spec.read_availability:
                with core.lock:
                    for reader in core.others(member):
                        if reader.healthy:
                            self.restart(reader, planned=True)
            restart(core, member, delays.reboot)
            self._available(member)
            core.record(events.INSTANCE_RESTARTED, member.id)

        core.background(f"restart of {member.id}", work, failed=lambda: self.lost(member))

    # -- create ----------------------------------------------------------------------------------

    def create(self, spec: InstanceSpec) -> None:
        """Accept CreateDBInstance: a reader cloned from the writer, or the writer where none is.

        Raises:
            ApiError: the name is taken, or the cluster is busy.
        """
        core = self._core
        if GROUP_SETTING in spec.settings:
            core.parameters.require(Level.INSTANCE, str(spec.settings[GROUP_SETTING]))
        with core.lock:
            if core.has_taken(spec.id):
                raise ApiError("DBInstanceAlreadyExists", "DB instance already exists")
            if core.status not in {CREATING, MODIFYING}:
                require_cluster_available(core)
            if len(core.members) > READERS_MAX:
                raise ApiError(
                    "InstanceQuotaExceeded",
                    f"DBCluster {core.spec.id} already has a writer and {READERS_MAX} readers, "
                    "which is the most that Aurora allows.",
                )
            try:
                member = core.add_member(spec, CREATING)
            except HostError as error:  # No address is left.
                raise ApiError("InsufficientDBInstanceCapacity", str(error)) from error
            if core.writer is None:
                core.writer = core.shown_writer = spec.id
        delays = core.pacer.next("creation")

        def work() -> None:
            core.pause(delays.create)
            self._bring_up(member)
            self._available(member)
            core.record(events.INSTANCE_CREATED, member.id)
            core.record(events.TOPOLOGY_UPDATED, member.id)

        core.background(f"creation of {spec.id}", work, failed=lambda: self.lost(member))

    def _bring_up(self, member: Member) -> None:
        """Give a new instance its data, and start it: a clone, or the first with the cluster's."""
        core = self._core
        if not self._await_place(member):
            clone(core, member)
            start_in_role(core, member)
            return
        with core.lock:
            dormant, core.dormant = core.dormant, None
        if dormant is not None:
            member.node.adopt(dormant)
        elif core.source is None:
            member.node.create_from_template()
        else:
            clone(core, member)
        self._take_the_volume(member)
        start_in_role(core, member)
        if core.source is None:
            (set_up if dormant is None else set_password)(core, member.node)

    def _await_place(self, member: Member) -> bool:
        """Wait until the cluster can take an instance in; tell whether it is the first."""
        core = self._core

        def ready() -> bool:
            core.pause(0)
            with core.lock:
                if core.writer is None:
                    core.writer = core.shown_writer = member.id
                first = core.writer_member()
                return core.status != CREATING and (
                    first is None or first is member or first.status not in {CREATING, DELETING}
                )

        wait_until(
            ready,
            f"{core.spec.id} to take {member.id} in",
            timeout_s=core.pacer.profile.create.high_s + _PLACE_TIMEOUT_S,
            interval_s=0.02,
        )
        return core.writer_member() is member

    def _take_the_volume(self, member: Member) -> None:
        """Make the first instance of a cluster the one whose data are the cluster's."""
        core = self._core
        core.foundation.storage.attach(member.node.data)
        with core.lock:
            core.shown_writer = core.dns_writer = member.id

    # -- delete ----------------------------------------------------------------------------------

    def delete(self, instance: str) -> None:
        """Accept DeleteDBInstance. A writer with readers fails over first.

        Raises:
            ApiError: there is no such instance, or it or the cluster is busy.
        """
        core = self._core
        with core.lock:
            member = core.require_member(instance)
            if member.status == DELETING:
                raise ApiError(
                    "InvalidDBInstanceState", f"Instance {instance} is already being deleted."
                )
            if core.status in {STOPPED, STOPPING, STARTING}:
                require_cluster_available(core)
            if member.status in {CREATING, MODIFYING, REBOOTING, RENAMING}:
                require_available(member)  # Somebody else is at work on it.
            if core.writer != member.id:
                self._remove(member, is_last=False)
                return
            if all(other.status == DELETING for other in core.others(member)):
                self._remove(member, is_last=True)
                return
            if core.status == FAILING_OVER or not self._failover.automatic(
                member, planned=True, delete_old=True
            ):
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"Instance {instance} is the writer of cluster {core.spec.id}, and no other "
                    "instance is in a valid state to take over.",
                )

    def _remove(self, member: Member, *, is_last: bool) -> None:
        core = self._core
        member.status = DELETING
        member.in_reader_endpoint = False
        delays = core.pacer.next("deletion")

        def work() -> None:
            core.publish_topology()
            core.record(events.TOPOLOGY_UPDATED, member.id)
            core.pause(delays.delete)
            member.node.shut_down(grace_s=_DELETE_GRACE_S)
            # A secondary cluster's next first instance copies the primary's data anew.
            keep = is_last and core.source is None
            keep = keep and member.node.data.is_dir()  # Not where it could not even be created.
            dormant = member.node.release(core.directory / "volume") if keep else None
            member.node.remove()
            sabotage.linger(core)
            with core.lock:
                core.remove_member(member)
                if is_last:
                    core.dormant = dormant
                    core.writer = core.shown_writer = core.dns_writer = None
            core.record(events.INSTANCE_DELETED, member.id)

        core.background(f"deletion of {member.id}", work, failed=lambda: self.lost(member))

    # -- outcomes --------------------------------------------------------------------------------

    def _available(self, member: Member) -> None:
        core = self._core
        with core.lock:
            member.status = AVAILABLE
            member.in_reader_endpoint = True
        core.publish_topology()

    def lost(self, member: Member) -> None:
        """Say that an instance could not be brought to life; a reader takes a writer's place."""
        core = self._core
        member.status = FAILED
        core.record(events.INSTANCE_FAILED, member.id)
        if core.writer == member.id and core.status in {AVAILABLE, MODIFYING}:
            self._failover.automatic(member)
