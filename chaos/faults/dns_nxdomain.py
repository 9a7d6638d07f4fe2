"""Let names not exist."""

from __future__ import annotations

from typing import Literal

from chaos.faults.of_names import PROBABILITY, OfNames
from chaos.model.answers import NameAnswer


class DnsNxdomain(OfNames):
    """Queries are answered NXDOMAIN."""

    fault: Literal["dns-nxdomain"] = "dns-nxdomain"
    probability: float = PROBABILITY

    def shows(self, now: NameAnswer, was: NameAnswer) -> bool:
        """Tell whether the name is denied."""
        return now.error == "NXDOMAIN"
