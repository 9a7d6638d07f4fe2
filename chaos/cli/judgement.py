"""From a run's recorded data to its verdict, report and the lines in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaos.checks.judge import judge
from chaos.cli.terminal import Terminal
from chaos.definition.experiment import Experiment
from chaos.errors import DefinitionError, ExitCode
from chaos.model.history import load_history
from chaos.model.verdict import Verdict
from chaos.run import folder as run_folder
from reports import html, junit, text

_EXIT = {
    "pass": ExitCode.PASS,
    "unknown": ExitCode.INCONCLUSIVE,
    "fail": ExitCode.FAIL,
}
_EXIT_OF_STATUS = {
    "aborted": ExitCode.ABORTED,
    "refused": ExitCode.REFUSED,
    "interrupted": ExitCode.INTERRUPTED,
    "failed": ExitCode.INTERNAL,
}


def judge_folder(folder: Path) -> Verdict:
    """Judge a run folder again from its data and write `verdict.json`.

    Raises:
        DefinitionError: the folder is no run's, or is damaged.
    """
    try:
        history = load_history(folder)
        experiment = Experiment.model_validate(history.experiment)
    except (OSError, ValueError, KeyError, ValidationError) as error:
        raise DefinitionError(f"{folder} cannot be judged, it is damaged: {error}") from error
    judgement = judge(history, experiment.objectives)
    run_folder.write(folder / "verdict.json", json.dumps(judgement.as_json(), indent=1))
    return judgement.verdict


def render(folder: Path) -> Path:
    """Write `report.html` and `junit.xml`; return the report."""
    junit.render(folder)
    return html.render(folder)


def show(folder: Path, terminal: Terminal, *, as_json: bool) -> None:
    """Print a run's verdict and findings."""
    if as_json:
        terminal.object(verdict_of(folder))
    else:
        terminal.output.print(text.summary(folder))


def verdict_of(folder: Path) -> dict[str, Any]:
    """Read `verdict.json`.

    Raises:
        DefinitionError: the run was never judged.
    """
    path = folder / "verdict.json"
    if not path.is_file():
        raise DefinitionError(f"{folder.name} has no verdict; `gameday judge {folder}` makes one")
    verdict: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return verdict


def exit_code(folder: Path) -> ExitCode:
    """Return the exit status that a judged run deserves."""
    verdict = verdict_of(folder)
    return _EXIT_OF_STATUS.get(verdict["status"]) or _EXIT[verdict["verdict"]]
