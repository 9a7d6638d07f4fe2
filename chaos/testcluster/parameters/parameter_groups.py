"""The parameter groups of an account: what they hold, and the rules for changing them.

A group holds what was changed in it; everything else has its default. `default.FAMILY` is always there
and cannot be changed. What instances make of a group's values is `parameter_state`'s.
Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/ , "Parameter groups".
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from chaos.testcluster.aurora.tags import changed_tags
from chaos.testcluster.identifiers import RULE
from chaos.testcluster.parameters.offered import (
    DYNAMIC,
    STATIC,
    Parameter,
    is_family,
    offered,
    require_family,
)
from chaos.testcluster.records import ApiError

NAME_MAX = 255
CHANGES_MAX = 20
GROUPS_MAX = 50
DEFAULT_PREFIX = "default."
IMMEDIATE = "immediate"
PENDING_REBOOT = "pending-reboot"

_NAME = re.compile(r"[A-Za-z](?:-?[A-Za-z0-9])*")


class Level(Enum):
    """Which kind of group; the value is the kind in its ARN."""

    CLUSTER = "cluster-pg"
    INSTANCE = "pg"

    @property
    def words(self) -> str:
        """What AWS's messages call it."""
        return "DBClusterParameterGroup" if self is Level.CLUSTER else "DBParameterGroup"


class Change(NamedTuple):
    """One parameter to be set, or (None) to be reset to its default."""

    name: str
    value: str | None
    method: str  # immediate | pending-reboot


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One parameter group; `values` and `methods` are of the parameters that were changed."""

    level: Level
    name: str
    family: str
    description: str
    values: Mapping[str, str] = field(default_factory=dict)
    methods: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_default(self) -> bool:
        """Whether it is one of those that AWS has made."""
        return self.name.startswith(DEFAULT_PREFIX)

    @property
    def offered(self) -> Mapping[str, Parameter]:
        """The parameters that it has."""
        return offered(self.family, cluster_level=self.level is Level.CLUSTER)


class ParameterGroups:
    """All parameter groups, by Region and level. Names are given in lower case."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._groups: dict[tuple[str, Level, str], Group] = {}

    def get(self, region: str, level: Level, name: str) -> Group:
        """Return a group.

        Raises:
            ApiError: DBParameterGroupNotFound.
        """
        with self._lock:
            found = self._groups.get((region, level, name)) or _default(level, name)
        if found is None:
            raise ApiError("DBParameterGroupNotFound", f"{level.words} not found: {name}")
        return found

    def all(self, region: str, level: Level) -> list[Group]:
        """Return the groups that somebody made."""
        with self._lock:
            return [g for (r, lv, _), g in self._groups.items() if (r, lv) == (region, level)]

    def create(self, region: str, group: Group) -> Group:
        """Add a group.

        Raises:
            ApiError: its name is taken or none, its family unknown, or there are too many.
        """
        _require_name(group.name)
        require_family(group.family)
        with self._lock:
            if (region, group.level, group.name) in self._groups or _default(
                group.level, group.name
            ):
                raise ApiError(
                    "DBParameterGroupAlreadyExists", f"Parameter group {group.name} already exists"
                )
            if len(self.all(region, group.level)) >= GROUPS_MAX:
                raise ApiError(
                    "DBParameterGroupQuotaExceeded",
                    f"There can be at most {GROUPS_MAX} parameter groups in a Region.",
                )
            made = replace(group, tags=changed_tags({}, group.tags, ()))
            self._groups[region, group.level, group.name] = made
        return made

    def change(self, region: str, level: Level, name: str, changes: Sequence[Change]) -> Group:
        """Set and reset parameters, all or none; return the group as it was before.

        Raises:
            ApiError: a parameter or value is not allowed, or the group is a default one.
        """
        with self._lock:
            before = self._require_changeable(region, level, name)
            if not 1 <= len(changes) <= CHANGES_MAX:
                raise ApiError(
                    "InvalidParameterValue",
                    f"From 1 to {CHANGES_MAX} parameters can be changed in a single request.",
                )
            for change in changes:
                _check(before, change)
            self._put(region, before, changes)
        return before

    def reset(self, region: str, level: Level, name: str) -> list[Change]:
        """Reset a whole group; return what that changes.

        Raises:
            ApiError: there is no such group, or it is a default one.
        """
        with self._lock:
            before = self._require_changeable(region, level, name)
            changes = [
                Change(
                    parameter,
                    None,
                    IMMEDIATE
                    if before.offered[parameter].apply_type == DYNAMIC
                    else PENDING_REBOOT,
                )
                for parameter in before.values
            ]
            self._put(region, before, changes)
        return changes

    def delete(self, region: str, level: Level, name: str, used_by: Collection[str]) -> None:
        """Remove a group that no resource uses.

        Raises:
            ApiError: there is no such group, it is a default one, or in use.
        """
        with self._lock:
            self._require_changeable(region, level, name)
            if used_by:
                raise ApiError(
                    "InvalidDBParameterGroupState",
                    "One or more database instances are still members of this parameter group "
                    f"{name}, so the group cannot be deleted ({', '.join(sorted(used_by))}).",
                )
            del self._groups[region, level, name]

    def retag(
        self,
        region: str,
        level: Level,
        name: str,
        *,
        add: Mapping[str, str],
        remove: Collection[str],
    ) -> None:
        """Change a group's tags at once.

        Raises:
            ApiError: there is no such group, it is a default one, or would have too many tags.
        """
        with self._lock:
            group = self._require_changeable(region, level, name)
            tags = changed_tags(group.tags, add, remove)
            self._groups[region, level, name] = replace(group, tags=tags)

    def _put(self, region: str, before: Group, changes: Iterable[Change]) -> None:
        values, methods = dict(before.values), dict(before.methods)
        for change in changes:
            if change.value is None:
                values.pop(change.name, None)
                methods.pop(change.name, None)
            else:
                values[change.name] = change.value
                methods[change.name] = change.method
        after = replace(before, values=values, methods=methods)
        self._groups[region, before.level, before.name] = after

    def _require_changeable(self, region: str, level: Level, name: str) -> Group:
        group = self.get(region, level, name)
        if group.is_default:
            raise ApiError(
                "InvalidDBParameterGroupState",
                f"Cannot modify a default parameter group ({name}); create one of your own.",
            )
        return group


def _default(level: Level, name: str) -> Group | None:
    family = name.removeprefix(DEFAULT_PREFIX)
    if family == name or not is_family(family):
        return None
    description = f"Default parameter group for {family}"
    return Group(level=level, name=name, family=family, description=description)


def _require_name(name: str) -> None:
    if len(name) > NAME_MAX or _NAME.fullmatch(name) is None:
        raise ApiError(
            "InvalidParameterValue",
            f"The parameter DBParameterGroupName is not a valid identifier. {RULE}",
        )


def _check(group: Group, change: Change) -> None:
    parameter = group.offered.get(change.name)
    if parameter is None:
        raise ApiError(
            "InvalidParameterValue",
            f"Could not find parameter with name: {change.name}. The test cluster offers, in a "
            f"{group.level.words} of {group.family}: {', '.join(sorted(group.offered))}.",
        )
    if change.method not in {IMMEDIATE, PENDING_REBOOT}:
        raise ApiError("InvalidParameterValue", f"Invalid apply method: {change.method}")
    if parameter.apply_type == STATIC and change.method == IMMEDIATE:
        raise ApiError(
            "InvalidParameterCombination",
            "cannot use immediate apply method for static parameter",
        )
    if change.value is not None and not parameter.allows(change.value):
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid parameter value: {change.value} for: {change.name} allowed values are: "
            f"{parameter.allowed}",
        )
