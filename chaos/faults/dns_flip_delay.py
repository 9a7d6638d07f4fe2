"""Let the cluster endpoint lead to the old writer for longer after a promotion."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from chaos.faults.base import Before, Context
from chaos.faults.disturbance import Disturbance
from chaos.faults.of_names import is_astray
from chaos.model.topology import Topology


class DnsFlipDelay(Disturbance):
    """The cluster endpoint's flip takes so long in failovers that begin from now on.

    The effect is that it leads to another instance than the writer once the steps within it, which
    let it move, are done: `delay_s` must outlast them.
    """

    shows_later: ClassVar[bool] = True

    fault: Literal["dns-flip-delay"] = "dns-flip-delay"
    delay_s: float = Field(ge=0, le=86_400, description="From the promotion to the flip.")

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the cluster."""
        return (topology.cluster,)

    def parameters(self, before: Before) -> dict[str, Any]:
        """Add the cluster."""
        return {**super().parameters(before), "cluster": before.topology.cluster}

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the cluster once its endpoint leads astray."""
        return before.target if is_astray(context, "cluster") else None

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and the endpoint leads to the writer."""
        return super().is_recovered(context, before) and is_astray(context, "cluster") is False
