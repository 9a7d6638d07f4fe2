"""Let names exist and have no address."""

from __future__ import annotations

from typing import Literal

from chaos.faults.of_names import PROBABILITY, OfNames
from chaos.model.answers import NameAnswer


class DnsEmpty(OfNames):
    """Queries are answered NOERROR, without an address."""

    fault: Literal["dns-empty"] = "dns-empty"
    probability: float = PROBABILITY

    def shows(self, now: NameAnswer, was: NameAnswer) -> bool:
        """Tell whether there is no address."""
        return now.error == "NODATA"
