"""Definitions are strict: every mistake is told with file, line, column and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.cli.loading import loaded_from
from chaos.definition.load import find, load, shipped
from chaos.errors import DefinitionError

ARMS = ("default-pool", "resilient")
GOOD = """\
version: 1
name: drill
claim: Nothing happens.
workload:
  arms:
    - arm: resilient
  writes_per_s: 10
steady_state:
  - {arm: resilient, operation: write, over_s: 2}
method:
  - fault: noop
    hold_s: 3
objectives:
  - check: interruption
    arm: resilient
    endpoint: cluster
    operation: write
    interruption_s_max: 1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "drill.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str, **variables: str) -> str:
    with pytest.raises(DefinitionError) as raised:
        load(written(folder, text), variables, arms=ARMS)
    return str(raised.value).replace(f"{folder}/", "")


def test_a_good_file_is_an_experiment_and_survives_the_round_trip(tmp_path: Path) -> None:
    experiment = load(written(tmp_path, GOOD), arms=ARMS)
    assert experiment.faults[0].hold_s == 3
    assert type(experiment).model_validate(experiment.resolved()) == experiment


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: drill", "nmae: drill", "drill.yaml:2:1: nmae: unknown key; allowed are version, name"),
        ("name: drill", "name: Drill", "drill.yaml:2:7: name: "),
        ("claim: Nothing happens.\n", "", "drill.yaml:1:1: missing key 'claim'"),
        ("version: 1", "version: 2", "drill.yaml:1:10: version: "),
        ("hold_s: 3", "hold: 3", "drill.yaml:12:5: method[0].hold: unknown key"),
        ("hold_s: 3", "hold: 3", "did you mean 'hold_s'?"),
        ("hold_s: 3", "hold_s: soon", "drill.yaml:12:13: method[0].hold_s: "),
        ("hold_s: 3", "hold_s: -1", "drill.yaml:12:13: method[0].hold_s: "),
        ("hold_s: 3", "hold_s: true", "drill.yaml:12:13: method[0].hold_s: "),
        ("fault: noop", "fault: nop", "drill.yaml:11:12: method[0].fault: unknown fault 'nop'"),
        ("fault: noop", "fault: nop", "did you mean 'noop'?"),
        ("  - fault: noop\n    hold_s: 3", "  - {hold_s: 3}", "method[0]: missing key 'fault'"),
        ("check: interruption", "check: interuption", "did you mean 'interruption'?"),
        ("- arm: resilient\n", "- arm: resiliant\n", "drill.yaml:6:12: workload.arms[0].arm: unknown"),
        ("    - arm: resilient\n", "    - arm: default-pool\n", "names arm 'resilient'"),
        ("writes_per_s: 10", "writes_per_s: 0", "drill.yaml:7:17: workload.writes_per_s: "),
        ("over_s: 2}", "over_s: 2", "drill.yaml:10:"),
        ("version: 1", "version: 1\nversion: 1", "drill.yaml:2:1: found duplicate key"),
        ("method:\n  - fault: noop\n    hold_s: 3\n", "method: []\n", "method: "),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    assert told in refusal(tmp_path, GOOD.replace(old, new, 1))


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("name: drill", "name: Drill").replace("hold_s: 3", "hold: 3")
    assert len(refusal(tmp_path, text).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "[]", "42", "a: b: c", "\x00", "- x"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "drill.yaml:1:" in refusal(tmp_path, text)


def test_variables_come_from_set_then_environment_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, GOOD.replace("hold_s: 3", "hold_s: ${HOLD:-7}"))
    assert load(path).faults[0].hold_s == 7
    monkeypatch.setenv("HOLD", "8")
    assert load(path).faults[0].hold_s == 8
    assert load(path, {"HOLD": "9.5"}).faults[0].hold_s == 9.5


def test_a_variable_that_is_not_set_is_told_where_it_stands(tmp_path: Path) -> None:
    text = GOOD.replace("hold_s: 3", "hold_s: ${GAMEDAY_TEST_UNSET}")
    assert "drill.yaml:12:13: ${GAMEDAY_TEST_UNSET} is not set" in refusal(tmp_path, text)


def test_setting_what_the_file_does_not_use_is_a_mistake(tmp_path: Path) -> None:
    assert "--set HOLDD" in refusal(tmp_path, GOOD, HOLDD="1")


def test_an_unknown_experiment_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="did you mean 'writer-failover'"):
        find("writer-failver")


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_experiment_is_valid_and_bears_its_file_s_name(name: str) -> None:
    assert loaded_from(name)[0].name == name
