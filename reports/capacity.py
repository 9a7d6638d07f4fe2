"""Serverless v2 capacity: its lanes on the timeline, and what was felt of it as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports import charts, naming
from reports.drawing import Axis, Group, Label, Lane, Layer
from reports.read import Report
from reports.words import MISSING, count, duration, uncertainty


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """How long one instance took to the capacity that it was to have."""

    cause: str
    instance: str
    wanted: str
    before: str
    reached: str
    took: str
    uncertainty: str
    from_: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRow:
    """One stream while the instances that answered it had one capacity."""

    arm: str
    stream: str
    acu: str
    operations: str
    failed: str
    p50: str
    p99: str
    alarm: bool
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRow:
    """The first operations of one stream after a pause."""

    arm: str
    stream: str
    paused: str
    asked: str
    served: str
    waited: str
    failed: str


def told(report: Report) -> Mapping[str, Any] | None:
    """Return `serverless` of verdict.json; None for any other cluster."""
    found: Mapping[str, Any] | None = report.judgement.told.get("serverless")
    return found


def group(report: Report, axis: Axis) -> Group:
    """Return the lanes of the instances' capacities, on one scale; none for any other cluster."""
    series: Mapping[str, Any] = (told(report) or {}).get("series") or {}
    top = max((acu for one in series.values() for _, acu in one["points"]), default=0.0) or 1.0
    lanes = tuple(_lane(report, axis, name, one, top) for name, one in sorted(series.items()))
    note = "ACU by CloudWatch, where its datapoints say so"
    return Group(key="capacity", title="Capacity", note=note, lanes=lanes)


def _lane(report: Report, axis: Axis, name: str, one: Mapping[str, Any], top: float) -> Lane:
    starts = [float(at_s) for at_s, _ in one["points"]]
    values = [float(acu) for _, acu in one["points"]]
    edges = [axis.ms(at_s) for at_s in (*starts, max(float(one["to_s"]), starts[-1]))]
    heights = charts.FLOOR * (1 - np.array(values) / top)
    short = report.short(name)
    return Lane(
        key=f"capacity-{short}",
        kind="latency",
        title=short,
        unit="ACU",
        summary=f"capacity of {short}: {min(values):g} to {max(values):g} ACU",
        layers=(Layer(style="median", d=charts.line(edges, heights)),),
        labels=(Label(y=0, text=f"{top:g}"), Label(y=100, text="0")),
    )


def steps(report: Report) -> tuple[StepRow, ...]:
    """Return how long each instance took to each capacity."""
    return tuple(_step(report, one) for one in (told(report) or {}).get("steps") or ())


def _step(report: Report, one: Mapping[str, Any]) -> StepRow:
    never = one["measured_s"] is None
    took = f"not reached by {report.at(one['told_s'])}" if never else "at once"
    if not never and not one["at_once"]:
        took = f"at most {duration(one['measured_s'])}"
    return StepRow(
        cause=one["cause"],
        instance=report.short(one["instance"]),
        wanted=one["wanted"],
        before=_acu(one["before_acu"]),
        reached=_acu(one["reached_acu"]),
        took=took,
        uncertainty=MISSING if never else uncertainty(one["uncertainty_s"]),
        from_=report.at(one["from_s"]),
        to=report.at(one["to_s"]),
    )


def levels(report: Report) -> tuple[LevelRow, ...]:
    """Return each stream at each capacity, the arms in the experiment's order."""
    rows = sorted(
        (told(report) or {}).get("by_capacity") or (),
        key=lambda row: (*naming.order(report, row), row["acu"] is None, row["acu"] or 0.0),
    )
    return tuple(_levels(report, rows))


def _levels(report: Report, rows: list[Mapping[str, Any]]) -> Iterator[LevelRow]:
    before: tuple[str, str] | None = None
    for row in rows:
        about = (row["arm"], naming.stream(report, row))
        p50, p99 = (row[f"latency_ms_{name}"] for name in ("p50", "p99"))
        yield LevelRow(
            arm=about[0],
            stream=about[1],
            acu="not told" if row["acu"] is None else f"{row['acu']:g}",
            operations=count(row["operations"]),
            failed=count(row["failed"]),
            p50=MISSING if p50 is None else duration(p50 / 1000),
            p99=MISSING if p99 is None else duration(p99 / 1000),
            alarm=row["failed"] > 0,
            first=about != before,
        )
        before = about


def broken(report: Report) -> tuple[str, ...]:
    """Return a sentence for each arm and instance whose connections broke while it scaled."""
    return tuple(
        f"{one['arm']}: {count(one['broken'])} connections to {report.short(one['instance'])} broke, "
        f"from {report.at(one['first_s'])} to {report.at(one['last_s'])}"
        for one in (told(report) or {}).get("disconnects") or ()
        if one["broken"]
    )


def resumes(report: Report) -> tuple[ResumeRow, ...]:
    """Return the first operations of each stream after each pause."""
    return tuple(
        ResumeRow(
            arm=one["arm"],
            stream=naming.stream(report, one),
            paused=", ".join(map(report.short, one["paused"])) or "none, as far as was told",
            asked=report.at(one["asked_s"]),
            served=report.at(one["served_s"]),
            waited=duration(one["waited_s"]) if one["waited_s"] is not None else "never served",
            failed=count(one["failed_before"]),
        )
        for one in (told(report) or {}).get("resumes") or ()
    )


def _acu(value: float | None) -> str:
    return MISSING if value is None else f"{value:g}"
