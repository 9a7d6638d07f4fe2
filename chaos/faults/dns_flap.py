"""Answer a changed name new, old, new and so on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.faults.base import Before, Context
from chaos.faults.of_names import OfMovingNames


class DnsFlap(OfMovingNames):
    """After each change the old answer comes back for a while; let the steps within it move the writer.

    The effect is an answer that leads astray after one that did not.
    """

    fault: Literal["dns-flap"] = "dns-flap"
    period_s: float = Field(
        1.0, gt=0, le=86_400, description="So long each answer stands, from the first query on."
    )
    times: int = Field(1, ge=1, le=100, description="How often the old answer comes back.")

    def meanwhile(self, context: Context, before: Before) -> None:
        """Note where the name leads."""
        before.seen.note(context)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the endpoint once it has led astray again."""
        before.seen.note(context)
        led = [astray for _, astray in before.seen.notes]
        moved = next((n for n, astray in enumerate(led) if astray), len(led))
        arrived = next((n for n, astray in enumerate(led) if n > moved and not astray), len(led))
        return before.target if any(led[arrived:]) else None
