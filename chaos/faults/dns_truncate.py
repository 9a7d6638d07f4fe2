"""Cut answers by UDP, so that clients have to ask again by TCP."""

from __future__ import annotations

from typing import Literal

from chaos.faults.of_names import PROBABILITY, OfNames
from chaos.model.answers import NameAnswer


class DnsTruncate(OfNames):
    """Answers by UDP are cut; by TCP they are whole."""

    fault: Literal["dns-truncate"] = "dns-truncate"
    probability: float = PROBABILITY

    def shows(self, now: NameAnswer, was: NameAnswer) -> bool:
        """Tell whether the answer had to come by TCP."""
        return now.by_tcp
