"""Runs of the past: `runs`, `show`, `judge`, `report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from chaos.cli import judgement
from chaos.cli.options import DEFAULT_RUNS, AsJson, RunsRoot
from chaos.cli.terminal import Terminal
from chaos.errors import GamedayError
from chaos.run import folder as run_folder

OneRun = Annotated[str | None, typer.Argument(help="Folder or id of a run; absent: the latest.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(runs)
    app.command(name="show")(show)
    app.command(name="judge")(judge)
    app.command(name="report")(report)


def runs(out: RunsRoot = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """List the runs, oldest first."""
    rows = [_row(folder) for folder in run_folder.listing(out)]
    terminal = Terminal()
    if as_json:
        terminal.object({"runs": rows})
        return
    table = Table("run", "cluster", "status", "verdict", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["run"], row["cluster"], row["status"], row["verdict"])
    terminal.output.print(table if rows else f"no runs in {out}")


def show(run: OneRun = None, out: RunsRoot = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """Show one run's verdict and findings."""
    judgement.show(run_folder.find(out, run), Terminal(), as_json=as_json)


def judge(run: OneRun = None, out: RunsRoot = DEFAULT_RUNS, as_json: AsJson = False) -> int:
    """Judge a run again, from its recorded data alone; exits as the run did."""
    folder = run_folder.find(out, run)
    judgement.judge_folder(folder)
    judgement.show(folder, Terminal(), as_json=as_json)
    return int(judgement.exit_code(folder))


def report(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Absent: the latest run.")
    ] = None,
    out: RunsRoot = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Render the report of one or more runs again."""
    terminal = Terminal()
    rendered = []
    for name in names or [None]:  # type: ignore[list-item]
        folder = run_folder.find(out, name)
        judgement.verdict_of(folder)
        rendered.append(str(judgement.render(folder)))
    if as_json:
        terminal.object({"reports": rendered})
    else:
        terminal.output.print("\n".join(rendered), markup=False)


def _row(folder: Path) -> dict[str, Any]:
    try:
        return _told(folder)
    except (GamedayError, ValueError, KeyError, OSError) as error:
        return {"run": folder.name, "cluster": "", "status": f"damaged: {error}", "verdict": ""}


def _told(folder: Path) -> dict[str, Any]:
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    row = {"run": folder.name, "cluster": environment["cluster"], "status": "not judged"}
    row |= {"verdict": "", "started_at": environment["started_at"]}
    if (folder / "verdict.json").is_file():
        verdict = judgement.verdict_of(folder)
        row |= {"status": verdict["status"], "verdict": verdict["verdict"]}
    return row
