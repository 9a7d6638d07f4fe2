"""Which arrivals a run was designed to have: of each arm's streams, how many in any stretch.

A stream that falls silent is a hole in the recording where arrivals were due, and none where its
rate was low on purpose. What an arm asks is told by its settings in the environment.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaos.checks.recording import Recording, kind_of
from chaos.clock import NS
from chaos.model.operation import Kind
from chaos.model.shape import Shape

SERVICE = (("cluster", Kind.WRITE, "writes_per_s"), ("reader", Kind.READ, "reads_per_s"))
"""The streams of the service as a whole; those of an arm that tells no others, by their rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The arrivals of one stream of an arm."""

    endpoint: str
    kind: Kind
    rate_per_s: float
    """Times the factor of the shape; 0 where nobody told."""
    shape: Shape
    zero_ns: int | None
    """Second 0 of the shape; None where it never began."""

    def due(self, from_ns: int, to_ns: int) -> float:
        """Return how many arrivals were due between two instants."""
        return self.rate_per_s * (self._area(to_ns) - self._area(from_ns))

    def before(self, at_ns: int, count: float) -> int:
        """Return since when so many arrivals had been due by an instant; the rate must be known."""
        area = self._area(at_ns) - count / self.rate_per_s
        if self.zero_ns is None:
            return round(area / self.shape.factor(0.0) * NS)
        return self.zero_ns + round(self.shape.instant(area) * NS)

    def _area(self, at_ns: int) -> float:
        if self.zero_ns is None:
            return at_ns / NS * self.shape.factor(0.0)
        return self.shape.area((at_ns - self.zero_ns) / NS)


def designed(recording: Recording, arm: str) -> tuple[Design, ...]:
    """Return the streams of a declared arm."""
    history = recording.history
    workload = history.experiment.get("workload") or {}
    shape = Shape.of(workload.get("shape"))
    began = (e.at_ns for e in history.events if (e.type, e.data.get("state")) == ("load", "shaped"))
    zero_ns = next(began, None)
    told = ((history.environment.get("arms") or {}).get(arm) or {}).get("streams")
    if told:
        rates = {tuple(name.rsplit(" ", 1)): float(rate) for name, rate in told.items()}
        streams = [(endpoint, kind_of(kind), rate) for (endpoint, kind), rate in rates.items()]
    else:
        entries = workload.get("arms") or ()
        arms = {str(entry.get("name") or entry["arm"]): entry for entry in entries}
        streams = [
            (endpoint, kind, float(arms.get(arm, {}).get(name) or workload.get(name) or 0.0))
            for endpoint, kind, name in SERVICE
        ]
    return tuple(
        Design(endpoint=endpoint, kind=kind, rate_per_s=rate, shape=shape, zero_ns=zero_ns)
        for endpoint, kind, rate in streams
    )
