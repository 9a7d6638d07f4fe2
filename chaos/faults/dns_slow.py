"""Answer queries late."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.faults.of_names import PROBABILITY, OfNames
from chaos.model.answers import NameAnswer


class DnsSlow(OfNames):
    """Answers come late; a client that waits for less time gets none."""

    fault: Literal["dns-slow"] = "dns-slow"
    delay_s: float = Field(gt=0, le=60, description="So late each answer comes.")
    probability: float = PROBABILITY

    def shows(self, now: NameAnswer, was: NameAnswer) -> bool:
        """Tell whether the answer came late, or too late for us."""
        return now.error == "timeout" or now.took_s >= self.delay_s
