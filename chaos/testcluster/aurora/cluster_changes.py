"""ModifyDBCluster: what is changed at once, what in the background, and what waits.

    accepted --settings--> at once
             --password, port, serverless bounds, new identifier--> in the background, in this order
             --identifier, password and IAM authentication without ApplyImmediately--> pending

A pending change is applied by the next request that has ApplyImmediately: the test cluster's maintenance
window never comes. https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Modifying.html
"""

from __future__ import annotations

from dataclasses import replace

from chaos.testcluster import events
from chaos.testcluster.aurora.core import (
    AVAILABLE,
    FAILING_OVER,
    MODIFYING,
    RENAMING,
    RESETTING,
    UPDATING_IAM,
    Core,
    require_available,
    require_cluster_available,
)
from chaos.testcluster.aurora.founding import set_password
from chaos.testcluster.aurora.standstill import Standstill
from chaos.testcluster.process.addresses import port_is_free
from chaos.testcluster.records import ApiError, ClusterChanges
from chaos.testcluster.serverless.bounds import validate
from chaos.testcluster.serverless.life import Serverless

IAM = "EnableIAMDatabaseAuthentication"


class ClusterModification:
    """The changes of one cluster, one request at a time."""

    def __init__(self, core: Core, standstill: Standstill, serverless: Serverless) -> None:
        self._core = core
        self._standstill = standstill
        self._serverless = serverless

    def request(self, asked: ClusterChanges) -> None:
        """Accept ModifyDBCluster.

        Raises:
            ApiError: the cluster is busy, the identifier is taken, or the port cannot be used.
        """
        core = self._core
        with core.lock:
            require_cluster_available(core)
            if asked.serverless is not None:
                version = core.foundation.binaries.version
                validate(asked.serverless, engine_version=version)
            changes, pending = _due(core.pending, asked)
            self._require_possible(changes)
            if changes.parameter_group is not None:
                core.parameters.use_cluster_group(changes.parameter_group)
            iam = changes.settings.get(IAM)
            if iam is not None:
                core.foundation.access.change_iam(enabled=bool(iam))
            core.pending = pending
            core.spec = replace(core.spec, settings={**core.spec.settings, **changes.settings})
            status = _status(changes)
            if status is not None:
                core.status = status
                if changes.port is not None:
                    self._standstill.claim()
            elif changes.serverless is not None:
                self._serverless.modify(changes.serverless)
        if status is not None:
            core.background(
                "modification", lambda: self._run(changes), failed=lambda: self._give_up(changes)
            )

    def _require_possible(self, changes: ClusterChanges) -> None:
        core = self._core
        if changes.new_id is not None and core.register is not None:
            core.register.require_free_cluster(changes.new_id)
        if changes.port is None:
            return
        for member in core.members.values():
            require_available(member)
            if not port_is_free(member.node.address, changes.port):
                raise ApiError(
                    "InvalidParameterValue",
                    f"Port {changes.port} is in use on {member.node.address}, {member.id}'s.",
                )

    def _run(self, changes: ClusterChanges) -> None:
        core = self._core
        core.pause(core.pacer.next("modification").modify)
        if IAM in changes.settings:
            for member in core.others():
                member.node.reload_access()
        if changes.password is not None:
            self._reset(changes.password)
        if changes.port is not None:
            self._standstill.change_port(changes.port)
        if changes.new_id is not None:
            self._rename(changes.new_id)
        with core.lock:
            # A writer that died on its new port is failed over already: that sets the status.
            fails_over = core.status == FAILING_OVER
            if not fails_over:
                core.status = AVAILABLE
            if changes.serverless is not None and fails_over:
                core.bounds = core.defects.settable(changes.serverless, core.bounds)
            elif changes.serverless is not None:
                self._serverless.modify(changes.serverless)

    def _reset(self, password: str) -> None:
        """Change the master user's password; without a writer, the next one gets it."""
        core = self._core
        with core.lock:
            core.password = password
        writer = core.writer_member()
        if writer is not None:
            core.await_awake([writer])
            set_password(core, writer.node)
        core.record(events.CREDENTIALS_RESET, core.spec.id)

    def _rename(self, new: str) -> None:
        """Give the cluster another identifier; its endpoints' names change, its instances' stay."""
        core = self._core
        old = core.spec.id
        with core.lock:
            if core.register is not None:
                core.register.rename_cluster(old, new)
            core.spec = replace(core.spec, id=new)
        kind = events.CLUSTER_RENAMED
        message = kind.message.format(old=old, new=new)
        core.record(kind._replace(message=message), new)

    def _give_up(self, changes: ClusterChanges) -> None:
        if changes.port is not None:
            self._standstill.give_up()
        self._core.status = AVAILABLE


def _due(pending: ClusterChanges, asked: ClusterChanges) -> tuple[ClusterChanges, ClusterChanges]:
    """Return what is to be done now, and what is pending from now on."""
    waits = {IAM: asked.settings[IAM]} if IAM in asked.settings else {}
    together = replace(
        pending,
        new_id=asked.new_id or pending.new_id,
        password=asked.password or pending.password,
        settings={**pending.settings, **waits},
    )
    if asked.immediately:
        settings = {**pending.settings, **asked.settings}
        both = replace(asked, new_id=together.new_id, password=together.password, settings=settings)
        return both, ClusterChanges()
    at_once = {name: value for name, value in asked.settings.items() if name != IAM}
    return replace(asked, new_id=None, password=None, settings=at_once), together


def _status(changes: ClusterChanges) -> str | None:
    """Return the cluster's status while it is changed, None where nothing takes time."""
    if changes.new_id is not None:
        return RENAMING
    if changes.password is not None:
        return RESETTING
    if changes.port is not None:
        return MODIFYING
    return UPDATING_IAM if IAM in changes.settings else None
