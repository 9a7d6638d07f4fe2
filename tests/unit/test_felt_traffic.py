"""What looks at traffic that no arm sends is refused where the file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.cli.loading import loaded_from, selected
from chaos.errors import DefinitionError
from loadgen.configured import ArmRules

FORM = """\
version: 1
name: drill
claim: Nothing happens.
workload:
  arms:
    - {{arm: resilient}}
    - {{arm: pre-ping, profile: transactions}}
    - {{arm: default-pool, profile: {third}}}
{more}
method: [{{fault: noop}}]
objectives:
  - {{check: acknowledged-writes}}
{objective}
"""


def written(folder: Path, *, objective: str = "", third: str = "oltp-small", more: str = "") -> str:
    path = folder / "drill.yaml"
    entry = f"  - {{{objective}}}" if objective else ""
    path.write_text(FORM.format(objective=entry, third=third, more=more), encoding="utf-8")
    return str(path)


WITHOUT_SUCCESS = "{stop: interruption, arm: resilient, endpoint: reader, longer_than_s: 9}"
INTERRUPTION = "check: interruption, interruption_s_max: 1, arm: "


@pytest.mark.parametrize(
    "objective",
    [
        f"{INTERRUPTION}resilient, endpoint: cluster, operation: write",
        f"{INTERRUPTION}resilient, endpoint: reader, operation: read",
        f"{INTERRUPTION}pre-ping, endpoint: cluster, operation: transaction",
        f"{INTERRUPTION}pre-ping, endpoint: reader, operation: connect",
        f"{INTERRUPTION}probe, endpoint: some-instance, operation: read",
        "check: staleness, staleness_s_max: 5, arm: resilient",
    ],
)
def test_an_objective_on_traffic_that_there_is_is_taken(tmp_path: Path, objective: str) -> None:
    experiment, _ = loaded_from(written(tmp_path, objective=objective))
    assert len(experiment.objectives) == 2


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        (
            f"{INTERRUPTION}resilient, endpoint: reader, operation: write",
            "never asks for a reader write; its profile oltp-small has cluster write, reader read",
        ),
        (f"{INTERRUPTION}resilient, endpoint: cluster, operation: read", "a cluster read"),
        (f"{INTERRUPTION}pre-ping, endpoint: cluster, operation: write", "a cluster write"),
        (f"{INTERRUPTION}resilient, endpoint: some-instance, operation: read", "a some-instance"),
        (f"{INTERRUPTION}nobody", "names arm 'nobody'; this workload has default-pool, pre-ping"),
        (
            "check: staleness, staleness_s_max: 5, arm: resilient, endpoint: cluster",
            "a cluster read",
        ),
        ("check: constant-sums", "no arm of this workload has accounts"),
        ("check: constant-sums, arm: resilient", "arm resilient has no accounts"),
    ],
)
def test_an_objective_on_traffic_that_nobody_sends_is_refused_where_it_stands(
    tmp_path: Path, objective: str, told: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        loaded_from(written(tmp_path, objective=objective))
    assert "drill.yaml:13:5: objectives[1]: " in str(refused.value)
    assert told in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_sums_are_judged_where_one_arm_has_accounts(tmp_path: Path) -> None:
    path = written(tmp_path, objective="check: constant-sums", third="bank-transfer")
    experiment, rules = loaded_from(path)
    with pytest.raises(DefinitionError, match="no arm of this workload has accounts"):
        selected(experiment, rules, arms=["resilient"], repeat=None)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "steady_state: [{arm: pre-ping, operation: write}]",
            "drill.yaml:9:16: steady_state[0]: arm pre-ping never asks for a write",
        ),
        (
            f"stop_when:\n  - {WITHOUT_SUCCESS}",
            "drill.yaml:10:5: stop_when[0]: arm resilient never asks for a reader write",
        ),
        (
            f"stop_when: [{{stop: any, of: [{WITHOUT_SUCCESS}]}}]",
            "stop_when[0]: arm resilient never asks for a reader write",
        ),
    ],
)
def test_so_are_steady_states_and_stop_conditions(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        loaded_from(written(tmp_path, more=more))
    assert told in str(refused.value)


def test_a_stop_condition_of_an_arm_that_is_left_out_is_told(tmp_path: Path) -> None:
    stop = (
        "stop_when: [{stop: error-ratio, arm: pre-ping, operation: transaction, ratio_above: 0.5}]"
    )
    experiment, rules = loaded_from(written(tmp_path, more=stop))
    with pytest.raises(DefinitionError, match="names arm 'pre-ping'"):
        selected(experiment, rules, arms=["resilient"], repeat=None)


def test_too_few_users_for_the_time_they_think_are_told_when_the_file_is_read(
    tmp_path: Path,
) -> None:
    path = Path(written(tmp_path))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("  arms:", "  think_time_s: 10\n  users: 2\n  arms:", 1))
    with pytest.raises(DefinitionError, match=r"drill\.yaml: workload: arm resilient: 2 users who"):
        loaded_from(str(path))


def test_repeat_and_arm_are_applied_together(tmp_path: Path) -> None:
    experiment, _ = loaded_from(written(tmp_path))
    chosen = selected(experiment, ArmRules(tmp_path), arms=["pre-ping"], repeat=4)
    assert [arm.name for arm in chosen.workload.arms] == ["pre-ping"]
    assert [step.repeat for step in chosen.method] == [4]
