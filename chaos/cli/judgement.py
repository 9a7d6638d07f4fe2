"""From a run's recorded data to its verdict, report and the lines in the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaos.checks.judge import judge
from chaos.cli.terminal import Terminal
from chaos.definition.experiment import Experiment
from chaos.errors import DefinitionError, ExitCode, HostError
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
        HostError: one of its files cannot be read or written.
    """
    with _reached(folder, "judged"):
        history = load_history(folder)
        experiment = Experiment.model_validate(history.experiment)
    judgement = judge(history, experiment.objectives)
    run_folder.write(folder / "verdict.json", json.dumps(judgement.as_json(), indent=1))
    return judgement.verdict


def render(folder: Path) -> Path:
    """Write `report.html` and `junit.xml`; return the report.

    Raises:
        DefinitionError: the folder is damaged.
        HostError: one of its files cannot be read or written.
    """
    with _reached(folder, "reported"):
        junit.render(folder)
        return html.render(folder)


def show(folder: Path, terminal: Terminal, *, as_json: bool) -> None:
    """Print a run's verdict and findings.

    Raises:
        DefinitionError: the folder is damaged; in JSON, the run was never judged.
        HostError: one of its files cannot be read.
    """
    if as_json:
        terminal.object(verdict_of(folder))
        return
    with _reached(folder, "shown"):
        summary = text.summary(folder)
    terminal.output.print(summary)


def verdict_of(folder: Path) -> dict[str, Any]:
    """Read `verdict.json`.

    Raises:
        DefinitionError: the run was never judged, or the file is damaged.
        HostError: it cannot be read.
    """
    path = folder / "verdict.json"
    if not path.is_file():
        raise DefinitionError(f"{folder.name} has no verdict; `gameday judge {folder}` makes one")
    with _reached(folder, "shown"):
        try:
            verdict: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            _exit_code(verdict)
        except (ValueError, KeyError, TypeError) as error:
            what = f"{type(error).__name__}: {error}"
            raise ValueError(f"{path}: {what}; `gameday judge` writes it again") from error
    return verdict


def exit_code(folder: Path) -> ExitCode:
    """Return the exit status that a judged run deserves."""
    return _exit_code(verdict_of(folder))


def _exit_code(verdict: dict[str, Any]) -> ExitCode:
    return _EXIT_OF_STATUS.get(verdict["status"]) or _EXIT[verdict["verdict"]]


@contextmanager
def _reached(folder: Path, done: str) -> Iterator[None]:
    """Tell in our words of what a run's folder, or this machine, lacks.

    Raises:
        DefinitionError: a file is damaged or missing.
        HostError: one cannot be read or written.
    """
    try:
        yield
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise DefinitionError(f"{folder} cannot be {done}, it is damaged: {error}") from error
    except OSError as error:
        raise HostError(
            f"{folder} cannot be {done}: {error}; look for free space and permissions, then "
            f"`gameday report {folder}`"
        ) from error
