"""The state of a stand-alone instance's nodes, of which the outside knows one by one name."""

from __future__ import annotations

from typing import ClassVar

from chaos.testcluster.aurora.core import Core, Member
from chaos.testcluster.events import EventKind
from chaos.testcluster.parameters.offered import POSTGRES
from chaos.testcluster.records import ApiError
from chaos.testcluster.standalone.events import OF_THE_ACTIVE_NODE, OF_THE_PAIR


class StandaloneCore(Core):
    """A core whose identifier is the instance's; its members are nodes `IDENTIFIER-node-N`."""

    engine: ClassVar[str] = POSTGRES

    def require_member(self, instance: str) -> Member:
        """Return the active node for the instance's own identifier, or a node by its own.

        Raises:
            ApiError: DBInstanceNotFound.
        """
        if instance != self.spec.id:
            return super().require_member(instance)
        active = self.writer_member()
        if active is None:
            raise ApiError("DBInstanceNotFound", f"DBInstance {instance} not found.")
        return active

    def standby(self) -> Member | None:
        """Return the hidden node, None where there is none."""
        return next(iter(self.others(self.writer_member())), None)

    def record(self, kind: EventKind, source: str, **values: str) -> None:
        """Append what an event of a node is to those who see one instance; some are nothing."""
        identifier = self.spec.id
        if kind in OF_THE_PAIR:
            for seen in OF_THE_PAIR[kind]:
                super().record(seen, identifier, **values)
        elif source == self.writer and kind in OF_THE_ACTIVE_NODE:
            super().record(kind, identifier, **values)

    def announce(self, kind: EventKind) -> None:
        """Append an event about the instance itself."""
        super().record(kind, self.spec.id)
