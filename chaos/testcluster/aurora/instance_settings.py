"""What each instance's PostgreSQL is to be set to, by whoever has a say in it.

Sources are asked in their order and later ones win: the capacity's settings come first, what
parameter groups say goes over them. A setting that takes a restart waits for one; until then the
instance is out of step with its parameter group, which the API shows as `pending-reboot`.

PostgreSQL's readers replay only with at least the writer's value of some settings. So a reader starts
with the writer's where that is larger; Aurora needs no such thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from chaos.testcluster.serverless.settings import STATIC, engine_settings

if TYPE_CHECKING:
    from chaos.testcluster.aurora.core import Core, Member
    from chaos.testcluster.postgres.node import Node

_AS_THE_WRITER = (
    "max_connections",
    "max_worker_processes",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)

Source = Callable[["Member"], Mapping[str, str]]
"""Returns the settings that it wants for an instance, by name."""


class InstanceSettings:
    """The settings of one cluster's instances.

    Add a source to `sources`, and to `static` the settings of it that take effect with a restart.
    After a change call `reconfigure` of the nodes concerned.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.sources: list[Source] = [self._by_capacity]
        self.static: set[str] = set(STATIC)

    def of(self, member: Member) -> Mapping[str, str]:
        """Return what an instance is to start with now."""
        wanted = self._wanted(member)
        origin = self._origin(member)
        if origin is None:
            return wanted
        least = {
            name: value
            for name in _AS_THE_WRITER
            if (value := origin.started_with(name)) is not None
            and int(value) > int(wanted.get(name, "0"))
        }
        return {**wanted, **least}

    def wait_for_restart(self, member: Member) -> bool:
        """Tell whether an instance runs with another value of a static setting than is wanted."""
        wanted = self._wanted(member)
        return member.node.pid is not None and any(
            wanted.get(name) != member.node.started_with(name) for name in self.static
        )

    def cannot_follow(self, reader: Member) -> bool:
        """Tell whether a running reader has less of a setting than its running writer needs."""
        origin = self._origin(reader)
        return origin is not None and any(
            int(reader.node.started_with(name) or 0) < int(value)
            for name in _AS_THE_WRITER
            if (value := origin.started_with(name)) is not None
        )

    def _origin(self, member: Member) -> Node | None:
        """Return the node that a reader replays: its writer, or the source of a secondary's first."""
        core = self._core
        writer = core.writer_member()
        if writer is None or writer is member:
            return core.source() if core.source is not None else None
        return writer.node

    def _wanted(self, member: Member) -> dict[str, str]:
        wanted: dict[str, str] = {}
        for source in self.sources:
            wanted.update(source(member))
        return wanted

    def _by_capacity(self, member: Member) -> Mapping[str, str]:
        return engine_settings(self._core.bounds, member.spec.instance_class)
