"""ModifyDBInstance of a stand-alone instance: one change after the other, in the background.

Settings, a parameter group and a password are changed at once, as on RDS. A class (by a restart) and
Multi-AZ wait for ApplyImmediately, for the test cluster's maintenance window never comes.
"""

from __future__ import annotations

from dataclasses import replace

from chaos.errors import HostError, WaitTimeout
from chaos.testcluster import events
from chaos.testcluster.aurora.core import (
    AVAILABLE,
    DELETING,
    FAILED,
    MODIFYING,
    REBOOTING,
    Member,
)
from chaos.testcluster.aurora.founding import set_password
from chaos.testcluster.aurora.readers import clone, restart, start_in_role
from chaos.testcluster.records import ApiError
from chaos.testcluster.standalone import events as seen
from chaos.testcluster.standalone.core import StandaloneCore
from chaos.testcluster.standalone.database import Standalone
from chaos.testcluster.standalone.records import StandaloneChanges
from chaos.wait import wait_until

_GRACE_S = 1.0
_BUSY_TIMEOUT_S = 120.0


def modify(database: Standalone, asked: StandaloneChanges) -> None:
    """Accept ModifyDBInstance.

    Raises:
        ApiError: the instance is not available, or there is no such parameter group.
    """
    core = database.core
    with core.lock:
        database.require_available()
        if asked.multi_az and core.source is not None:
            raise ApiError(
                "InvalidParameterCombination",
                "The test cluster does not offer Multi-AZ read replicas.",
            )
        database.put_settings(asked.settings)
        due, database.pending = _due(database, asked)
        if due == StandaloneChanges():
            return
        database.doing = MODIFYING
    delays = core.pacer.next("modification")

    def work() -> None:
        core.pause(delays.modify)
        if due.password is not None:
            core.password = due.password
            set_password(core, core.require_member(database.id).node)
            core.announce(seen.PASSWORD_RESET)
        if due.instance_class is not None:
            _change_class(database, due.instance_class, delays.reboot)
        if due.multi_az is not None:
            (_add_standby if due.multi_az else _remove_standby)(database)
        database.done()

    core.background("modification", work, failed=database.gave_up)


def _due(
    database: Standalone, asked: StandaloneChanges
) -> tuple[StandaloneChanges, StandaloneChanges]:
    """Return what is to be done now, and what is pending from now on; neither says what is so."""
    pending, core = database.pending, database.core
    together = StandaloneChanges(
        instance_class=asked.instance_class or pending.instance_class,
        multi_az=pending.multi_az if asked.multi_az is None else asked.multi_az,
    )
    if together.instance_class == core.require_member(database.id).spec.instance_class:
        together = replace(together, instance_class=None)
    if together.multi_az == database.spec.multi_az:
        together = replace(together, multi_az=None)
    if asked.immediately:
        return replace(together, password=asked.password), StandaloneChanges()
    return StandaloneChanges(password=asked.password), together


def _change_class(database: Standalone, instance_class: str, down_s: float) -> None:
    """Restart the nodes one after the other, the hidden one first."""
    core = database.core
    core.announce(events.CLASS_CHANGES)
    database.spec = replace(database.spec, instance_class=instance_class)
    active = core.require_member(database.id)
    for member in (*core.others(active), active):
        _claim(core, member, REBOOTING)
        with core.lock:
            member.spec = replace(member.spec, instance_class=instance_class)
        core.record(events.INSTANCE_SHUTDOWN, member.id)
        restart(core, member, down_s if member is active else 0)
        with core.lock:
            member.status = AVAILABLE
        core.record(events.INSTANCE_RESTARTED, member.id)
    core.announce(events.CLASS_CHANGED)


def _claim(core: StandaloneCore, member: Member, status: str) -> None:
    """Take a node, once nobody else is at work on it, nor a failover going on.

    Raises:
        HostError: it is to be deleted, and has become the active one.
        WaitTimeout: somebody still was after two minutes.
    """

    def taken() -> bool:
        core.pause(0)
        with core.lock:
            if status == DELETING and core.writer == member.id:
                raise HostError(f"{member.id} has become the active node")
            if core.status != AVAILABLE or member.status not in {AVAILABLE, FAILED}:
                return False
            member.status = status
            return True

    wait_until(taken, f"{member.id} to be free", timeout_s=_BUSY_TIMEOUT_S)


def _add_standby(database: Standalone) -> None:
    core = database.core
    core.announce(seen.TO_MULTI_AZ)
    standby = database.add_node(None)
    try:
        clone(core, standby)
        start_in_role(core, standby)
    except (HostError, WaitTimeout):
        standby.node.remove()
        core.remove_member(standby)
        raise
    with core.lock:
        standby.status = AVAILABLE
        database.spec = replace(database.spec, multi_az=True)
    core.announce(seen.IS_MULTI_AZ)


def _remove_standby(database: Standalone) -> None:
    core = database.core
    core.announce(seen.TO_SINGLE_AZ)
    standby = core.standby()
    if standby is not None:
        _claim(core, standby, DELETING)
    with core.lock:
        database.spec = replace(database.spec, multi_az=False)
    if standby is not None:
        database.synchrony.release()
        standby.node.shut_down(grace_s=_GRACE_S)
        standby.node.remove()
        core.remove_member(standby)
    core.announce(seen.IS_SINGLE_AZ)
