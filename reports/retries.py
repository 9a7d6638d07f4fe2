"""The retry ledger: what users saw, what retries absorbed, and what waiting and retrying cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports import naming
from reports.read import Report
from reports.words import MISSING, count, duration


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRow:
    """One stream over the run or over one fault."""

    arm: str
    stream: str
    over: str
    operations: str
    first_attempt: str
    absorbed: str
    absorbed_cost: str
    """How many attempts more, and how long that took at most."""
    absorbed_errors: str
    failed: str
    unknown: str
    seen: str
    """The errors that users saw."""
    amplification: str
    waited: str
    bad: bool


def rows(report: Report, *, over: str) -> tuple[RetryRow, ...]:
    """Return the ledger over the `run`, or over each `fault`."""
    told = [row for row in _told(report).get("list") or () if row["over"] == over]
    return tuple(
        _row(report, row)
        for row in sorted(told, key=lambda r: (naming.order(report, r), r["from"]))
    )


def applied_twice(report: Report) -> tuple[tuple[str, str], ...]:
    """Return how many writes of each arm were applied twice, by the ledger of writes."""
    told = _told(report).get("applied_twice") or {}
    return tuple((arm, "not known" if n is None else count(n)) for arm, n in told.items())


def waited_above(report: Report) -> str:
    """Return from which wait on an operation is counted as one that waited."""
    return duration(_told(report).get("waited_s_above"))


def line(report: Report, arm: str) -> str:
    """Return one line for the terminal: what the users of an arm saw, and what retries absorbed."""
    mine = [r for r in _told(report).get("list") or () if (r["arm"], r["over"]) == (arm, "run")]
    if not mine:
        return ""
    total = {name: sum(r[name] for r in mine) for name in ("operations", "attempts", "unsent")}
    seen = sum(r["seen"]["failed"] + r["seen"]["unknown"] for r in mine) + total["unsent"]
    absorbed = sum(r["absorbed"]["operations"] for r in mine)
    longest = max(r["absorbed"]["extra_s_max"] for r in mine)
    said = f"{count(seen)} of {count(total['operations'])} operations failed for users"
    if absorbed:
        said += f", retries absorbed {count(absorbed)} more (up to {duration(longest)} each)"
    sent = total["operations"] - total["unsent"]
    if sent:
        said += f"; {total['attempts'] / sent:.2f} attempts an operation"
    waited = max(r["waited"]["max_s"] for r in mine)
    return f"{said}, longest wait for a connection {duration(waited)}"


def _row(report: Report, row: dict[str, Any]) -> RetryRow:
    absorbed, seen, waited = row["absorbed"], row["seen"], row["waited"]
    failed = seen["failed"] + row["unsent"]
    cost = ""
    if absorbed["operations"]:
        cost = (
            f"{count(absorbed['attempts'])} attempts more, {duration(absorbed['extra_s'])} in all, "
            f"{duration(absorbed['extra_s_max'])} at worst"
        )
    return RetryRow(
        arm=row["arm"],
        stream=naming.stream(report, row),
        over="" if row["fault_id"] is None else naming.faults(report, [row["fault_id"]]),
        operations=count(row["operations"]),
        first_attempt=count(row["first_attempt"]),
        absorbed=count(absorbed["operations"]),
        absorbed_cost=cost,
        absorbed_errors=naming.errors(absorbed["errors"]),
        failed=count(failed),
        unknown=count(seen["unknown"]),
        seen=naming.errors(seen["errors"]),
        amplification=MISSING if row["amplification"] is None else f"{row['amplification']:.2f}",
        waited=_waited(waited),
        bad=bool(failed),
    )


def _waited(waited: dict[str, Any]) -> str:
    if not waited["over"]:
        return f"longest {duration(waited['max_s'])}"
    return (
        f"{count(waited['over'])} waited, {count(waited['longest_part'])} of them for most of their "
        f"time; p99 {duration(waited['p99_s'])}, longest {duration(waited['max_s'])}"
    )


def _told(report: Report) -> dict[str, Any]:
    return report.judgement.told.get("retries") or {}
