"""How those answered that faults ask, to see their effect: name server, API, database."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median


@dataclass(frozen=True, slots=True, kw_only=True)
class NameAnswer:
    """What a query for an endpoint's name got; `error` is `NXDOMAIN`, `timeout`..., or empty."""

    addresses: tuple[str, ...]
    ttl_s: int | None
    error: str
    took_s: float
    at_s: float = 0.0
    """The monotonic instant at which it was there."""
    ttl_s_max: int | None = None
    """The longest in the chain of aliases: so long may a resolver go on giving an old answer."""
    by_tcp: bool = False
    """Whether the answer by UDP was cut, so that it was asked for again by TCP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """How one call was answered: `error_code` is `no answer` without one, None for success."""

    error_code: str | None
    attempts: int
    """How often it was sent: more than once where the service throttled."""
    duration_s: float
    """Until the last answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrips:
    """Statements one after the other in one new session, with a pause before each."""

    statements_s: tuple[float, ...]
    sent_again: int
    """TCP segments that this client had to send again; 0 where the system does not tell."""

    @property
    def mean_s(self) -> float:
        """The mean: it tells of what only some statements suffer."""
        return fmean(self.statements_s)

    @property
    def median_s(self) -> float:
        """The median: it tells nothing of a few that a busy machine was late for."""
        return median(self.statements_s)
