"""The steady state: tolerances evaluated on the operations recorded in the last seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from chaos.checks.order_statistics import quantile
from chaos.clock import NS
from chaos.model.history import load_operations
from chaos.model.operation import Kind, Outcome

_OPERATIONS_MIN = 10


class Tolerance(Protocol):
    """The fields of a `steady_state` entry."""

    @property
    def arm(self) -> str:
        """Arm looked at."""

    @property
    def operation(self) -> str:
        """`write` or `read`."""

    @property
    def success_ratio_min(self) -> float:
        """Share that must succeed."""

    @property
    def latency_ms_p99_max(self) -> float | None:
        """Bound of the 99th percentile."""

    @property
    def over_s(self) -> float:
        """Seconds looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured, and why it is outside the tolerance (empty: it is inside)."""

    operations: int
    success_ratio: float | None
    latency_ms_p99: float | None
    why: str

    @property
    def facts(self) -> dict[str, float | int | None]:
        """What was measured, for the journal."""
        return {
            "operations": self.operations,
            "success_ratio": self.success_ratio,
            "latency_ms_p99": self.latency_ms_p99,
        }


def measure(folder: Path, tolerance: Tolerance, now_ns: int) -> Measured:
    """Evaluate one tolerance on what is on disk now.

    Too few operations are outside every tolerance: nothing was shown.
    """
    log = load_operations(folder / "operations", tolerance.arm)
    kind = Kind[tolerance.operation.upper()]
    # Records reach the disk up to 0.25 s late, so the stretch ends before the present.
    until = now_ns - NS // 2
    since = until - int(tolerance.over_s * NS)
    chosen = log.operations[
        (log.operations["kind"] == kind)
        & (log.operations["intended_ns"] >= since)
        & (log.operations["intended_ns"] < until)
    ]
    if len(chosen) < _OPERATIONS_MIN:
        why = f"only {len(chosen)} operations in {tolerance.over_s:g} s; is there traffic?"
        return Measured(operations=len(chosen), success_ratio=None, latency_ms_p99=None, why=why)
    ratio = float(np.mean(chosen["outcome"] == Outcome.OK))
    latency = quantile(((chosen["ended_ns"] - chosen["intended_ns"]) / 1e6).tolist(), 0.99)
    reasons = []
    if ratio < tolerance.success_ratio_min:
        reasons.append(f"success ratio {ratio:.4f} is below {tolerance.success_ratio_min:g}")
    bound = tolerance.latency_ms_p99_max
    if bound is not None and latency > bound:
        reasons.append(f"p99 latency {latency:.1f} ms is above {bound:g} ms")
    return Measured(
        operations=len(chosen),
        success_ratio=ratio,
        latency_ms_p99=latency,
        why="; ".join(reasons),
    )
