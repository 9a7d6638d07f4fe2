"""Delete every reader with `DeleteDBInstance`: the writer is left alone with all the work."""

from __future__ import annotations

from typing import ClassVar, Literal

from chaos.errors import GuardRefused
from chaos.faults.deletions import Deletes
from chaos.model.topology import Topology


class DeleteAllReaders(Deletes):
    """Call `DeleteDBInstance` on each reader; the effect is a cluster that lists none of them.

    The writer has nobody to fail over to meanwhile. Recovery creates each reader again as it was.
    """

    undoes: ClassVar[str] = "creates the readers again as they were"

    fault: Literal["delete-all-readers"] = "delete-all-readers"

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the readers; refuse a cluster without one."""
        if not topology.readers:
            raise GuardRefused(f"delete-all-readers: cluster {topology.cluster} has no reader")
        return tuple(sorted(reader.id for reader in topology.readers))
