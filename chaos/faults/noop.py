"""Do nothing, for a while: the control experiment, and the worked example of a fault file."""

from __future__ import annotations

from typing import ClassVar, Literal

from chaos.faults.base import Before, Context, Fault
from chaos.model.topology import Topology


class Noop(Fault):
    """Disturb nothing and hold for `hold_s`: whatever is measured is the harness's own noise."""

    works_on: ClassVar[str] = "any cluster"
    undoes: ClassVar[str] = "nothing"
    expected_s: ClassVar[float] = 0.0

    fault: Literal["noop"] = "noop"

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the cluster: nothing in it is touched."""
        return (topology.cluster,)

    def inject(self, context: Context, before: Before) -> None:
        """Do nothing."""

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Say that doing nothing succeeded."""
        return before.target
