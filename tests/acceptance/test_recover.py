"""Kill -9 of the runner: undo records on disk restore the cluster, nothing else is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from conftest import Gameday

from chaos.model.record import read_events
from chaos.wait import wait_until

PATIENCE_S = 240
DRILL = {
    "version": 1,
    "name": "drill",
    "claim": "A reader comes back.",
    "workload": {"arms": [{"arm": "resilient"}], "warmup_s": 3, "cooldown_s": 1},
    "method": [{"fault": "delete-reader", "target": "any reader", "hold_s": 1}],
    "objectives": [{"check": "restored"}],
}

pytestmark = [pytest.mark.spread, pytest.mark.seconds(25)]


@pytest.fixture
def standing(gameday: Gameday) -> Iterator[str]:
    """A test cluster that outlives the run."""
    up = gameday("cluster", "up", "--identifier", "drill", "--quiet")
    assert up.returncode == 0, up.stderr
    yield "drill"
    gameday("cluster", "down", "drill", "--quiet")


def members(gameday: Gameday, cluster: str) -> dict[str, str]:
    status = json.loads(gameday("cluster", "status", cluster, "--json").stdout)
    return {i["id"]: i["status"] for i in status["instances"]}


def killed_during(process: subprocess.Popen[str], runs: Path, verb: str) -> None:
    """Kill the runner with SIGKILL once its journal has a fault's verb."""

    def reached() -> bool:
        return any(
            event.data.get("verb") == verb
            for journal in runs.glob("*/journal.jsonl")
            for event in read_events(journal)
        )

    wait_until(reached, f"{verb} in the journal", timeout_s=PATIENCE_S)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("verb", ["inject", "recover"])
def test_a_deleted_reader_comes_back_after_kill_9(
    gameday: Gameday,
    standing: str,
    verb: str,
    tmp_path: Path,
) -> None:
    file = tmp_path / "drill.yaml"
    file.write_text(json.dumps(DRILL), encoding="utf-8")
    before = members(gameday, standing)
    process = gameday.start("run", str(file), "--cluster", standing)
    killed_during(process, gameday.runs, verb)

    done = gameday("recover")
    assert done.returncode == 0, done.stderr
    wait_until(
        lambda: members(gameday, standing) == before,
        "every member to be back",
        timeout_s=PATIENCE_S,
        interval_s=0.5,
    )
    assert "nothing to recover" in gameday("recover").stderr
    (folder,) = gameday.runs.glob("*/journal.jsonl")
    undone = [e for e in read_events(folder) if e.type == "undone"]
    assert {e.data["id"] for e in undone} == {"u1", "u2", "u3"}  # Lease, tables, reader.


def test_a_killed_runner_leaves_no_process_of_an_embedded_cluster(
    gameday: Gameday, descendants: Callable[[int], list[psutil.Process]]
) -> None:
    process = gameday.start("run", "control")
    wait_until(
        lambda: any(
            e.data.get("phase") == "warm-up"
            for journal in gameday.runs.glob("*/journal.jsonl")
            for e in read_events(journal)
        ),
        "the warm-up",
        timeout_s=PATIENCE_S,
    )
    tree = descendants(process.pid)
    assert len(tree) > 5
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(tree, timeout=PATIENCE_S)
    assert alive == []
    assert "nothing is left" in gameday("recover").stderr
