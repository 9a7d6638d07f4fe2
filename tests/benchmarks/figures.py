"""What every benchmark prints and writes: a table, its goals, and the same as JSON.

    figures = Figures("throughput", options)
    figures.row("bare psycopg", per_s=11621.0, cpu_us=97.1)
    figures.goal("of the bare loop", 0.91, at_least=0.85)
    return figures.told()

A goal that is missed makes the exit status 1. In short mode figures show that a benchmark works, and
no goal decides: runs of seconds on a busy machine prove nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("aurora-gameday", "gevent", "locust", "numpy", "psycopg", "sqlalchemy")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a command line with the options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--short", action="store_true", help="a trial of less than two minutes")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    return made


@dataclass
class Figures:
    """The figures of one benchmark as they come."""

    name: str
    options: argparse.Namespace
    rows: list[dict[str, Any]] = field(default_factory=list)
    goals: list[dict[str, Any]] = field(default_factory=list)
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    def row(self, what: str, **values: Any) -> None:
        """Add one line of the table."""
        self.rows.append({"": what, **values})

    def goal(
        self,
        what: str,
        measured: float,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Hold a figure to a bound."""
        met = (at_least is None or measured >= at_least) and (
            at_most is None or measured <= at_most
        )
        bound = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
        self.goals.append({"goal": what, "measured": measured, "bound": bound, "met": met})

    def told(self) -> int:
        """Print everything, write it where that was asked for, and return the exit status."""
        print("\n".join(_table(self.rows)))
        for goal in self.goals:
            told = "met" if goal["met"] else "MISSED"
            print(f"goal: {goal['goal']} {goal['bound']}: {goal['measured']:.4g} - {told}")
        if self.options.json:
            self.options.json.write_text(json.dumps(self.as_json(), indent=1), encoding="utf-8")
        missed = [goal for goal in self.goals if not goal["met"]]
        return 1 if missed and not self.options.short else 0

    def as_json(self) -> dict[str, Any]:
        """Return the figures with what they were measured on."""
        return {
            "benchmark": self.name,
            "short": self.options.short,
            "options": {k: str(v) for k, v in vars(self.options).items()},
            "rows": self.rows,
            "goals": self.goals,
            "machine": {
                "processors": os.cpu_count(),
                "kernel": platform.release(),
                "python": platform.python_version(),
                "load_before": self.load_before,
                "load_after": os.getloadavg()[0],
                "versions": {package: metadata.version(package) for package in _PACKAGES},
            },
        }


def spread(values: Sequence[float]) -> str:
    """Return median, least and greatest of some rounds, as a table shows them."""
    middle, least, most = statistics.median(values), min(values), max(values)
    if middle >= 1000:
        return f"{middle:,.0f} [{least:,.0f} .. {most:,.0f}]"
    return f"{middle:.3g} [{least:.3g} .. {most:.3g}]"


def say(line: str) -> None:
    """Tell how far it is, apart from the results."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_shown(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
