"""Answer queries not at all."""

from __future__ import annotations

from typing import Literal

from chaos.faults.of_names import PROBABILITY, OfNames
from chaos.model.answers import NameAnswer


class DnsDrop(OfNames):
    """Queries get no answer at all."""

    fault: Literal["dns-drop"] = "dns-drop"
    probability: float = PROBABILITY

    def shows(self, now: NameAnswer, was: NameAnswer) -> bool:
        """Tell whether no answer came."""
        return now.error == "timeout"
