"""Every stretch without service or with slow service, one by one, and what repeats say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports import naming
from reports.read import Report
from reports.words import MISSING, count, duration, uncertainty

_NEVER = "not seen"
# A page of more is no longer read; verdict.json has them all.
_ROWS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """One interruption window, or one brown-out, which has no errors."""

    arm: str
    stream: str
    fault: str
    from_: str
    to: str
    measured: str
    uncertainty: str
    first_success: str
    stable_success: str
    operations: str
    errors: str
    open_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatsRow:
    """What the repeats of one step say of one stream."""

    step: str
    arm: str
    stream: str
    n: int
    left_out: str
    """Repeats that are not among these n, and why."""
    median: str
    interval: str
    confidence: str
    worst: str
    open: str


def windows(report: Report) -> tuple[WindowRow, ...]:
    """Return every window, by stream and then in time; of too many for a page, the longest."""
    kept = sorted(_told(report), key=lambda r: (r["to"] is not None, -r["measured"]))[:_ROWS_MAX]
    return tuple(
        _window(report, row)
        for row in sorted(kept, key=lambda r: (naming.order(report, r), r["from"]))
    )


def left_out(report: Report) -> int:
    """Return how many shorter windows `verdict.json` or the page leaves out."""
    elsewhere = int((report.judgement.told.get("windows") or {}).get("left_out") or 0)
    return elsewhere + max(0, len(_told(report)) - _ROWS_MAX)


def _told(report: Report) -> Sequence[dict[str, Any]]:
    return (report.judgement.told.get("windows") or {}).get("list") or ()


def _window(report: Report, row: dict[str, Any]) -> WindowRow:
    open_ended = row["to"] is None
    return WindowRow(
        arm=naming.arm(row["arm"]),
        stream=naming.stream(report, row),
        fault=naming.faults(report, row["faults"]),
        from_=report.at(row["from"]),
        to=_NEVER if open_ended else report.at(row["to"]),
        measured=f"{'≥' if open_ended else 'at most'} {duration(row['measured'])}",
        uncertainty=MISSING if open_ended else uncertainty(row["uncertainty_s"]),
        first_success=_bounded(report, row["first_success"]),
        stable_success=_bounded(report, row["stable_success"]),
        operations=count(row["operations"]),
        errors=_with_generator(naming.errors(row["errors"]), row),
        open_ended=open_ended,
    )


def _with_generator(told: str, row: dict[str, Any]) -> str:
    """Return it with why the traffic generator itself may have been the cause."""
    return f"{told}; {row['generator']}" if row.get("generator") else told


def brownouts(report: Report) -> tuple[WindowRow, ...]:
    """Return every brown-out, by stream and then in time."""
    told = (report.judgement.told.get("brownouts") or {}).get("list") or ()
    return tuple(
        WindowRow(
            arm=naming.arm(row["arm"]),
            stream=naming.stream(report, row),
            fault=naming.faults(report, row["faults"]),
            from_=report.at(row["from"]),
            to=report.at(row["to"]),
            measured=f"at most {duration(row['measured'])}",
            uncertainty=uncertainty(row["uncertainty_s"]),
            first_success="",
            stable_success="",
            operations=f"{count(row['slow'])} of {count(row['operations'])}",
            errors=_with_generator(f"slowest {duration(row['latency_s_max'])}", row),
            open_ended=False,
        )
        for row in sorted(told, key=lambda r: (naming.order(report, r), r["from"]))
    )


def brown(report: Report) -> tuple[str, int]:
    """Return from which latency on an operation was slow, and how many were in no brown-out."""
    told = report.judgement.told.get("brownouts") or {}
    scattered = sum(row["operations"] for row in told.get("scattered") or ())
    return duration(told.get("latency_s_above")), scattered


def over_repeats(report: Report) -> tuple[RepeatsRow, ...]:
    """Return median, interval and worst of each stream over the repeats of each step."""
    told = (report.judgement.told.get("statistics") or {}).get("interruption") or ()
    return tuple(
        RepeatsRow(
            step=f"{row['step']}: {row['fault']}",
            arm=naming.arm(row["arm"]),
            stream=naming.stream(report, row),
            n=row["n"],
            left_out=_left_out(row),
            median=_at_most(row["median"]),
            interval=f"{duration(interval['low'])} to {_end(interval['high'])}",
            confidence=f"{interval['confidence']:.4g}".rstrip("0").rstrip("."),
            worst=f"{'≥ ' if row['open'] else ''}{duration(row['worst'])}",
            open=count(row["open"]) if row["open"] else MISSING,
        )
        for row in sorted(told, key=lambda r: (r["step"], naming.order(report, r)))
        if (interval := row.get("interval"))
    )


def _left_out(row: dict[str, Any]) -> str:
    """Return how many repeats do not count, by reason; those of before this was told are not known."""
    reasons = (("without_effect", "without effect"), ("shared", "within one before"))
    told = [f"{count(row[key])} {why}" for key, why in reasons if row.get(key)]
    return ", ".join(told) or MISSING


def _at_most(value: float | None) -> str:
    return "not recovered" if value is None else duration(value)


def _end(value: float | None) -> str:
    return "no end" if value is None else duration(value)


def _bounded(report: Report, told: dict[str, float] | None) -> str:
    """Return an instant with by how much earlier it may have been."""
    if told is None:
        return _NEVER
    at, off = report.at(told["at_s"]), told["uncertainty_s"]
    return f"{at} {uncertainty(off)}" if off else at
