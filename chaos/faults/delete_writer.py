"""Delete the writer with `DeleteDBInstance`: the service promotes a reader."""

from __future__ import annotations

from typing import ClassVar, Literal

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context
from chaos.faults.deletions import Deletes
from chaos.faults.failover_cluster import new_writer
from chaos.faults.targets import select
from chaos.model.topology import Topology


class DeleteWriter(Deletes):
    """Call `DeleteDBInstance` on the writer; the effect is that it is gone and another one writes.

    The new writer is told by the API and by its own word in SQL. Recovery creates the old one again as
    it was, as a reader; `rollback: [restore-writer]` makes it the writer again.
    """

    undoes: ClassVar[str] = "creates the instance again as it was, as a reader"

    fault: Literal["delete-writer"] = "delete-writer"

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the writer; refuse a cluster without a reader to take over."""
        if not topology.readers:
            raise GuardRefused(
                f"delete-writer: cluster {topology.cluster} has no reader to take over, so nothing "
                "would be left; add one before this run"
            )
        return (select("writer", topology).id,)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once the cluster no longer lists it and another instance writes."""
        gone = super().took_effect(context, before)
        return gone if gone and new_writer(context, before) else None
