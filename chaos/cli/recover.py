"""`gameday recover`: puts back what runs that died have left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from chaos.cli import target as targets
from chaos.cli.options import DEFAULT_RUNS, AsJson, Quiet, RunsRoot
from chaos.cli.terminal import Terminal
from chaos.clock import Anchor
from chaos.db.sessions import Sessions
from chaos.errors import DefinitionError, GamedayError, RecoveryFailed, RunInterrupted
from chaos.run import folder as run_folder
from chaos.run.interrupt import InterruptibleClock, signals_to
from chaos.run.journal import Journal
from chaos.run.recovery import Left, calm, described, left_by
from chaos.run.recovery import recover as recover_run
from chaos.run.rig import Restoring
from chaos.run.tenancy import require_free
from loadgen.workload import LocustWorkload


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="recover")(recover)


def recover(
    run: Annotated[
        str | None, typer.Argument(help="Folder or id of a run; absent: every run that needs it.")
    ] = None,
    *,
    out: RunsRoot = DEFAULT_RUNS,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Replay the undo records of runs that died before they could restore the cluster."""
    terminal = Terminal(quiet=quiet)
    folders = [run_folder.find(out, run)] if run else run_folder.listing(out)
    needing = [folder for folder in folders if left_by(folder / "journal.jsonl")]
    if not needing:
        terminal.tell("nothing to recover")
    clock = InterruptibleClock()
    results: list[dict[str, Any]] = []
    with signals_to(clock, terminal.tell):
        for folder in needing:
            try:
                told = _recover_one(folder, clock, terminal)
            except RunInterrupted as interrupted:
                raise RunInterrupted(f"{interrupted}; `gameday recover` goes on") from interrupted
            except GamedayError as error:
                told = [str(error)]
            for one in told:
                terminal.complain(f"{folder.name}: {one}")
            results.append({"run": folder.name, "recovered": not told, "left": told})
    if as_json:
        terminal.object({"runs": results})
    failed = [result for result in results if not result["recovered"]]
    if failed:
        raise RecoveryFailed(
            f"{len(failed)} of {len(needing)} runs could not be recovered; what is left is told "
            "above, and `gameday recover` tries it again"
        )


def _recover_one(folder: Path, clock: InterruptibleClock, terminal: Terminal) -> list[str]:
    """Recover one run and return what is left."""
    environment = _environment(folder)
    journal = Journal(folder / "journal.jsonl", clock, terminal.tell)  # Or the run goes on.
    try:
        left = left_by(folder / "journal.jsonl")
        if environment["cluster_access"] == "embedded":
            journal.resume(left.records)
            for number in journal.open_undo:
                journal.undone(number, "the embedded cluster is gone")
            terminal.tell(
                f"{folder.name}: its embedded test cluster ended with it; nothing is left"
            )
            return []
        with targets.reopened(environment, folder / "recover.log", terminal.tell) as target:
            told = _replayed(left, target, environment, journal, clock)
    finally:
        journal.close()
    if not told:
        terminal.tell(f"{folder.name}: {environment['cluster']} is as it was before the run")
    return told


def _replayed(
    left: Left,
    target: targets.Target,
    environment: dict[str, Any],
    journal: Journal,
    clock: InterruptibleClock,
) -> list[str]:
    target.rds.on_change(lambda call: journal.event("call", **call))
    cluster = target.rds.cluster
    calm(left, journal, target.control)
    topology = described(target.topology, clock)
    targets.same(environment, topology)
    anchor = Anchor.take()
    require_free(topology, left.records.values(), anchor.wall(anchor.monotonic_ns))
    access, workload = target.connect(topology), LocustWorkload((), 0)
    restoring = Restoring(
        target.rds, Sessions(access), target.control, lambda run: workload.drop(access, run)
    )
    return recover_run(left, journal, restoring, clock, cluster)


def _environment(folder: Path) -> dict[str, Any]:
    path = folder / "environment.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DefinitionError(
            f"{path} cannot be read ({error}), so it is not known which cluster the run was on; its "
            "journal.jsonl has a command for each change, in its undo lines"
        ) from error
    return found
