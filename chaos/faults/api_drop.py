"""Let requests get no answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.faults.of_api import NO_ANSWER, PROBABILITY, OfApi
from chaos.model.answers import ApiAnswer


class ApiDrop(OfApi):
    """The connection is closed without an answer, or stays open and silent."""

    fault: Literal["api-drop"] = "api-drop"
    silent: bool = Field(
        False,
        description="Never answer, instead of closing the connection; at the end it is closed.",
    )
    carried_out: bool = Field(
        False, description="The operation takes effect all the same; only its answer is lost."
    )
    probability: float = PROBABILITY

    def shows(self, now: ApiAnswer) -> bool:
        """Tell whether no answer came."""
        return now.error_code == NO_ANSWER
