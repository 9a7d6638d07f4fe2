"""The machines that sent the traffic, as the report tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports import words
from reports.read import Report


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker as a table shows it."""

    name: str
    operations: int
    offset: str
    """How far its clock is ahead of the runner's."""
    error: str
    """By how much its instants may be wrong."""
    lost: str
    """When and why it was lost; empty: it was not."""


def rows(report: Report) -> tuple[WorkerRow, ...]:
    """Return a row a worker; none where the runner's own machine sent the traffic."""
    return tuple(_row(report, told) for told in report.judgement.told.get("workers") or ())


def _row(report: Report, told: Mapping[str, Any]) -> WorkerRow:
    offset_s, error_s, lost = told["clock_offset_s"], told["clock_error_s"], told["lost"]
    host = f" ({told['host']})" if told["host"] else ""
    return WorkerRow(
        name=f"worker {told['worker']}{host}",
        operations=told["operations"],
        offset="never measured" if offset_s is None else f"{offset_s:+.4f} s",
        error=words.MISSING if error_s is None else f"± {words.duration(error_s)}",
        lost=f"at {report.at(lost['at'])}: {lost['why']}" if lost else "",
    )
