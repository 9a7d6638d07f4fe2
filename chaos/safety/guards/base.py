"""What a guard is, and how all of them are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chaos.errors import ControlPlaneError, DatabaseError, HostError
from chaos.safety.calls import Call
from chaos.safety.guards.situation import Situation


@dataclass(frozen=True, slots=True)
class Guard:
    """A named condition; `refusal` returns why not and what to do, or None.

    `reads` are the API calls that it asks by, for the IAM policy and for who has no permission.
    """

    name: str
    summary: str
    refusal: Callable[[Situation], str | None]
    reads: tuple[Call, ...] = ()

    def why_not(self, situation: Situation) -> str | None:
        """Return why it refuses; what cannot be read refuses too, with the permission it needs."""
        try:
            return self.refusal(situation)
        except (ControlPlaneError, DatabaseError, HostError) as error:
            needed = ", ".join(f"{call.service}:{call.operation}" for call in self.reads)
            allow = f"; allow {needed} (`gameday policy` prints the whole policy)" if needed else ""
            return f"{self.summary}: this could not be read ({error}){allow}"


def refusals(guards: Iterable[Guard], situation: Situation) -> dict[str, str | None]:
    """Ask every guard; return by its name why it refuses, or None."""
    return {guard.name: guard.why_not(situation) for guard in guards}
