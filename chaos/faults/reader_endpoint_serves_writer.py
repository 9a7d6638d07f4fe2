"""Let the reader endpoint hand out the writer, too."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context
from chaos.faults.disturbance import Disturbance
from chaos.model.topology import Topology

_ASKED = 20


class ReaderEndpointServesWriter(Disturbance):
    """What AWS says may happen for a while in a failover: reads reach the writer.

    The effect is an answer of the reader endpoint that has the writer's address.
    """

    fault: Literal["reader-endpoint-serves-writer"] = "reader-endpoint-serves-writer"
    after_flip_s: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="Only so long after each flip of the cluster endpoint. Absent: all the time.",
    )
    only: bool = Field(False, description="The writer instead of the readers, not beside them.")

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the writer; without a reader it is behind that endpoint anyway."""
        if not topology.readers or topology.writer is None:
            raise GuardRefused(
                f"reader-endpoint-serves-writer: {topology.cluster} has no reader, so its reader "
                "endpoint leads to the writer anyway; add one before this run"
            )
        return (topology.writer.id,)

    def parameters(self, before: Before) -> dict[str, Any]:
        """Add the cluster."""
        return {**super().parameters(before), "cluster": before.topology.cluster}

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> None:
        """Refuse where it serves the writer already."""
        super().see(context, topology, targets)
        if self._serves(context, targets[0]):
            raise GuardRefused(
                f"reader-endpoint-serves-writer: it serves {targets[0]} already; wait a little"
            )

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the writer once the endpoint hands it out."""
        writer = context.rds.topology().writer
        return writer.id if writer and self._serves(context, writer.id) else None

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and no answer has the writer."""
        writer = context.rds.topology().writer
        back = super().is_recovered(context, before) and writer is not None
        return back and writer is not None and not self._serves(context, writer.id)

    def _serves(self, context: Context, writer: str) -> bool:
        names = context.name_server
        addresses = set(names.ask(writer).addresses)
        return any(addresses & set(names.ask("reader").addresses) for _ in range(_ASKED))
