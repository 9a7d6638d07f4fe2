"""A run's folder that is damaged, or cannot be written, is told as such and never as our own error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fix_history import outage_run

from chaos.checks.judge import judge
from chaos.cli import main
from chaos.cli.run import _tell_end
from chaos.cli.terminal import Terminal
from chaos.errors import ExitCode, HostError, RecoveryFailed, RunAborted
from chaos.run.runner import Ended, Status

OBJECTIVE = {"check": "acknowledged-writes", "arm": "resilient", "lost_writes_max": 0}
EXPERIMENT = {
    "version": 1,
    "name": "drill",
    "claim": "It is told.",
    "workload": {"arms": [{"arm": "resilient"}]},
    "method": [{"fault": "failover-cluster"}],
    "objectives": [OBJECTIVE],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A judged run, the only one in the folder above it."""
    run = outage_run(tmp_path)
    run.experiment = EXPERIMENT
    history = run.write()
    told = json.dumps(judge(history, ()).as_json())
    (history.folder / "verdict.json").write_text(told, encoding="utf-8")
    return history.folder


def gameday(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, str, str]:
    monkeypatch.setattr("sys.argv", ["gameday", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@pytest.mark.parametrize("command", [("show",), ("show", "--json"), ("report",)])
@pytest.mark.parametrize("text", ['{"status": "comp', "[]", '{"verdict": 1, "status": "x"}'])
def test_a_damaged_verdict_is_named_with_its_remedy(
    folder: Path,
    command: tuple[str, ...],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "verdict.json").write_text(text, encoding="utf-8")
    code, _, said = gameday(monkeypatch, capsys, command[0], str(folder), *command[1:])
    assert code == ExitCode.USAGE
    assert str(folder / "verdict.json") in said
    assert "`gameday judge` writes it again" in said


def test_a_damaged_verdict_leaves_the_other_runs_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "verdict.json").write_text("{", encoding="utf-8")
    code, out, _ = gameday(monkeypatch, capsys, "runs", "--out", str(folder.parent))
    assert code == ExitCode.PASS
    assert "damaged" in out


def test_a_report_that_cannot_be_written_is_this_machine_s_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "report.html").mkdir()
    code, _, said = gameday(monkeypatch, capsys, "report", str(folder))
    assert code == ExitCode.INTERNAL
    assert "our own error" not in said
    assert "report.html" in said


def test_a_run_that_was_aborted_says_so_though_its_report_cannot_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "report.html").mkdir()
    left = (RunAborted("too much was lost"), RecoveryFailed("a reader is still gone"))
    ended = Ended(status=Status.ABORTED, errors=left)
    with pytest.raises(RunAborted, match="too much was lost"):
        _tell_end(folder, ended, Terminal(), as_json=False)
    said = capsys.readouterr().err
    assert "report.html" in said
    assert "a reader is still gone" in said
    with pytest.raises(HostError, match=r"report\.html"):
        _tell_end(folder, Ended(status=Status.COMPLETED, errors=()), Terminal(), as_json=False)
