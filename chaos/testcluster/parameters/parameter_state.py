"""What one cluster's instances make of their parameter groups.

A start takes over all that the groups say. A running instance takes over a dynamic parameter that is
changed with `immediate`; everything else that is changed, also to another group, waits for a reboot,
and the group is `pending-reboot` meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from chaos.testcluster.parameters.offered import default_group, family_of, settings
from chaos.testcluster.parameters.parameter_groups import IMMEDIATE, Change, Group, Level
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.aurora.core import Core, Member

log = logging.getLogger(__name__)

IN_SYNC = "in-sync"
APPLYING = "applying"
PENDING = "pending-reboot"
GROUP_SETTING = "DBParameterGroupName"


class InForce(NamedTuple):
    """The values that an instance runs with, of its cluster's group and of its own."""

    cluster: Mapping[str, str] = {}
    instance: Mapping[str, str] = {}


class ParameterState:
    """The parameter groups of one cluster and its instances; guarded by the core's lock."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.cluster_group = default_group(core.engine, core.foundation.binaries.version)
        self._applying: set[tuple[Level, str]] = set()

    def require(self, level: Level, name: str) -> Group:
        """Return a group that this cluster can use.

        Raises:
            ApiError: there is no such group, or it is of another family.
        """
        core = self._core
        group = core.ground.parameter_groups.get(core.spec.region, level, name.lower())
        family = family_of(core.engine, core.foundation.binaries.version)
        if group.family != family:
            raise ApiError(
                "InvalidParameterCombination",
                f"The Parameter Group {name} with DBParameterGroupFamily {group.family} cannot be "
                f"used for this instance. Please use a Parameter Group with DBParameterGroupFamily "
                f"{family}",
            )
        return group

    def instance_group(self, member: Member) -> str:
        """Return the name of an instance's group."""
        default = default_group(self._core.engine, self._core.foundation.binaries.version)
        return str(member.spec.settings.get(GROUP_SETTING, default)).lower()

    def use_cluster_group(self, name: str) -> None:
        """Give the cluster another group, which its instances take over when they start.

        Raises:
            ApiError: there is no such group, or it is of another family.
        """
        try:
            group = self.require(Level.CLUSTER, name)
        except ApiError as error:
            if error.code != "DBParameterGroupNotFound":
                raise
            # Operations on clusters model this one, operations on groups the other.
            raise ApiError("DBClusterParameterGroupNotFound", error.message) from error
        with self._core.lock:
            self.cluster_group = group.name

    def use_instance_group(self, instance: str, name: str) -> None:
        """Give an instance another group, which it takes over when it starts.

        Raises:
            ApiError: there is no such group or instance, or it is of another family.
        """
        group = self.require(Level.INSTANCE, name)
        with self._core.lock:
            member = self._core.require_member(instance)
            chosen = {**member.spec.settings, GROUP_SETTING: group.name}
            member.spec = replace(member.spec, settings=chosen)

    def used_by(self, level: Level, name: str) -> list[str]:
        """Return the identifiers of what uses a group: the cluster, or its instances."""
        core = self._core
        with core.lock:
            if level is Level.CLUSTER:
                return [core.spec.id] if self.cluster_group == name else []
            return [m.id for m in core.members.values() if self.instance_group(m) == name]

    def status(self, level: Level, member: Member) -> str:
        """Return how far an instance is with its group; the caller holds the lock."""
        if (level, member.id) in self._applying:
            return APPLYING
        wanted, in_force = self._wanted(member), member.parameters
        if level is Level.CLUSTER:
            return IN_SYNC if wanted.cluster == in_force.cluster else PENDING
        return IN_SYNC if wanted.instance == in_force.instance else PENDING

    def settings(self, member: Member) -> Mapping[str, str]:
        """Return the PostgreSQL settings of an instance; one that is down takes over everything."""
        with self._core.lock:
            if member.node.pid is None:
                member.parameters = self._wanted(member)
            in_force = member.parameters
        return {**settings(in_force.cluster), **settings(in_force.instance)}

    def changed(self, level: Level, name: str, changes: Iterable[Change]) -> None:
        """Let running instances take over what was changed at once in one of their groups."""
        now = [change for change in changes if change.method == IMMEDIATE]
        core = self._core
        if not now:
            return
        with core.lock:
            members = [m for m in core.members.values() if self._uses(level, name, m)]
            applying = {(level, m.id) for m in members}  # One may be renamed meanwhile.
            self._applying |= applying
        delay_s = core.pacer.next("change of parameters").modify

        def settle() -> None:
            with core.lock:
                self._applying -= applying

        def work() -> None:
            core.pause(delay_s)
            core.await_awake(members)
            for member in members:
                self._take_over(level, member, now)
            settle()

        if members:
            core.background(f"change of {name}", work, failed=settle)

    def _take_over(self, level: Level, member: Member, changes: Iterable[Change]) -> None:
        with self._core.lock:
            before = member.parameters
            values = dict(before.cluster if level is Level.CLUSTER else before.instance)
            for change in changes:
                if change.value is None:
                    values.pop(change.name, None)
                else:
                    values[change.name] = change.value
            if level is Level.CLUSTER:
                member.parameters = before._replace(cluster=values)
            else:
                member.parameters = before._replace(instance=values)
        member.node.reconfigure()

    def _uses(self, level: Level, name: str, member: Member) -> bool:
        group = self.cluster_group if level is Level.CLUSTER else self.instance_group(member)
        return group == name

    def _wanted(self, member: Member) -> InForce:
        get, region = self._core.ground.parameter_groups.get, self._core.spec.region
        return InForce(
            cluster=get(region, Level.CLUSTER, self.cluster_group).values,
            instance=get(region, Level.INSTANCE, self.instance_group(member)).values,
        )
