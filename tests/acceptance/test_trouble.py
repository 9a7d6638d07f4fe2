"""Trouble in the middle of a run or a recover: the cluster stays restorable, and every word is clear.

The runs are on one test cluster, in turn: each leaves it as it was, or its test has failed.
"""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from conftest import Gameday
from inside import inside

from chaos.model.record import Event, read_events
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(90)

PATIENCE_S = 240
READER = "drill-instance-2"
READER_LOSS = {"fault": "delete-reader", "target": READER}
ALL_THERE = {f"drill-instance-{n}": "available" for n in (1, 2, 3)}


@dataclass(frozen=True)
class Drill:
    """A test cluster, runs on it that hold one fault, and what the control address can do."""

    gameday: Gameday
    control: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return inside(self.gameday, *arguments)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = self.gameday.start(*arguments)
        self.processes.append(process)
        return process

    def end(self) -> None:
        """Leave no process, whatever went wrong."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def started(self, step: dict[str, Any], verb: str = "hold") -> subprocess.Popen[str]:
        """Start a run of one step; return once its journal has a verb of the fault."""
        file = self.gameday.home / "trouble.yaml"
        workload = {"arms": [{"arm": "resilient"}], "writes_per_s": 10, "reads_per_s": 10}
        experiment = {
            "version": 1,
            "name": "trouble",
            "claim": "Whatever happens, all comes back.",
            "workload": {**workload, "users": 4, "warmup_s": 3, "cooldown_s": 1},
            "method": [step],
            "stop_when": [{"stop": "lost-writes"}],
            "objectives": [{"check": "restored"}],
        }
        file.write_text(json.dumps(experiment), encoding="utf-8")
        process = self.start("run", str(file), "--cluster", "drill", "--quiet")
        self.journal_has(lambda e: e.data.get("verb") == verb, f"{verb} of the fault", process)
        return process

    def journal_has(
        self, what: Callable[[Event], bool], said: str, of: subprocess.Popen[str], since: int = 0
    ) -> None:
        """Wait for an event after the first so many, or for the end of the process that writes."""

        def has() -> bool:
            ended = of.poll() is not None
            return ended or any(map(what, self.events()[since:]))

        wait_until(has, said, timeout_s=PATIENCE_S, interval_s=0.1)

    def events(self) -> list[Event]:
        return [e for path in self.gameday.runs.glob("*/journal.jsonl") for e in read_events(path)]

    def disturb(self, **fields: Any) -> str:
        connection = http.client.HTTPConnection(urlsplit(self.control).netloc, timeout=30)
        connection.request(
            "POST",
            "/control/disturbances",
            json.dumps(fields),
            {"Content-Type": "application/json"},
        )
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return str(answer["id"])

    def calm(self, identifier: str) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.control).netloc, timeout=30)
        connection.request("DELETE", f"/control/disturbances/{identifier}")
        assert connection.getresponse().status == http.client.OK
        connection.close()

    def members(self) -> dict[str, str]:
        status = json.loads(self("cluster", "status", "drill", "--json").stdout)
        return {i["id"]: i["status"] for i in status["instances"]}

    def tier(self) -> int:
        """The reader's promotion tier, as the API shows it."""
        access = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        rds = boto3.client("rds", "eu-west-1", endpoint_url=self.control, **access)
        (member,) = rds.describe_db_instances(DBInstanceIdentifier=READER)["DBInstances"]
        return int(member["PromotionTier"])


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gameday, str]]:
    """A test cluster that outlives the runs, with the address that controls it."""
    gameday = Gameday(tmp_path_factory.mktemp("drill"))
    up = inside(gameday, "cluster", "up", "--identifier", "drill", "--quiet", "--json")
    assert up.returncode == 0, up.stderr
    yield gameday, json.loads(up.stdout)["api_url"]
    inside(gameday, "cluster", "down", "drill", "--quiet")


@pytest.fixture
def drill(gameday: Gameday, standing: tuple[Gameday, str]) -> Iterator[Drill]:
    """The cluster, and a folder of runs that is this test's own."""
    owner, control = standing
    (gameday.home / "state").symlink_to(owner.home / "state")
    found = Drill(gameday, control)
    assert found.members() == ALL_THERE, "what another test has left"
    yield found
    found.end()


def test_a_run_that_is_stopped_recovers_and_says_why(drill: Drill) -> None:
    process = drill.started({**READER_LOSS, "hold_s": 600})
    stopped = drill("stop", "--reason", "pager is ringing")
    assert stopped.returncode == 0, stopped.stderr
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3, err
    assert "stopped on request: pager is ringing" in err
    assert drill.members() == ALL_THERE
    ended = drill("stop")
    assert ended.returncode == 64
    assert "is not being carried out" in ended.stderr


def test_expired_credentials_leave_the_cluster_restorable(drill: Drill) -> None:
    """What was changed is a tier: the ledger would wait for a reader that nobody can bring back."""
    before = drill.tier()
    step = {"fault": "change-promotion-tier", "target": READER, "tier": before + 7, "hold_s": 600}
    process = drill.started(step)
    expired = drill.disturb(kind="api-error", code="ExpiredToken")
    drill("stop")
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 70, err
    assert "ExpiredToken" in err
    assert "gameday recover" in err

    refused = drill("recover")
    assert refused.returncode == 70
    assert "ExpiredToken" in refused.stderr

    drill.calm(expired)
    assert drill.tier() == before + 7
    recovered = drill("recover")
    assert recovered.returncode == 0, recovered.stderr
    assert drill.tier() == before
    assert "nothing to recover" in drill("recover").stderr


@pytest.mark.parametrize(
    ("verb", "trouble"),
    [
        ("inject", {"kind": "api-throttle", "probability": 0.5}),
        ("recover", {"kind": "api-drop", "probability": 0.5}),
    ],
    ids=["api-throttle", "api-drop"],
)
def test_after_kill_9_a_recover_gets_through_an_api_in_trouble(
    drill: Drill, verb: str, trouble: dict[str, Any]
) -> None:
    """Undo records on disk restore the cluster, wherever the runner died."""
    process = drill.started({**READER_LOSS, "hold_s": 1}, verb)
    process.kill()
    process.communicate()
    written = len(drill.events())
    identifier = drill.disturb(**trouble)
    recovering = drill.start("recover")
    try:
        drill.journal_has(
            lambda e: e.type == "call",  # Answered or not: one that was lost is made again.
            "a changing call",
            recovering,
            since=written,
        )
    finally:
        drill.calm(identifier)
    _, err = recovering.communicate(timeout=PATIENCE_S)
    assert recovering.returncode == 0, err
    assert drill.members() == ALL_THERE
    undone = {e.data["id"] for e in drill.events() if e.type == "undone"}
    assert undone == {"u1", "u2", "u3"}  # Lease, tables, reader.
    assert "nothing to recover" in drill("recover").stderr
