"""Carry requests out late."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.faults.of_api import NO_ANSWER, PROBABILITY, OfApi
from chaos.model.answers import ApiAnswer


class ApiSlow(OfApi):
    """Requests are carried out and answered so much later; a client that waits for less gets nothing."""

    fault: Literal["api-slow"] = "api-slow"
    delay_s: float = Field(gt=0, le=600, description="Seconds before it is carried out.")
    probability: float = PROBABILITY

    def shows(self, now: ApiAnswer) -> bool:
        """Tell whether the answer was late, or too late for us."""
        return now.error_code == NO_ANSWER or now.duration_s >= self.delay_s
