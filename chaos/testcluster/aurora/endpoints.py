"""Custom endpoints: names that lead to a chosen group of a cluster's instances.

A group's list names its members (static) or those that are left out (excluded), never both. Lists do
not change when an instance changes its role, only when it is deleted or renamed. The rules are AWS's:
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Endpoints.Custom.Considerations.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

CUSTOM_MAX = 5
READER = "READER"
ANY = "ANY"
KINDS = (READER, ANY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Which instances an endpoint leads to; `static` None: all but the excluded ones."""

    kind: str
    static: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()

    def holds(self, instance: str) -> bool:
        """Tell whether an instance is associated with the endpoint, whatever its role and state."""
        if self.static is not None:
            return instance in self.static
        return instance not in self.excluded

    def without(self, instance: str) -> Group:
        """Return the group after an instance was deleted; a static list stays one, even empty."""
        return self._mapped(lambda name: None if name == instance else name)

    def renamed(self, old: str, new: str) -> Group:
        """Return the group after an instance got another identifier."""
        return self._mapped(lambda name: new if name == old else name)

    def _mapped(self, change: Callable[[str], str | None]) -> Group:
        return replace(
            self,
            static=None if self.static is None else _changed(self.static, change),
            excluded=_changed(self.excluded, change),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomEndpoint:
    """One custom endpoint of a cluster; its name resolves while `group` is not None."""

    id: str
    resource_id: str
    status: str
    wanted: Group  # as the API shows it
    group: Group | None = None  # as it is in force; None until it is created
    tags: Mapping[str, str] = field(default_factory=dict)

    def without(self, instance: str) -> CustomEndpoint:
        """Return the endpoint after an instance was deleted."""
        return self._mapped(lambda group: group.without(instance))

    def renamed(self, old: str, new: str) -> CustomEndpoint:
        """Return the endpoint after an instance got another identifier."""
        return self._mapped(lambda group: group.renamed(old, new))

    def _mapped(self, change: Callable[[Group], Group]) -> CustomEndpoint:
        group = None if self.group is None else change(self.group)
        return replace(self, wanted=change(self.wanted), group=group)


class Candidate(NamedTuple):
    """An instance as endpoints see it."""

    id: str
    is_writer: bool
    serves: bool


def targets(group: Group, instances: Iterable[Candidate]) -> list[str]:
    """Return the instances that a custom endpoint is answered with now.

    Those that serve, of the type. AWS does not say what a name answers when there is none; as the
    reader endpoint's, a READER's is then its writer, and where nothing serves, all are named, so that
    a client is refused rather than told that the name does not exist.
    """
    associated = [i for i in instances if group.holds(i.id)]
    serving = [i for i in associated if i.serves]
    fitting = [i for i in serving if group.kind == ANY or not i.is_writer]
    return [i.id for i in fitting or serving or associated]


def _changed(names: Iterable[str], change: Callable[[str], str | None]) -> tuple[str, ...]:
    return tuple(after for after in map(change, names) if after is not None)
