"""Let queries for names fail."""

from __future__ import annotations

from typing import Literal

from chaos.faults.of_names import PROBABILITY, OfNames
from chaos.model.answers import NameAnswer


class DnsServfail(OfNames):
    """Queries are answered SERVFAIL."""

    fault: Literal["dns-servfail"] = "dns-servfail"
    probability: float = PROBABILITY

    def shows(self, now: NameAnswer, was: NameAnswer) -> bool:
        """Tell whether the query failed."""
        return now.error == "SERVFAIL"
