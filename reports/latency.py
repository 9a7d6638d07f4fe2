"""Latencies as rows of words, corrected and raw side by side, and what the generators were like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from reports.read import Report
from reports.words import MISSING, count, duration

COLUMNS = ("p50", "p90", "p99", "p99.9", "max")
FAULTS_MAX = 8
"""Faults whose latencies the page tells; those of the others are in `verdict.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRow:
    """One stream in one part of the recording."""

    arm: str
    operation: str
    endpoint: str
    part: str
    n: str
    not_served: int
    taken: tuple[tuple[str, str], ...]
    """Corrected and raw, by `COLUMNS`."""
    first: bool
    """Whether it begins its stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """The latencies around one fault, or of a run without any."""

    title: str
    rows: tuple[LatencyRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorRow:
    """What one arm's generator was like."""

    arm: str
    lag: str
    cpu: str
    queued: str
    never_sent: tuple[str, ...]


def latencies(report: Report) -> tuple[LatencyTable, ...]:
    """Return a table for each fault, in order; none where the run was not judged."""
    told = report.judgement.told.get("latency") or ()
    tables = []
    for (number, fault), rows in groupby(told, key=lambda r: (r["fault_number"], r["fault"])):
        title = f"{fault} {number}" if fault else "the whole recording"
        tables.append(LatencyTable(title=title, rows=tuple(_rows(report, list(rows)))))
    return tuple(tables[:FAULTS_MAX])


def untold(report: Report) -> int:
    """Return how many faults there are beyond those that the page tells."""
    told = report.judgement.told.get("latency") or ()
    return max(0, len({row["fault_number"] for row in told}) - FAULTS_MAX)


def generators(report: Report) -> tuple[GeneratorRow, ...]:
    """Return a row for each arm."""
    return tuple(
        GeneratorRow(
            arm=row["arm"],
            lag=MISSING if row["lag_ms_max"] is None else duration(row["lag_ms_max"] / 1e3),
            cpu=_share(row["cpu_share_max"]),
            queued=_share(row["queued_share_max"]),
            never_sent=tuple(_unsent(report, one) for one in row["never_sent"]),
        )
        for row in report.judgement.told.get("generators") or ()
    )


def _rows(report: Report, told: Sequence[Mapping[str, Any]]) -> Iterator[LatencyRow]:
    order = {arm: place for place, arm in enumerate(report.arms)}
    streams: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in told:
        streams.setdefault((row["arm"], row["endpoint"], row["operation"]), []).append(row)
    for key in sorted(streams, key=lambda k: (order.get(k[0], len(order)), k)):
        for place, row in enumerate(streams[key]):
            yield LatencyRow(
                arm=row["arm"],
                operation=row["operation"],
                endpoint=report.short(row["endpoint"]),
                part=row["part"],
                n=count(row["n"]),
                not_served=row["not_served"] + row["never_sent"],
                taken=tuple(
                    (_spelled(row["corrected_ms"][name]), _spelled(row["raw_ms"][name]))
                    for name in COLUMNS
                ),
                first=place == 0,
            )


def _spelled(value_ms: float | None) -> str:
    return MISSING if value_ms is None else duration(value_ms / 1e3)


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.0%}"


def _unsent(report: Report, one: Mapping[str, Any]) -> str:
    return (
        f"{count(one['operations'])} of {count(one['of'])} {one['operation']}s on "
        f"{report.short(one['endpoint'])} found the queue full, "
        f"from {report.at(one['first'])} to {report.at(one['last'])}"
    )
