"""ModifyDBInstance: a promotion tier and settings at once, a class or an identifier by a restart.

Without ApplyImmediately the last two are pending until a request has it: the test cluster's maintenance
window never comes. https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Modifying.html
"""

from __future__ import annotations

from dataclasses import replace

from chaos.testcluster import events
from chaos.testcluster.aurora.core import (
    AVAILABLE,
    MODIFYING,
    RENAMING,
    Core,
    Member,
    require_available,
    require_cluster_available,
)
from chaos.testcluster.aurora.instances import Instances
from chaos.testcluster.aurora.readers import restart
from chaos.testcluster.parameters.parameter_groups import Level
from chaos.testcluster.parameters.parameter_state import GROUP_SETTING
from chaos.testcluster.records import InstanceChanges


class InstanceModification:
    """The changes of one cluster's instances."""

    def __init__(self, core: Core, instances: Instances) -> None:
        self._core = core
        self._instances = instances

    def request(self, instance: str, asked: InstanceChanges) -> None:
        """Accept ModifyDBInstance.

        Raises:
            ApiError: there is no such instance, it is busy, or the identifier is taken.
        """
        core = self._core
        if GROUP_SETTING in asked.settings:
            core.parameters.require(Level.INSTANCE, str(asked.settings[GROUP_SETTING]))
        with core.lock:
            member = core.require_member(instance)
            require_cluster_available(core)
            require_available(member)
            changes, pending = _due(member, asked)
            if changes.new_id is not None and core.register is not None:
                core.register.require_free_instance(changes.new_id)
            member.pending = pending
            tier = changes.promotion_tier
            member.spec = replace(
                member.spec,
                promotion_tier=member.spec.promotion_tier if tier is None else tier,
                settings={**member.spec.settings, **changes.settings},
            )
            if changes.instance_class is None and changes.new_id is None:
                return
            member.status = MODIFYING if changes.new_id is None else RENAMING
            member.in_reader_endpoint = False
            member.renaming_to = changes.new_id

        def failed() -> None:
            member.renaming_to = None
            self._instances.lost(member)

        core.background(
            f"modification of {instance}", lambda: self._run(member, changes), failed=failed
        )

    def _run(self, member: Member, changes: InstanceChanges) -> None:
        core = self._core
        delays = core.pacer.next("modification of an instance")
        core.pause(delays.modify)
        core.await_awake([member])
        if changes.instance_class is not None:
            core.record(events.CLASS_CHANGES, member.id)
        core.record(events.INSTANCE_SHUTDOWN, member.id)
        with core.lock:
            if changes.instance_class is not None:
                spec = replace(member.spec, instance_class=changes.instance_class)
                member.spec, member.capacity_acu = spec, core.first_capacity(spec)
            if changes.new_id is not None:
                core.rename_member(member, changes.new_id)
        restart(core, member, delays.reboot)
        with core.lock:
            member.status = AVAILABLE
            member.in_reader_endpoint = True
        core.publish_topology()
        core.record(events.INSTANCE_RESTARTED, member.id)
        if changes.instance_class is not None:
            core.record(events.CLASS_CHANGED, member.id)
        if changes.new_id is not None:
            core.record(events.TOPOLOGY_UPDATED, member.id)


def _due(member: Member, asked: InstanceChanges) -> tuple[InstanceChanges, InstanceChanges]:
    """Return what is to be done now, and what is pending from now on; neither says what is already."""
    pending = member.pending
    together = InstanceChanges(
        new_id=asked.new_id or pending.new_id,
        instance_class=asked.instance_class or pending.instance_class,
    )
    if together.new_id == member.id:
        together = replace(together, new_id=None)
    if together.instance_class == member.spec.instance_class:
        together = replace(together, instance_class=None)
    if asked.immediately:
        now = replace(asked, new_id=together.new_id, instance_class=together.instance_class)
        return now, InstanceChanges()
    return replace(asked, new_id=None, instance_class=None), together
