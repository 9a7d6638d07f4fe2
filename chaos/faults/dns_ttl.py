"""Answer names with another time to live."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import Context
from chaos.faults.of_names import Asked, OfNames
from chaos.model.answers import NameAnswer
from chaos.model.topology import Topology


class DnsTtl(OfNames):
    """Clients and resolvers that cache keep answers for longer, or shorter."""

    fault: Literal["dns-ttl"] = "dns-ttl"
    ttl_s: int = Field(ge=0, le=604_800, description="The time to live that is answered.")

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Asked:
        """Ask for the name; refuse the time to live that it has already."""
        asked = super().see(context, topology, targets)
        if asked.answer.ttl_s == self.ttl_s:
            raise GuardRefused(
                f"dns-ttl: {asked.name} has a time to live of {self.ttl_s} s already; choose another"
            )
        return asked

    def shows(self, now: NameAnswer, was: NameAnswer) -> bool:
        """Tell whether it is the time to live that was asked for."""
        return now.ttl_s == self.ttl_s
