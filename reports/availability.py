"""How much of the service each stream was given, over the run and in the worst fault."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reports import naming
from reports.read import Report
from reports.words import MISSING, count, duration, share


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityRow:
    """One stream over the run; `worst_fault` is what the fault that cost most of it lost."""

    arm: str
    stream: str
    operations: str
    not_served: str
    why: str
    ratio: str
    ratio_of_time: str
    lost: str
    worst_fault: str
    bad: bool


def rows(report: Report) -> tuple[AvailabilityRow, ...]:
    """Return one row for each stream."""
    told = report.judgement.told.get("availability") or ()
    streams: dict[tuple[int, int, str, str], list[dict[str, Any]]] = {}
    for row in told:
        streams.setdefault(naming.order(report, row), []).append(row)
    return tuple(_row(report, streams[key]) for key in sorted(streams))


def _row(report: Report, told: list[dict[str, Any]]) -> AvailabilityRow:
    run = next(row for row in told if row["over"] == "run")
    not_served = run["operations"] - run["served"]
    reasons = [f"{count(run[r])} {r}" for r in ("failed", "unknown", "late", "unsent") if run[r]]
    return AvailabilityRow(
        arm=naming.arm(run["arm"]),
        stream=naming.stream(report, run),
        operations=count(run["operations"]),
        not_served=count(not_served),
        why=", ".join(reasons),
        ratio=share(run["ratio"]),
        ratio_of_time=_between(run["ratio_of_time_min"], run["ratio_of_time_max"]),
        lost=duration(lost_s(run)),
        worst_fault=_worst(report, (row for row in told if row["over"] == "fault")),
        bad=not_served > 0,
    )


def lost_s(row: dict[str, Any]) -> float:
    """Return the seconds' worth of operations that were not served."""
    return 0.0 if row["ratio"] is None else (1 - row["ratio"]) * float(row["seconds"])


def _worst(report: Report, faults: Iterable[dict[str, Any]]) -> str:
    worst = max(faults, key=lost_s, default=None)
    if worst is None or not lost_s(worst):
        return MISSING
    return f"{duration(lost_s(worst))}, {naming.faults(report, [worst['fault_id']])}"


def _between(low: float | None, high: float | None) -> str:
    if low is None or high is None or share(low) == share(high):
        return share(low)
    return f"{share(low)} to {share(high)}"
