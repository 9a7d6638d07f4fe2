"""What each arm costs and saves against the first one, measure by measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports.read import Report
from reports.words import MISSING, count, duration, share

_NAMES = {
    "interruption": "Longest interruption",
    "not_served": "Operations not served in time",
    "failed": "Operations failed or never sent",
    "unknown": "Operations of unknown outcome",
    "lost": "Acknowledged writes lost",
    "duplicated": "Writes applied twice",
    "latency_p50": "Latency before the fault, median",
    "latency_p99": "Latency before the fault, p99",
    "retries": "Attempts beyond the first",
    "connections_opened": "Connections opened",
    "pinned": "Connections pinned to a demoted writer, for",
    "pinned_share_max": "Share of connections pinned at most",
}
_OPEN_ENDED = frozenset({"interruption", "pinned"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one arm has of one measure."""

    value: str
    interval: str
    against: str
    """`better`, `worse`, `no difference shown` or `not known`; empty for the first arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRow:
    """One measure and what every arm has of it."""

    name: str
    about: str
    cells: tuple[Cell, ...]


def arms(report: Report) -> tuple[str, ...]:
    """Return the arms in the order of the cells; the others are held against the first."""
    measures = _told(report).get("measures") or ()
    return tuple(cell["arm"] for cell in measures[0]["arms"]) if measures else ()


def rows(report: Report) -> tuple[DifferenceRow, ...]:
    """Return one row for each measure."""
    return tuple(
        DifferenceRow(
            name=_NAMES.get(row["measure"], row["measure"].replace("_", " ")),
            about=f"{row['operation']} {report.short(row['endpoint'])}".strip(),
            cells=tuple(
                _cell(row["unit"], cell, open_ended=row["measure"] in _OPEN_ENDED)
                for cell in row["arms"]
            ),
        )
        for row in _told(report).get("measures") or ()
    )


def injections(report: Report) -> int:
    """Return after how many faults the arms were compared."""
    return int(_told(report).get("injections") or 0)


def lines(report: Report) -> tuple[str, ...]:
    """Return a line for each arm but the first: in what it was better, and in what worse."""
    told = []
    for place, arm in enumerate(arms(report)[1:], 1):
        said = []
        for word in ("better", "worse"):
            found = [
                f"{row.name[0].lower()}{row.name[1:]}{f' ({row.about})' if row.about else ''}"
                for row in rows(report)
                if row.cells[place].against == word
            ]
            if found:
                said.append(f"{word} in {'; '.join(found)}")
        told.append(f"{arm} against {arms(report)[0]}: {'. '.join(said) or 'no difference shown'}")
    return tuple(told)


def _cell(unit: str, cell: dict[str, Any], *, open_ended: bool) -> Cell:
    """Return a cell; `open_ended`: a value without an upper bound is what had passed so far."""
    value, low, high = cell["value"], cell["low"], cell["high"]
    if value is None:
        return Cell(value=MISSING, interval="", against=cell["against_baseline"] or "")
    told = _quantity(value, unit)
    if high is None and open_ended:
        told = f"≥ {told}"
    if cell["of"] is not None:
        told = f"{told} of {count(cell['of'])}"
    interval = "" if low == high else f"{_quantity(low, unit)} to {_quantity(high, unit)}"
    return Cell(value=told, interval=interval, against=cell["against_baseline"] or "")


def _quantity(value: float | None, unit: str) -> str:
    if value is None:
        return "no end"
    if unit == "s":
        return duration(value)
    if unit == "ratio":
        return share(value)
    return count(value) if float(value).is_integer() else f"{value:.1f}"


def _told(report: Report) -> dict[str, Any]:
    return report.judgement.told.get("arms") or {}
