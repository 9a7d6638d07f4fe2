"""The main job end to end: one command fails a cluster over under load and says what clients felt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Gameday
from inside import inside
from machine import passed

pytestmark = pytest.mark.alone

# The others may be missing with a reason: a pool that never recovers has no steady state again.
SEEN_INSTANTS = {
    "requested",
    "API accepted",
    "first failed operation",
    "last commit on the old writer",
    "new writer by SQL",
    "API shows the new writer",
    "cluster DNS answers the new writer",
    "first new connection to the new writer",
    "first committed write",
}


def test_writer_failover_passes_for_prepared_clients_and_shows_the_others(gameday: Gameday) -> None:
    """The demo: the resilient arm recovers, the pool as people configure it stays poisoned."""
    done = passed(gameday, lambda: gameday("run", "writer-failover"))
    verdict = gameday.verdict()
    assert verdict["status"] == "completed"
    assert verdict["verdict"] == "pass"
    assert verdict["cluster_kind"] == "test"

    (fault,) = verdict["faults"]
    assert fault["effect"] == "taken"
    assert fault["requested_target"] != fault["actual_target"]
    named = {i["name"]: i for i in fault["instants"] if i["at_s"] is not None}
    assert set(named) >= SEEN_INSTANTS
    assert all(i["uncertainty_s"] is not None for i in named.values())
    at = {name: named[name]["at_s"] for name in SEEN_INSTANTS}
    # Seen at that instant, it was so earlier: by its uncertainty at most.
    since = {name: at[name] - named[name]["uncertainty_s"] for name in SEEN_INSTANTS}
    assert at["requested"] <= at["API accepted"]
    assert since["API accepted"] <= at["new writer by SQL"]
    assert since["new writer by SQL"] < at["cluster DNS answers the new writer"]
    assert since["last commit on the old writer"] < at["first new connection to the new writer"]
    missing = [i for i in fault["instants"] if i["at_s"] is None]
    assert all(i["why"] for i in missing)

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
    report = (gameday.folder() / "report.html").read_text(encoding="utf-8")
    for told in ("25006", "gameday-instance-1", "durations are modelled", "default-pool"):
        assert told in report
    assert str(gameday.folder() / "report.html") in done.stdout.replace("\n", "")

    listed = {(w["arm"], w["operation"], w["endpoint"]) for w in verdict["windows"]["list"]}
    assert listed >= {("default-pool", "write", "cluster"), ("resilient", "write", "cluster")}
    felt = {(w["arm"], w["operation"]) for w in verdict["repeats"][0]["windows"]}
    assert felt >= {("default-pool", "connect"), ("resilient", "connect")}
    ledger = {
        r["arm"]: r
        for r in verdict["retries"]["list"]
        if (r["operation"], r["over"]) == ("write", "run")
    }
    seen = ledger["default-pool"]["seen"]
    assert sum(seen["errors"].values()) >= seen["failed"] + seen["unknown"] > 0
    assert ledger["resilient"]["absorbed"]["operations"] > 0
    assert ledger["resilient"]["waited"]["max_s"] > 0
    compared = {
        (m["measure"], m["operation"], m["endpoint"]): m["arms"][1]["against_baseline"]
        for m in verdict["arms"]["measures"]
    }
    assert compared["interruption", "write", "cluster"] != "worse"
    assert compared["failed", "", ""] == "better"

    assert verdict["writes"]["acknowledged"] > 300
    assert verdict["writes"]["lost"] == 0
    assert verdict["writes"]["arms"]["resilient"]["duplicated"] == 0
    assert_a_missed_objective_fails(gameday)


def assert_a_missed_objective_fails(gameday: Gameday) -> None:
    """Judge the same data by an objective that the pool misses, whatever the generator was given."""
    environment = gameday.folder() / "environment.json"
    strict = json.loads(environment.read_text(encoding="utf-8"))
    strict["experiment"]["objectives"] = [
        {"check": "poisoned-pool", "arm": "default-pool", "poisoned_s_max": 0}
    ]
    environment.write_text(json.dumps(strict), encoding="utf-8")
    assert inside(gameday, "judge", "--json").returncode == 1
    findings = gameday.verdict()["findings"]
    (missed,) = (f for f in findings if f["verdict"] == "fail")
    assert (missed["check"], missed["arm"]) == ("poisoned-pool", "default-pool")


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gameday]:
    """A test cluster that the runs are on in turn: each leaves it as it was."""
    owner = Gameday(tmp_path_factory.mktemp("vault"))
    up = inside(owner, "cluster", "up", "--identifier", "vault", "--quiet")
    assert up.returncode == 0, up.stderr
    yield owner
    inside(owner, "cluster", "down", "vault")


def test_a_run_folder_is_complete_and_holds_no_secret(gameday: Gameday, vault: Gameday) -> None:
    (gameday.home / "state").symlink_to(vault.home / "state")
    control = ("run", "control", "--cluster", "vault", "--set", "HOLD_S=3", "--json")
    done = passed(gameday, lambda: gameday(*control))
    state = vault.home / "state" / "clusters" / "vault.json"
    secrets = set(passwords(json.loads(state.read_text(encoding="utf-8"))))
    folder = gameday.folder()
    assert {path.name for path in folder.iterdir()} >= {
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
    assert secrets
    for path in folder.rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in held], path
    assert b"HOLD_S=3" not in (folder / "environment.json").read_bytes()

    again = inside(gameday, "judge", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == json.loads(done.stdout)


def passwords(state: Any) -> Iterator[str]:
    """Every value below a key that names a password."""
    if isinstance(state, dict):
        for key, value in state.items():
            if "password" in key and isinstance(value, str):
                yield value
            else:
                yield from passwords(value)


@pytest.mark.parametrize("name", ["writer-reboot", "reader-loss", "capacity-step"])
def test_other_experiments_that_ship_pass(gameday: Gameday, vault: Gameday, name: str) -> None:
    (gameday.home / "state").symlink_to(vault.home / "state")
    passed(gameday, lambda: inside(gameday, "run", name, "--cluster", "vault", "--quiet"))
