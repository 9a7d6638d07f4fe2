"""The main job end to end: one command fails a cluster over under load and says what clients felt."""

from __future__ import annotations

import json
import re
from pathlib import Path

from conftest import Gameday

SECRETS = re.compile(rb"password|secret", re.IGNORECASE)


def test_writer_failover_passes_for_prepared_clients_and_shows_the_others(gameday: Gameday) -> None:
    """The demo: the resilient arm recovers, the pool as people configure it stays poisoned."""
    done = gameday("run", "writer-failover")
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = gameday.verdict()
    assert verdict["status"] == "completed"
    assert verdict["verdict"] == "pass"
    assert verdict["cluster_kind"] == "test"

    (fault,) = verdict["faults"]
    assert fault["effect"] == "taken"
    assert fault["requested_target"] != fault["actual_target"]
    named = {i["name"]: i for i in fault["instants"] if i.get("at_s") is not None}
    for name in ("requested", "API accepted"):
        assert name in named, sorted(named)

    windows = {
        (f["arm"], f["operation"]): f
        for f in verdict["findings"]
        if f["check"] in {"interruption", "windows"} and f["endpoint"] == "cluster"
    }
    resilient = windows["resilient", "write"]
    assert 0.2 < resilient["measured"] < 10
    assert 0 < resilient["uncertainty_s"] < resilient["measured"]
    assert abs(resilient["to"] - resilient["from"] - resilient["measured"]) < 1e-6
    poisoned = windows["default-pool", "write"]
    assert poisoned["verdict"] is None
    assert poisoned["measured"] > resilient["measured"]

    assert verdict["writes"]["acknowledged"] > 300
    assert verdict["writes"]["lost"] == 0
    assert verdict["writes"]["arms"]["resilient"]["duplicated"] == 0


def test_a_run_folder_is_complete_and_holds_no_secret(gameday: Gameday) -> None:
    done = gameday("run", "control", "--set", "HOLD_S=3", "--json", "--arm", "default-pool")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = gameday.folder()
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "experiment.yaml",
        "environment.json",
        "journal.jsonl",
        "observations.jsonl",
        "operations",
        "ledger.json",
        "verdict.json",
        "report.html",
        "junit.xml",
    }
    assert json.loads(done.stdout) == gameday.verdict()
    for path in folder.rglob("*"):
        if path.is_file():
            assert not SECRETS.search(path.read_bytes().replace(b"CopyTags", b"")), path

    again = gameday("judge", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == json.loads(done.stdout)


def test_other_experiments_that_ship_pass(gameday: Gameday) -> None:
    for name in ("writer-reboot", "reader-loss", "capacity-step"):
        done = gameday("run", name, "--quiet")
        assert done.returncode == 0, name + done.stdout + done.stderr


def test_a_missed_objective_fails(gameday: Gameday, tmp_path: Path) -> None:
    strict = tmp_path / "strict.yaml"
    strict.write_text(
        """\
version: 1
name: strict
claim: Nobody feels a failover.
workload: {arms: [{arm: resilient}]}
method: [{fault: failover-cluster}]
objectives:
  - {check: interruption, arm: resilient, endpoint: cluster, operation: write, interruption_s_max: 0.05}
""",
        encoding="utf-8",
    )
    done = gameday("run", str(strict))
    assert done.returncode == 1, done.stdout + done.stderr
    assert gameday.verdict()["verdict"] == "fail"
