"""One run at a time, nothing changed by a plan, and no more permissions than a run needs."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from conftest import Gameday
from fix_rds_model import Served
from iam_matcher import allows, unused
from inside import inside

from chaos.model.record import Event, read_events
from chaos.safety.lease import LEASE_TAG
from chaos.testcluster.api.server import ApiServer
from chaos.wait import wait_until

PATIENCE_S = 240
DRILL = {
    "version": 1,
    "name": "drill",
    "claim": "Readers and bounds are as before.",
    "workload": {
        "arms": [{"arm": "resilient"}],
        "writes_per_s": 5,
        "reads_per_s": 5,
        "users": 2,
        "warmup_s": 3,
        "cooldown_s": 1,
    },
    "method": [
        {"fault": "delete-reader", "settle_s": 0},
        # More than it ever has: CloudWatch's newest minute tells at once.
        {"fault": "scale-capacity", "min_acu": 10, "max_acu": 16, "settle_s": 0},
    ],
    "objectives": [{"check": "restored"}],
}

pytestmark = [pytest.mark.seconds(60)]


@pytest.fixture
def drill(tmp_path: Path) -> str:
    file = tmp_path / "drill.yaml"
    file.write_text(json.dumps(DRILL), encoding="utf-8")
    return str(file)


@dataclass(frozen=True)
class Standing:
    """A test cluster that stays between commands, and runs on it."""

    gameday: Gameday
    state: Path
    """Where it is known from, by commands of any test."""
    cluster: str = "drill"

    def start(self, drill: str) -> subprocess.Popen[str]:
        """Begin a run in a process of its own."""
        return self.gameday.start(
            "run", drill, "--cluster", self.cluster, GAMEDAY_STATE_DIR=str(self.state)
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return inside(self.gameday, *arguments, GAMEDAY_STATE_DIR=str(self.state))

    def told(self, command: str, drill: str) -> subprocess.CompletedProcess[str]:
        """Ask what a run would do, or may."""
        more = ["--json"] if command == "plan" else []
        return self(command, drill, "--cluster", self.cluster, *more)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a test cluster is known that stays for the tests of this file."""
    home = Gameday(tmp_path_factory.mktemp("standing"))
    up = inside(home, "cluster", "up", "--identifier", Standing.cluster, "--quiet")
    assert up.returncode == 0, up.stderr
    yield home.home / "state"
    inside(home, "cluster", "down", Standing.cluster, "--quiet")


@pytest.fixture
def standing(gameday: Gameday, state: Path) -> Standing:
    return Standing(gameday, state)


def tags(standing: Standing) -> dict[str, str]:
    """The tags that the journals' last snapshots cannot hide: as the cluster itself has them."""
    status = json.loads(standing.told("plan", "control").stdout)
    alone = next(g for g in status["guards"] if g["guard"] == "alone")
    return {LEASE_TAG: alone["why"]} if alone["refused"] else {}


def ended(runs: Path) -> dict[str, list[Event]]:
    """The journals of all runs, by status."""
    found = {}
    for journal in runs.glob("*/journal.jsonl"):
        events = read_events(journal)
        (end,) = (e for e in events if e.type == "run" and e.data["state"] == "ended")
        found[str(end.data["status"])] = events
    return found


def resource_of(arn: str, call: Event) -> str:
    """The ARN of what a call concerns, by its parameters."""
    parameters, prefix = call.data["parameters"], arn.rpartition(":cluster:")[0]
    if "ResourceName" in parameters:
        return str(parameters["ResourceName"])
    if "DBInstanceIdentifier" in parameters:
        return f"{prefix}:db:{parameters['DBInstanceIdentifier']}"
    return arn


def test_of_two_runs_at_once_one_goes_on_and_needs_no_more_than_its_policy(
    gameday: Gameday, standing: Standing, drill: str
) -> None:
    printed = standing.told("policy", drill)
    assert printed.returncode == 0, printed.stderr
    policy = json.loads(printed.stdout)
    plan = json.loads(standing.told("plan", drill).stdout)
    assert not plan["refused"], plan["guards"]
    assert not gameday.runs.exists(), "neither makes a run's folder"

    both = [standing.start(drill) for _ in range(2)]
    told = [process.communicate(timeout=600)[1] for process in both]
    found = ended(gameday.runs)
    assert set(found) == {"completed", "refused"}, told
    assert 4 in {process.returncode for process in both}
    refused = found["refused"]
    assert not [e for e in refused if e.type == "fault"]
    assert "drill" in str(next(e for e in reversed(refused) if e.type == "run").data["error"])
    assert tags(standing) == {}

    events = found["completed"]
    arn = plan["arn"]
    made: set[str] = set()
    for call in (e for e in events if e.type == "call"):
        action = f"rds:{call.data['operation']}"
        named = call.data["parameters"]
        keys = named.get("TagKeys") or [tag["Key"] for tag in named.get("Tags", ())]
        context = {"aws:ResourceTag/gameday": "allowed", "aws:TagKeys": keys}
        assert allows(policy, action, resource_of(arn, call), context), call
        made.add(action)
    (reads,) = (e.data["counts"] for e in events if e.type == "reads")
    services = {"GetMetricData": "cloudwatch", "GetSafetyLever": "fis"}
    made |= {f"{services.get(name, 'rds')}:{name}" for name in reads}
    assert unused(policy, made) == set()
    assert made <= {action for one in policy["Statement"] for action in one["Action"]}
    planned = {f"rds:{c['operation']}": c["count"] for c in plan["calls"]["changing_at_most"]}
    assert {a for a in made if not a.split(":")[1].startswith(("Describe", "Get"))} == set(planned)
    for action, most in planned.items():
        calls = [e for e in events if e.type == "call" and action.endswith(e.data["operation"])]
        assert len(calls) <= most, action
    undo = [(e.data["action"]) for e in events if e.type == "undo"]
    assert undo == [record["action"] for record in plan["undo"]]


def test_after_kill_9_the_next_run_is_refused_until_recover_has_released_the_lease(
    gameday: Gameday, standing: Standing, drill: str
) -> None:
    process = standing.start(drill)
    wait_until(
        lambda: any(
            e.type == "call" and e.data["operation"] == "AddTagsToResource"
            for journal in gameday.runs.glob("*/journal.jsonl")
            for e in read_events(journal)
        ),
        "the lease to be written",
        timeout_s=PATIENCE_S,
    )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = standing("run", drill, "--cluster", standing.cluster)
    assert again.returncode == 4, again.stderr
    assert "gameday recover" in again.stderr
    done = standing("recover")
    assert done.returncode == 0, done.stderr
    plan = standing.told("plan", drill)
    assert plan.returncode == 0, plan.stdout


@dataclass
class CallLog:
    """The operations that a control plane was asked for."""

    operations: list[str] = field(default_factory=list)

    @property
    def changing(self) -> list[str]:
        return [o for o in self.operations if not o.startswith(("Describe", "Get", "List"))]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CallLog:
    """What the control plane in this process is asked for, whoever asks."""
    log, answer = CallLog(), ApiServer.aws

    def logged(server: ApiServer, request: Any) -> Any:
        named = parse_qs(request.body.decode(errors="replace")).get("Action")
        target = request.headers.get("x-amz-target", "")
        path = "Get " if request.method == "GET" else "Other "
        log.operations.append(named[0] if named else target.rpartition(".")[2] or path)
        return answer(server, request)

    monkeypatch.setattr(ApiServer, "aws", logged)
    return log


def asked(served: Served) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": served.url,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "GAMEDAY_DB_USER": "nobody",
        "GAMEDAY_DB_PASSWORD": "hush",
        "PGHOSTADDR": "127.0.0.1",  # No name of it is looked up anywhere.
    }


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_untagged_cluster_is_asked_to_change_nothing(
    gameday: Gameday, served: Served, log: CallLog, drill: str, command: str
) -> None:
    """By the log of the control plane itself, whatever the command line says that it did."""
    name = f"untagged-{command}"
    served.start_cluster(id=name, readers=1, tags={})
    yes = ["--yes"] if command == "run" else []
    done = inside(gameday, command, drill, "--cluster", name, *yes, **asked(served))
    assert done.returncode == 4, done.stderr
    assert "add-tags-to-resource" in done.stderr + done.stdout
    assert len(log.operations) > 5
    assert log.changing == []
    assert served.cluster(name)["TagList"] == []
    assert gameday.runs.exists() == (command == "run")
