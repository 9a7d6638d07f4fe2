"""Bad input: a clear line that says what to do, the right exit code, nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import psutil
import pytest
from conftest import Gameday
from inside import inside

from chaos.model.history import load_operations
from chaos.model.operation import Outcome
from chaos.model.record import read_events
from chaos.wait import wait_until

pytestmark = [pytest.mark.seconds(15)]

INTERRUPTED = """\
version: 1
name: interrupted
claim: A run that is interrupted restores what it changed.
test_cluster: {reader_tiers: [1, 2]}
workload: {arms: [{arm: resilient}], writes_per_s: 10, reads_per_s: 10, users: 4, warmup_s: WARMUP_S}
method:
  - {fault: delete-reader, hold_s: 600}
objectives:
  - {check: restored}
"""


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr


def test_a_wrong_key_is_usage(gameday: Gameday, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("version: 1\nnmae: x\n", encoding="utf-8")
    done = gameday("run", str(wrong))
    assert done.returncode == 64
    assert "wrong.yaml:2:1: nmae: unknown key" in complaint(done)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "no-such-experiment"], "shipped are"),
        (["run", "control", "--arm", "nobody"], "this experiment has default-pool, resilient"),
        (["run", "control", "--set", "HOLD_S"], "--set NAME=VALUE"),
        (["run", "control", "--profile", "warp"], "fast"),
        (["run", "--repeat", "0", "control"], "--repeat"),
        (["nonsense"], "nonsense"),
        (["show", "no-such-run"], "no-such-run"),
        (["cluster", "status", "nobody"], "nobody"),
        (["cluster", "down", "nobody"], "nobody"),
    ],
)
def test_wrong_usage_is_told_in_a_line(gameday: Gameday, arguments: list[str], told: str) -> None:
    done = inside(gameday, *arguments)
    assert done.returncode == 64, done.stderr
    assert told in complaint(done)


def test_no_postgres_says_how_to_get_one(gameday: Gameday, tmp_path: Path) -> None:
    done = inside(gameday, "run", "control", GAMEDAY_POSTGRES=str(tmp_path))
    assert done.returncode == 70
    assert str(tmp_path) in complaint(done)


def test_a_run_folder_that_cannot_be_made(gameday: Gameday, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = inside(gameday, "run", "control", "--out", str(tmp_path / "file" / "runs"))
    assert done.returncode == 70
    assert "--out" in complaint(done)


def test_a_cluster_that_nobody_knows(gameday: Gameday) -> None:
    done = inside(
        gameday, "run", "control", "--cluster", "nobody", "--yes",
        AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_DEFAULT_REGION="eu-west-1",
        AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any",
    )  # fmt: skip
    assert done.returncode == 70
    assert "127.0.0.1:9" in complaint(done)


@pytest.fixture
def standing(gameday: Gameday) -> Iterator[str]:
    """A test cluster that stays between commands."""
    up = inside(gameday, "cluster", "up", "--identifier", "drill", "--readers", "0", "--quiet")
    assert up.returncode == 0, up.stderr
    yield "drill"
    down = inside(gameday, "cluster", "down", "drill", "--quiet")
    assert down.returncode == 0, down.stderr


def test_a_cluster_is_refused_before_any_fault(gameday: Gameday, standing: str) -> None:
    """No reader to fail over to; then without the opt-in tag; then a name that nobody has."""
    done = inside(gameday, "run", "writer-failover", "--cluster", standing)
    assert done.returncode == 4
    assert "no reader to fail over to" in complaint(done)
    assert gameday.verdict()["status"] == "refused"

    status = json.loads(inside(gameday, "cluster", "status", standing, "--json").stdout)
    signed = {
        "AWS_ENDPOINT_URL": status["api_url"],
        "AWS_DEFAULT_REGION": status["region"],
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }
    rds = boto3.client(
        "rds",
        endpoint_url=status["api_url"],
        region_name=status["region"],
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    arn = rds.describe_db_clusters()["DBClusters"][0]["DBClusterArn"]
    rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["gameday"])
    rds.close()
    untagged = str(gameday.home / "untagged")
    done = inside(gameday, "run", "control", "--cluster", standing, "--out", untagged)
    assert done.returncode == 4
    assert "add-tags-to-resource" in complaint(done)
    (journal,) = (gameday.home / "untagged").glob("*/journal.jsonl")
    assert not [e for e in read_events(journal) if e.type in {"call", "undo", "fault"}]

    done = inside(gameday, "run", "control", "--cluster", "nobody", "--yes", **signed)
    assert done.returncode == 64
    assert "no cluster nobody" in complaint(done)


def await_write(operations: Path) -> None:
    """Wait until a write has been recorded as acknowledged."""

    def acknowledged() -> bool:
        log = load_operations(operations, "resilient").operations
        return bool(((log["write_id"] >= 0) & (log["outcome"] == Outcome.OK)).any())

    wait_until(acknowledged, "a write", timeout_s=240, errors=(OSError, ValueError))


@pytest.mark.spread
@pytest.mark.seconds(20)
@pytest.mark.parametrize(
    ("moment", "signals"),
    [
        ("warm-up", [signal.SIGINT]),
        ("step 1: delete-reader", [signal.SIGTERM, signal.SIGINT]),
    ],
)
def test_ctrl_c_restores_and_leaves_no_process(
    gameday: Gameday,
    descendants: Callable[[int], list[psutil.Process]],
    tmp_path: Path,
    signals: list[signal.Signals],
    moment: str,
) -> None:
    """Of several signals the first ends it, and the others change nothing."""
    path = tmp_path / "interrupted.yaml"
    warming_up = moment == "warm-up"
    # It must not be over before the signal is sent, or be long for nothing.
    path.write_text(INTERRUPTED.replace("WARMUP_S", "600" if warming_up else "3"), encoding="utf-8")
    process = gameday.start("run", str(path))
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if line.rstrip().endswith(moment):
            break
    journal = gameday.folder() / "journal.jsonl"
    if warming_up:
        await_write(gameday.folder() / "operations")
    else:
        wait_until(
            lambda: "hold" in {e.data.get("verb") for e in read_events(journal)},
            "the reader to be gone",
            timeout_s=240,
        )
    tree = descendants(process.pid)
    assert tree, told
    for number in signals:
        process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 5, told + out + err
    assert "Traceback" not in out + err
    wait_until(
        lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in tree),
        "every child process to be gone",
        timeout_s=240,
        errors=(psutil.NoSuchProcess,),
    )
    verdict = gameday.verdict()
    assert verdict["status"] == "interrupted"
    assert verdict["verdict"] != "pass"
    assert verdict["writes"]["acknowledged"] > 0
    assert verdict["writes"]["lost"] == 0
    events = read_events(journal)
    undo = [e.data for e in events if e.type == "undo"]
    assert ("create-instance" in {e["action"] for e in undo}) is not warming_up
    assert {e["id"] for e in undo} == {e.data["id"] for e in events if e.type == "undone"}
    assert (gameday.folder() / "report.html").stat().st_size > 10_000
