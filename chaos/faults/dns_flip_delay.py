"""Let the cluster endpoint lead to the old writer for longer after a promotion."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from chaos.faults.base import Before, Context
from chaos.faults.disturbance import Disturbance
from chaos.faults.of_names import Asked, answered, is_astray, why_straight
from chaos.model.topology import Topology

_SHARE = 0.5


class DnsFlipDelay(Disturbance):
    """The cluster endpoint's flip takes so long in failovers that begin from now on.

    The effect is that it leads to another instance than the writer for at least half of that while
    the steps within it move the writer, or after that.
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

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Asked:
        """Ask for the cluster endpoint."""
        super().see(context, topology, targets)
        return Asked("cluster", answered(self.fault, context, "cluster"))

    def meanwhile(self, context: Context, before: Before) -> None:
        """Note where the endpoint leads."""
        before.seen.note(context)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the cluster once its endpoint has led astray for so long without a break."""
        before.seen.note(context)
        since_s: float | None = None
        for at_s, astray in before.seen.notes:
            since_s = (at_s if since_s is None else since_s) if astray else None
            if since_s is not None and at_s - since_s >= self.delay_s * _SHARE:
                return before.target
        return None

    def why_none(self, context: Context, before: Before) -> str:
        """Say so where nothing moved the writer."""
        return why_straight(context, before)

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and the endpoint leads to the writer."""
        return super().is_recovered(context, before) and is_astray(context, "cluster") is False
