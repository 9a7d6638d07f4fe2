"""The retry ledger: what users saw, what retries absorbed, and what waiting and retrying cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports import naming
from reports.read import Report
from reports.words import MISSING, count, duration

_ROWS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRow:
    """One stream over the run or over one fault."""

    arm: str
    stream: str
    over: str
    operations: str
    first_attempt: str
    absorbed: str
    failed: str
    unknown: str
    amplification: str
    longest_wait: str
    details: tuple[tuple[str, str], ...]
    """What retries cost, what users saw, how many waited: those that there are to tell."""
    bad: bool


def rows(report: Report, *, over: str) -> tuple[RetryRow, ...]:
    """Return the ledger over the `run`, or over each `fault`: of too many for a page, the worst."""
    told = [row for row in _told(report).get("list") or () if row["over"] == over]
    told = sorted(told, key=_harm, reverse=True)[:_ROWS_MAX]
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


def _harm(row: dict[str, Any]) -> tuple[int, int]:
    seen = row["seen"]
    return seen["failed"] + seen["unknown"] + row["unsent"], row["absorbed"]["operations"]


def _row(report: Report, row: dict[str, Any]) -> RetryRow:
    seen = row["seen"]
    failed = seen["failed"] + row["unsent"]
    details = (
        ("retries", _absorbed(row["absorbed"])),
        ("users saw", naming.errors(seen["errors"])),
        ("never sent", count(row["unsent"]) if row["unsent"] else ""),
        ("waiting", _waited(row["waited"])),
    )
    return RetryRow(
        arm=row["arm"],
        stream=naming.stream(report, row),
        over="" if row["fault_id"] is None else naming.faults(report, [row["fault_id"]]),
        operations=count(row["operations"]),
        first_attempt=count(row["first_attempt"]),
        absorbed=count(row["absorbed"]["operations"]),
        failed=count(failed),
        unknown=count(seen["unknown"]),
        amplification=MISSING if row["amplification"] is None else f"{row['amplification']:.2f}",
        longest_wait=duration(row["waited"]["max_s"]),
        details=tuple((what, told) for what, told in details if told),
        bad=bool(failed),
    )


def _absorbed(absorbed: dict[str, Any]) -> str:
    if not absorbed["operations"]:
        return ""
    more = absorbed["attempts"]
    return (
        f"{count(more)} more attempt{'s' if more > 1 else ''}, {duration(absorbed['extra_s'])} in all "
        f"and {duration(absorbed['extra_s_max'])} at worst, after {naming.errors(absorbed['errors'])}"
    )


def _waited(waited: dict[str, Any]) -> str:
    if not waited["over"]:
        return ""
    return (
        f"{count(waited['over'])} waited for a connection, {count(waited['longest_part'])} of them "
        f"for most of their time; p99 {duration(waited['p99_s'])}, in all {duration(waited['sum_s'])}"
    )


def _told(report: Report) -> dict[str, Any]:
    return report.judgement.told.get("retries") or {}
