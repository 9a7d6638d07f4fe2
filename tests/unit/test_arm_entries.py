"""What an experiment may say of an arm, and that what it says wrongly is refused with its place."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.cli.loading import selected
from chaos.definition.experiment import Experiment
from chaos.definition.load import load
from chaos.errors import DefinitionError
from loadgen.arm import Arm, Retry
from loadgen.arms import CATALOGUE, find
from loadgen.config import ArmTraffic
from loadgen.configured import ArmRules, arm_of, described, keep_sources, needs_threads
from loadgen.families import FAMILIES, Family, connection_settings, problems

MINE = """\
from loadgen.arm import Arm, Retry

class Mine:
    errors = (OSError,)
    def session(self): ...
    def trouble(self, error): ...
    def close(self): ...

SMALL = Arm(name="small", description="two connections", retry=Retry.none(), pool={"pool_size": 2})
OWN = Arm(name="own", description="our driver", retry=Retry.fixed(), driver=Mine, threads=True)
"""


def written(folder: Path, *arms: str) -> Path:
    path = folder / "experiment.yaml"
    entries = "\n".join(f"    - {arm}" for arm in arms)
    path.write_text(
        "version: 1\nname: x\nclaim: x\nmethod: [{fault: noop}]\n"
        "objectives: [{check: acknowledged-writes}]\n"
        f"workload:\n  arms:\n{entries}\n"
    )
    return path


def loaded(folder: Path, *arms: str) -> tuple[Experiment, ArmRules]:
    rules = ArmRules(folder)
    return load(written(folder, *arms), arms=rules), rules


def traffic(folder: Path, arm: str) -> ArmTraffic:
    """What a run makes of an entry, as it arrives in another process."""
    experiment, rules = loaded(folder, arm)
    (entry,) = experiment.workload.arms
    client = json.loads(json.dumps(rules.client_of(entry.client())))
    return ArmTraffic(arm=entry.name, client=client)


@pytest.mark.parametrize("arm", CATALOGUE, ids=lambda arm: arm.name)
def test_an_arm_of_the_catalogue_makes_sense_and_is_told_of(arm: Arm) -> None:
    assert list(problems(arm)) == []
    assert arm.saves
    assert arm.costs
    assert arm.sources
    assert arm_of(ArmTraffic(arm=arm.name)) == arm


def test_the_document_has_a_row_of_every_arm() -> None:
    text = (Path(__file__).parents[2] / "docs" / "arms.md").read_text(encoding="utf-8")
    for arm in CATALOGUE:
        assert f"\n| `{arm.name}` |" in text


def test_an_arm_may_run_twice_under_names_of_its_own(tmp_path: Path) -> None:
    experiment, _ = loaded(
        tmp_path, "{arm: default-pool}", "{arm: default-pool, name: no-retry, retry: none}"
    )
    assert [arm.name for arm in experiment.workload.arms] == ["default-pool", "no-retry"]
    again = Experiment.model_validate(experiment.resolved())
    assert again == experiment
    with pytest.raises(DefinitionError, match="listed twice: default-pool, default-pool"):
        loaded(tmp_path, "{arm: default-pool}", "{arm: default-pool, retry: none}")


def test_changes_reach_the_traffic_process(tmp_path: Path) -> None:
    arm = arm_of(
        traffic(
            tmp_path,
            "{arm: resilient, name: ours, pool: {pool_size: 3, pool_timeout: null}, deadline_s: 0,"
            " connection: {connect_timeout: 9}, retry: {policy: fixed, attempts_max: 5, wait_s: 1}}",
        )
    )
    assert arm.name == "ours"
    assert arm.pool == {"pool_size": 3, "max_overflow": 0}
    assert arm.connection["connect_timeout"] == 9
    assert arm.connection["tcp_user_timeout"] == 3000
    assert arm.deadline_s is None
    assert arm.retry == Retry.fixed(attempts_max=5, wait_s=1.0)
    assert arm.idempotent, "what is not mentioned stays"


@pytest.mark.parametrize("name", ["none", "fixed", "exponential", "budget"])
def test_a_policy_may_be_named_alone(tmp_path: Path, name: str) -> None:
    arm = arm_of(traffic(tmp_path, f"{{arm: pre-ping, retry: {name}}}"))
    assert arm.retry == getattr(Retry, name)()


@pytest.mark.parametrize(
    ("entry", "column", "told"),
    [
        ("{arm: default-pol}", 13, "unknown arm 'default-pol'.*did you mean 'default-pool'"),
        ("{arm: pre-ping, pool: {pool_sise: 3}}", 29, "'pool_sise'.*did you mean 'pool_size'"),
        (
            "{arm: pre-ping, pool: {pool_size: true}}",
            29,
            "pool_size is True; it must be a whole number",
        ),
        ("{arm: pre-ping, pool: {pool_size: [1]}}", 41, "a setting is a number"),
        ("{arm: null-pool, pool: {pool_size: 3}}", 30, "keeps no connections"),
        ("{arm: psycopg-pool, pool: {max_size: 2}}", 33, "max_size is below min_size"),
        ("{arm: held-connection, pool: {size: 2}}", 36, "allowed are none"),
        ("{arm: pre-ping, connection: {conect_timeout: 3}}", 35, "did you mean 'connect_timeout'"),
        ("{arm: pre-ping, connection: {host: elsewhere}}", 35, "unknown setting 'host'"),
        ("{arm: pre-ping, retry: never}", 30, "unknown policy 'never'; allowed are none, fixed"),
        ("{arm: pre-ping, retry: exponentail}", 30, "did you mean 'exponential'"),
        ("{arm: pre-ping, retry: {policy: fixde}}", 39, "did you mean 'fixed'"),
        ("resilient", 7, "an arm is a mapping; write {arm: resilient}"),
        ("{arm: pre-ping, retry: {policy: fixed, wait: 1}}", 46, "did you mean 'wait_s'"),
        ("{arm: pre-ping, retry: {policy: fixed, attempts_max: null}}", 30, "retries need an end"),
        (
            "{arm: pre-ping, retry: {policy: budget, tokens_max: 0}}",
            59,
            "greater than or equal to 1",
        ),
        ("{arm: pre-ping, name: Ours}", 29, "should match pattern"),
        ("{arm: pre-ping, name: probe}", 29, "choose another name"),
        ("{arm: small, file: mine.py, pool: {pool_sise: 3}}", 41, "did you mean 'pool_size'"),
        ("{arm: tiny, file: mine.py}", 13, "mine.py makes no arm 'tiny'; it makes small, own"),
        ("{arm: x, file: nowhere.py, pool: {pool_size: 3}}", 22, "nowhere.py cannot be read"),
        ("{arm: x, file: broken.py}", 22, "broken.py:2: ZeroDivisionError: division by zero"),
        (
            "{arm: x, file: unreadable.py, deadline_s: 3}",
            22,
            r"unreadable.py:1: .*was never closed",
        ),
        ("{arm: x, file: empty.py}", 22, "empty.py:1: makes no arm"),
        ("{arm: x, file: gone.py}", 22, "gone.py ended the process that ran it"),
        ("{arm: a, file: twice.py}", 22, "twice.py:1: makes two arms 'a'"),
        ("{arm: half, file: half.py}", 13, "driver Half has no trouble, close"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_stands(
    tmp_path: Path, entry: str, column: int, told: str
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("import math\nx = 1 / 0\n")
    (tmp_path / "unreadable.py").write_text("x = (\n")
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "gone.py").write_text("import os\nos._exit(3)\n")
    (tmp_path / "twice.py").write_text(
        "from loadgen.arm import Arm, Retry\n"
        "ONE = Arm(name='a', description='', retry=Retry.none())\nSAME = ONE\n"
        "TWO = Arm(name='a', description='', retry=Retry.fixed())\n"
    )
    (tmp_path / "half.py").write_text(
        "from loadgen.arm import Arm, Retry\n"
        "class Half:\n    errors = ()\n    def session(self): ...\n"
        "A = Arm(name='half', description='', retry=Retry.none(), driver=Half)\n"
    )
    with pytest.raises(DefinitionError, match=told) as refused:
        loaded(tmp_path, entry)
    assert f"experiment.yaml:8:{column}: workload.arms[0]" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "entry",
    [
        "{arm: pre-ping, connection: {sslpassword: x}}",
        "{arm: asyncpg, connection: {password: x}}",
        "{arm: aws-wrapper, connection: {idp_password: x}}",
        "{arm: pre-ping, connection: {SSLKEYLOGFILE: /tmp/keys}}",
        "{arm: own, file: mine.py, pool: {api_token: x}}",
        "{arm: small, file: mine.py, connection: {oauth_client_secret: x}}",
        "{arm: kept, file: kept.py}",
    ],
)
def test_a_setting_that_holds_a_secret_is_refused(tmp_path: Path, entry: str) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "kept.py").write_text(
        "from loadgen.arm import Arm, Retry\n"
        "A = Arm(name='kept', description='', retry=Retry.none(),"
        " writer_connection={'sslpassword': 'x'})\n"
    )
    with pytest.raises(DefinitionError, match="secrets belong in the environment") as refused:
        loaded(tmp_path, entry)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_setting_that_is_taken_speaks_of_a_secret(family: Family) -> None:
    taken = {*family.pool, *connection_settings(family)}
    secret = re.compile("pass|secret|client_key|server_key|keylog|token", re.IGNORECASE)
    assert [name for name in taken if secret.search(name)] == []


@pytest.mark.parametrize("arm", ["asyncpg", "aws-wrapper"])
def test_an_arm_without_its_package_is_valid_and_says_what_to_install_before_it_runs(
    tmp_path: Path, arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    kept = (
        "from loadgen.arm import Arm, Retry\nA = Arm(name='a', description='', retry=Retry.none()"
    )
    (tmp_path / "mine.py").write_text(f"{kept}, driver={arm!r})\n")
    for entry in (f"{{arm: {arm}, name: a}}", "{arm: a, file: mine.py}"):
        experiment, rules = loaded(tmp_path, entry, "{arm: resilient}")
        assert selected(experiment, rules, arms=["resilient"], repeat=None).workload.arms
        for arms in (None, ["a"]):
            with pytest.raises(DefinitionError, match=r"pip install 'aurora-gameday\[arms\]'"):
                selected(experiment, rules, arms=arms, repeat=None)


def test_what_no_driver_can_do_is_refused() -> None:
    for arm in ("aws-wrapper", "psycopg-pool"):
        assert _wrong(find(arm).changed({"deadline_s": 3})) == ["deadline_s"]
    plain: dict[str, Any] = {"name": "x", "description": "", "retry": Retry.none()}
    assert _wrong(Arm(**plain, driver="asyncpg", read_only_is_disconnect=True)) == [
        "read_only_is_disconnect"
    ]
    assert _wrong(Arm(**plain, driver="sqlalchemi")) == ["driver"]


def _wrong(arm: Arm) -> list[str]:
    return [setting for setting, _ in problems(arm)]


def test_an_arm_of_a_file_is_described_without_running_it_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    sent = traffic(tmp_path, "{arm: small, file: mine.py, name: tiny, pool: {pool_size: 1}}")
    (tmp_path / "mine.py").write_text("raise SystemExit")
    told = described(sent)
    assert told["description"] == "two connections"
    assert told["settings"]["pool"] == {"pool_size": 1}
    assert told["file"]["name"] == "mine.py"
    assert len(told["file"]["sha256"]) == 64
    assert not needs_threads(sent)
    arm = arm_of(sent)
    assert (arm.name, arm.pool, arm.retry) == ("tiny", {"pool_size": 1}, Retry.none())
    keep_sources([sent], tmp_path)
    assert (tmp_path / "arms" / "tiny.py").read_text() == MINE


def test_a_driver_of_ones_own_may_ask_for_threads(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    sent = traffic(tmp_path, "{arm: own, file: mine.py, retry: none}")
    assert needs_threads(sent)
    arm = arm_of(sent)
    assert arm.family == "own"
    assert arm.retry == Retry.none()
    assert described(sent)["settings"]["driver"] == "own"


def test_a_file_called_as_a_module_does_not_stand_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "asyncpg.py").write_text(MINE)
    before = sys.modules.get("asyncpg")
    assert arm_of(traffic(tmp_path, "{arm: small, file: asyncpg.py}")).name == "small"
    assert sys.modules.get("asyncpg") is before
    assert sys.modules["gameday_arms_asyncpg"].__file__ == "asyncpg.py"
