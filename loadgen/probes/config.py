"""What the runner tells the probes process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbesConfig:
    """How densely to watch. `run` is the run's id, which names the probe table.

    An outage is reported between its true length and about one grid step (`period_s / slots`) and a
    connect more. Why these values: tests/benchmarks/ground_truth.py, which measures others too.
    """

    run: str
    slots: int = 10
    """Sessions of each endpoint stream that ask."""
    spares: int = 5
    """More of them, which connect only when those are stuck."""
    period_s: float = 0.1
    """Time for a round of all sessions."""
    deadline_s: float = 0.18
    """When an answer is overdue, and how long a host may take to accept a connection."""
    instance_slots: int = 2
    instance_spares: int = 1
    instance_period_s: float = 0.1
    """The same for the stream that asks each instance for its role."""
    open_timeout_s: float = 15.0
    """How long an endpoint may refuse before the probes give up starting."""
