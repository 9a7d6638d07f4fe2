"""Naming defects on the command line: what is refused before anything starts, and what is listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos.cli import main
from chaos.cli.defect import parsed
from chaos.errors import DefinitionError, ExitCode
from chaos.testcluster.disturbances.defects import DEFECTS


def ended(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr("sys.argv", ["gameday", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GAMEDAY_OUT", str(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cluster", "defect", "two-writer"], "did you mean two-writers?"),
        (["cluster", "defect", "slow-recovery:extra=1"], "extra: Extra inputs are not permitted"),
        (["cluster", "defect", "slow-recovery:extra_s=soon"], "extra_s: Input should be a valid"),
        (["cluster", "defect", "slow-recovery:extra_s"], "write NAME:KEY=VALUE"),
        (["cluster", "defect", "crash"], "no disturbance 'crash'"),
        (["cluster", "defect", "two-writers"], "no test cluster is running"),
        (["cluster", "defect", "--identifier", "shop"], "no test cluster shop is running"),
        (["cluster", "up", "--defect", "nonsense"], "no disturbance 'nonsense'"),
        (["run", "control", "--defect", "nonsense"], "no disturbance 'nonsense'"),
        (
            ["run", "control", "--defect", "two-writers", "--cluster", "shop"],
            "gameday cluster defect two-writers --identifier shop",
        ),
    ],
)
def test_a_wrong_defect_is_refused_before_anything_starts(
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert ended(arguments, monkeypatch) == ExitCode.USAGE
    assert told in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "runs").exists()


def test_all_defects_are_listed_also_without_a_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(["cluster", "defect", "--json"], monkeypatch) == ExitCode.PASS
    listed = json.loads(capsys.readouterr().out)
    assert listed["cluster"] is None
    assert [d["name"] for d in listed["defects"]] == [
        d.model_fields["kind"].default for d in DEFECTS
    ]
    assert not any(d["planted"] for d in listed["defects"])
    assert all(d["about"] for d in listed["defects"])
    assert ended(["cluster", "defect"], monkeypatch) == ExitCode.PASS
    assert "loses-acknowledged-writes" in capsys.readouterr().out


def test_parameters_are_read_as_what_they_are() -> None:
    assert parsed("slow-recovery:extra_s=2.5,for_s=30") == {
        "kind": "slow-recovery",
        "extra_s": 2.5,
        "for_s": 30.0,
    }
    with pytest.raises(DefinitionError, match="greater than 0"):
        parsed("slow-recovery:extra_s=0")
