"""Answer a changed name new, old, new and so on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.faults.base import Before, Context
from chaos.faults.of_names import OfMovingNames, is_astray


class DnsFlap(OfMovingNames):
    """After each change the old answer comes back for a while; let the steps within it move the writer.

    The effect is an answer that leads astray after one that did not. The old one must come back often
    enough (`times`) to be seen once the steps are done.
    """

    fault: Literal["dns-flap"] = "dns-flap"
    period_s: float = Field(
        1.0, gt=0, le=86_400, description="So long each answer stands, from the first query on."
    )
    times: int = Field(1, ge=1, le=100, description="How often the old answer comes back.")

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the endpoint once it leads astray again."""
        astray = is_astray(context, before.seen.name)
        if astray is not None:
            before.seen.notes.append(astray)
        came_back = bool(astray) and False in before.seen.notes
        return before.target if came_back else None
