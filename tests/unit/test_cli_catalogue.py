"""What `gameday faults` prints for a person: every fault once, what all have in common once."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from chaos.cli import COMMANDS, app, main
from chaos.errors import ExitCode
from chaos.faults import CATALOGUE
from chaos.faults.base import Fault


def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, str, str]:
    monkeypatch.setattr("chaos.cli.terminal._WIDTH_WITHOUT_TERMINAL", 100)
    monkeypatch.setattr("sys.argv", ["gameday", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_every_fault_is_listed_once_and_its_own_parameters_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = told(monkeypatch, capsys, "faults")
    assert code == ExitCode.PASS
    first_words = [line.split()[0] for line in out.splitlines() if line.strip()]
    for kind in CATALOGUE:
        assert first_words.count(kind.model_fields["fault"].default) == 1
    for name in ("settle_s", "effect_timeout_s", "requests_max", "recovery_timeout_s"):
        assert out.count(name) == 1, f"{name} is told once, not with every fault"
    assert "parameters: series" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.model_fields["fault"].default)
def test_one_fault_is_explained(
    kind: type[Fault], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = told(monkeypatch, capsys, "faults", kind.model_fields["fault"].default)
    assert code == ExitCode.PASS
    rows = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert set(kind.model_fields) - {"fault"} <= rows


def test_an_unknown_fault_is_told_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = told(monkeypatch, capsys, "faults", "crash-instanse")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "did you mean 'crash-instance'?" in error


def test_the_help_says_of_every_command_what_its_own_help_says() -> None:
    commands = typer.main.get_group(app).commands
    assert {name: command.help for name, command in commands.items()} == {
        name: does for name, (_, does) in COMMANDS.items()
    }


def test_the_help_lists_every_command_without_importing_one() -> None:
    program = (
        "import sys; from chaos.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "assert not {'chaos.cli.run', 'pydantic', 'numpy', 'boto3'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    listed = done.stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line[:3].strip()] == list(COMMANDS)
