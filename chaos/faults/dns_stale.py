"""Go on to answer names as they were, while the writer moves."""

from __future__ import annotations

from typing import Literal

from chaos.faults.of_names import PROBABILITY, OfMovingNames


class DnsStale(OfMovingNames):
    """Names are answered as they were when this began; let the steps within it move the writer."""

    fault: Literal["dns-stale"] = "dns-stale"
    probability: float = PROBABILITY
