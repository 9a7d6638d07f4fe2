"""Trouble in the middle of a run or a recover: the cluster stays restorable, and every word is clear."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import Gameday

from chaos.model.record import Event, read_events
from chaos.wait import wait_until

pytestmark = [pytest.mark.spread, pytest.mark.seconds(40)]

METHOD = """
version: 1
name: trouble
claim: Whatever happens, the reader comes back.
workload: {warmup_s: 3, cooldown_s: 1, writes_per_s: 10, reads_per_s: 10, arms: [{arm: resilient}]}
method:
  - {fault: delete-reader, target: drill-instance-2, hold_s: 600}
stop_when:
  - {stop: lost-writes}
objectives:
  - {check: restored}
"""


@dataclass(frozen=True)
class Drill:
    """A test cluster, a run on it that holds a deleted reader, and what the control address can do."""

    gameday: Gameday
    control: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

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

    def started(self) -> subprocess.Popen[str]:
        file = self.gameday.home / "trouble.yaml"
        file.write_text(METHOD, encoding="utf-8")
        process = self.start("run", str(file), "--cluster", "drill", "--quiet")
        self.journal_has(lambda e: e.data.get("verb") == "hold", "the fault to be held")
        return process

    def journal_has(self, what: Callable[[Event], bool], said: str) -> None:
        wait_until(lambda: any(map(what, self.events())), said, timeout_s=180, interval_s=0.2)

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
        status = json.loads(self.gameday("cluster", "status", "drill", "--json").stdout)
        return {i["id"]: i["status"] for i in status["instances"]}


ALL_THERE = {f"drill-instance-{n}": "available" for n in (1, 2, 3)}


@pytest.fixture
def drill(gameday: Gameday) -> Iterator[Drill]:
    up = gameday("cluster", "up", "--identifier", "drill", "--quiet", "--json")
    assert up.returncode == 0, up.stderr
    found = Drill(gameday, json.loads(up.stdout)["api_url"])
    yield found
    found.end()
    gameday("cluster", "down", "drill", "--quiet")


def test_a_run_that_is_stopped_recovers_and_says_why(drill: Drill) -> None:
    process = drill.started()
    stopped = drill.gameday("stop", "--reason", "pager is ringing")
    assert stopped.returncode == 0, stopped.stderr
    _, err = process.communicate(timeout=180)
    assert process.returncode == 3, err
    assert "stopped on request: pager is ringing" in err
    assert drill.members() == ALL_THERE
    ended = drill.gameday("stop")
    assert ended.returncode == 64
    assert "is not being carried out" in ended.stderr


def test_expired_credentials_leave_the_cluster_restorable(drill: Drill) -> None:
    process = drill.started()
    expired = drill.disturb(kind="api-error", code="ExpiredToken")
    drill.gameday("stop")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 70, err
    assert "ExpiredToken" in err
    assert "gameday recover" in err
    assert drill.members() != ALL_THERE

    refused = drill.gameday("recover")
    assert refused.returncode == 70
    assert "ExpiredToken" in refused.stderr

    drill.calm(expired)
    recovered = drill.gameday("recover")
    assert recovered.returncode == 0, recovered.stderr
    assert drill.members() == ALL_THERE
    assert "nothing to recover" in drill.gameday("recover").stderr


@pytest.mark.parametrize(
    "trouble",
    [{"kind": "api-throttle", "probability": 0.8}, {"kind": "api-drop", "probability": 0.5}],
    ids=lambda trouble: trouble["kind"],
)
def test_a_recover_gets_through_an_api_in_trouble(drill: Drill, trouble: dict[str, Any]) -> None:
    process = drill.started()
    process.kill()
    process.communicate()
    identifier = drill.disturb(**trouble)
    recovering = drill.start("recover")
    try:
        drill.journal_has(lambda e: e.type == "call", "a changing call")
    finally:
        drill.calm(identifier)
    _, err = recovering.communicate(timeout=240)
    assert recovering.returncode == 0, err
    assert drill.members() == ALL_THERE
