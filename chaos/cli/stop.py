"""`gameday stop`: ends the method of a run that goes on, in order."""

from __future__ import annotations

from typing import Annotated

import typer

from chaos.cli.options import DEFAULT_RUNS, AsJson, Quiet, RunsRoot
from chaos.cli.terminal import Terminal
from chaos.errors import DefinitionError
from chaos.run import folder as run_folder
from chaos.run.journal import in_use
from chaos.run.stopping import STOP_FILE


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="stop")(stop)


def stop(
    run: Annotated[
        str | None, typer.Argument(help="Folder or id of a run; absent: the latest.")
    ] = None,
    *,
    reason: Annotated[str, typer.Option(help="Told in the journal and the report.")] = "a person",
    out: RunsRoot = DEFAULT_RUNS,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """End a run's method now: it recovers what it disturbed, and says why it ended."""
    terminal = Terminal(quiet=quiet)
    folder = run_folder.find(out, run)
    if not in_use(folder / "journal.jsonl"):
        raise DefinitionError(
            f"{folder.name} is not being carried out; `gameday recover {folder}` restores what a "
            "run that died has left"
        )
    run_folder.write(folder / STOP_FILE, reason.strip() + "\n")
    terminal.tell(
        f"{folder.name}: asked to stop; its method ends within a second, then it recovers"
    )
    if as_json:
        terminal.object({"run": folder.name, "asked_to_stop": True, "reason": reason})
