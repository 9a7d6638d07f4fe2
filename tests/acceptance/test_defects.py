"""Every planted defect is caught by the check that it names; a healthy cluster passes the same ones.

What needs traffic is a whole `gameday run`. The others are the same run with the probes as its only
clients, which start in a second: their writes through the cluster endpoint are traffic enough.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Gameday
from inside import inside

from chaos.cli import judgement, target
from chaos.cli import run as command
from chaos.cli.defect import parsed
from chaos.cli.terminal import Terminal
from chaos.definition.experiment import Experiment
from chaos.model.access import DatabaseAccess
from chaos.model.ledger import Ledger
from chaos.model.operation import Kind, OperationWriter, Outcome
from chaos.run.interrupt import InterruptibleClock
from chaos.safety.limits import SafetyFile
from chaos.testcluster.disturbances.defects import DEFECTS
from chaos.testcluster.records import ClusterSpec
from loadgen import ledger
from loadgen.configured import ArmRules
from loadgen.ledger_connection import connection_for
from loadgen.probes.config import ProbesConfig
from loadgen.probes.driver import Probes
from loadgen.tables import table_of
from loadgen.workload import LocustWorkload

pytestmark = [pytest.mark.spread, pytest.mark.seconds(20)]

INTERRUPTION_S_MAX = 5
"""A healthy failover takes about two; each may be longer by what a busy machine stands still."""
FAILOVER = {
    "fault": "failover-cluster",
    "settle_s": 0,
    "effect_timeout_s": 60,
    "recovery_timeout_s": 120,
}
LONGER = {**FAILOVER, "settle_s": INTERRUPTION_S_MAX + 3}
"""A window longer than the limit is recorded whole, however fast the cluster recovers."""


def experiment(step: dict[str, Any], arm: str) -> dict[str, Any]:
    about = {"arm": arm, "endpoint": "cluster", "operation": "write"}
    return {
        "version": 1,
        "name": "planted",
        "claim": "A failover interrupts writes for 5 s at most, loses none, and all is as before.",
        "workload": {
            "arms": [{"arm": "resilient"}],
            "writes_per_s": 40,
            "reads_per_s": 10,
            "warmup_s": 3,
            "cooldown_s": 1,
        },
        "method": [step],
        "objectives": [
            {"check": "interruption", **about, "interruption_s_max": INTERRUPTION_S_MAX},
            {"check": "acknowledged-writes", "lost_writes_max": 0},
            {"check": "restored"},
        ],
    }


@dataclass(frozen=True)
class Case:
    """A defect with its parameters, the fault under which it shows, and what is found, a pattern."""

    defect: str
    check: str
    why: str
    step: dict[str, Any] = field(default_factory=lambda: FAILOVER)


CASES = (
    Case("two-writers", "single-writer", "(?=.*gameday-instance-1).*gameday-instance-[23]", LONGER),
    Case("dns-never-moves", "interruption", "no recovery recorded", LONGER),
    Case(
        "readers-never-return",
        "restored",
        "is rebooting",
        {**FAILOVER, "recovery_timeout_s": 3},
    ),
    Case("slow-recovery:extra_s=8", "interruption", ""),
    Case(
        "topology-disagrees",
        "restored",
        "is writer by SQL, reader by the API",
        {"fault": "noop", "hold_s": 1, "settle_s": 0},
    ),
    Case(
        "failover-does-nothing",
        "restored",
        "is reader by SQL, writer by the API",
        {**FAILOVER, "effect_timeout_s": 3, "settle_s": 3},
    ),
    Case(
        "capacity-never-restored",
        "restored",
        "capacity of gameday is 0.5-4 ACU, it was 0.5-8",
        {  # Bounds that the capacity of an idle cluster lies in already.
            "fault": "scale-capacity",
            "min_acu": 0.5,
            "max_acu": 4,
            "settle_s": 0,
            "effect_timeout_s": 20,
            "recovery_timeout_s": 3,
        },
    ),
)


class ProbesOnly(LocustWorkload):
    """The workload without Locust; its tables go with the cluster, whose name may lead nowhere."""

    def workers(self, access: DatabaseAccess, folder: Path) -> Sequence[Any]:
        return (Probes(ProbesConfig(run=folder.name), access, folder),)

    def reconcile(self, access: DatabaseAccess, folder: Path, run: str) -> Ledger:
        return Ledger(why="only probes wrote")

    def drop(self, access: DatabaseAccess, run: str) -> None:
        pass


@pytest.fixture
def probed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Do what `gameday run --defect` does, with probes for clients; return its verdict."""
    monkeypatch.setattr(command, "LocustWorkload", lambda *_: ProbesOnly((), 0))
    monkeypatch.setattr(target, "_EMBEDDED_UNDO_TIMEOUT_S", 3.0)

    def run(step: dict[str, Any], *defects: str, **objective: Any) -> dict[str, Any]:
        asked = experiment(step, "probe")
        if objective:
            asked["objectives"] = [objective]
        folder, _ = command._carried_out(
            Experiment.model_validate(asked),
            ArmRules(tmp_path),
            None,
            ClusterSpec(),
            defects=[parsed(text) for text in defects],
            workers=None,
            safety=SafetyFile(),
            out=tmp_path,
            clock=InterruptibleClock(),
            terminal=Terminal(quiet=True),
            yes=False,
        )
        judgement.judge_folder(folder)
        verdict: dict[str, Any] = json.loads((folder / "verdict.json").read_text())
        return verdict

    return run


def found(verdict: dict[str, Any], check: str) -> dict[str, Any]:
    """The judged finding of a check."""
    (one,) = [f for f in verdict["findings"] if f["check"] == check and f["verdict"] is not None]
    return dict(one)


def test_every_defect_has_a_case_for_the_check_that_it_names() -> None:
    named = {d.model_fields["kind"].default: d.caught_by for d in DEFECTS}
    cases = {case.defect.partition(":")[0]: case.check for case in CASES}
    others = {
        "loses-acknowledged-writes": "acknowledged-writes",
        "poisoned-promotion": "poisoned-pool",
        "stale-reader": "staleness",
    }
    assert cases | others == named


@pytest.mark.alone
def test_without_a_defect_the_probes_find_nothing(probed_run: Callable[..., Any]) -> None:
    verdict = probed_run({**FAILOVER, "settle_s": 6})
    for check in ("interruption", "restored"):
        assert found(verdict, check)["verdict"] == "pass", found(verdict, check)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.defect)
def test_a_defect_is_caught(case: Case, probed_run: Callable[..., Any]) -> None:
    verdict = probed_run(case.step, case.defect)
    finding = found(verdict, case.check)
    assert finding["verdict"] == "fail", verdict["findings"]
    assert re.search(case.why, finding["why"]), finding["why"]
    if case.defect == "topology-disagrees":
        # Who is asked first may be the reader that the API names: then that was told before.
        told = [f for f in verdict["findings"] if f["check"] == "topology"]
        assert {f["verdict"] for f in told} == {"unknown"}, told
        assert "gameday-instance-1 by SQL" in told[-1]["why"]
    assert verdict["verdict"] == "fail"


def test_a_stale_reader_is_caught_by_what_it_lacks(
    probed_run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One acknowledged write is enough: the reader never got the table, the other one has it all."""

    def reconcile(_: object, access: DatabaseAccess, folder: Path, run: str) -> Ledger:
        with connection_for(access, "cluster", "write") as connection:
            connection.execute(
                f"INSERT INTO {table_of(run)} (arm, write_id, attempt, keyed)"
                " VALUES ('resilient', 1, 1, false)"
            )
        now_ns = time.monotonic_ns()
        with OperationWriter(folder / "operations", "resilient") as operations:
            operations.operation(
                kind=Kind.WRITE, endpoint="cluster", intended_ns=now_ns, started_ns=now_ns,
                ended_ns=now_ns, outcome=Outcome.OK, write_id=1,
            )  # fmt: skip
        return ledger.reconcile(access, folder, run, readers_timeout_s=5)

    monkeypatch.setattr(ProbesOnly, "reconcile", reconcile)
    step = {"fault": "noop", "hold_s": 1, "settle_s": 0}
    verdict = probed_run(step, "stale-reader", check="staleness", staleness_s_max=1)
    stale = [f for f in verdict["findings"] if f["check"] == "staleness" and f["endpoint"]]
    (finding,) = [f for f in stale if f["verdict"] is not None]
    assert (finding["verdict"], finding["endpoint"]) == ("fail", "gameday-instance-2")
    assert finding["measured"] > 5, "so long it was waited for"
    assert "1 acknowledged writes were not on gameday-instance-2" in finding["why"]
    readers = verdict["writes"]["readers"]
    assert {name: told["missing"] for name, told in readers.items()} == {
        "gameday-instance-2": 1,
        "gameday-instance-3": 0,
    }


def test_lost_writes_are_caught_under_traffic(gameday: Gameday, tmp_path: Path) -> None:
    """The ledger finds them; that a healthy cluster loses none is what the demo's test shows."""
    file = tmp_path / "planted.yaml"
    asked = experiment(FAILOVER, "resilient")
    # Four seconds of writes: a busy machine stands still for less. The table is older than that.
    asked["workload"]["warmup_s"] = 8
    file.write_text(json.dumps(asked), encoding="utf-8")
    done = gameday("run", str(file), "--defect", "loses-acknowledged-writes:lost_s=4", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    finding = found(verdict, "acknowledged-writes")
    assert finding["verdict"] == "fail", verdict["findings"]
    assert "acknowledged writes are gone" in finding["why"]
    assert 0 < verdict["writes"]["lost"] == finding["measured"]
    environment = json.loads((gameday.folder() / "environment.json").read_text())
    assert [d["kind"] for d in environment["defects"]] == ["loses-acknowledged-writes"]


def test_a_poisoned_pool_is_caught_under_traffic(gameday: Gameday, tmp_path: Path) -> None:
    """The pool that keeps what refuses writes fails, the one that drops it passes: same fault."""
    file = tmp_path / "poisoned.yaml"
    asked = experiment({**FAILOVER, "settle_s": 6}, "resilient")
    # With overflow, a crowd (of a stalled machine, say) crosses the pool, and any five of it stay.
    keeping = {"arm": "default-pool", "pool": {"max_overflow": 0}}
    asked["workload"]["arms"] = [keeping, {"arm": "resilient"}]
    asked["objectives"] = [{"check": "poisoned-pool"}]
    file.write_text(json.dumps(asked), encoding="utf-8")
    defect = "poisoned-promotion:dns_lag_s=5"
    done = inside(gameday, "run", str(file), "--defect", defect, "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    pools = {f["arm"]: f for f in verdict["findings"] if f["check"] == "poisoned-pool"}
    assert {arm: pool["verdict"] for arm, pool in pools.items()} == {
        "default-pool": "fail",
        "resilient": "pass",
    }, pools
    assert pools["default-pool"]["to"] is None
    assert "is_disconnect" in pools["default-pool"]["why"]
    told = {pool["arm"]: pool for pool in verdict["poisoned"]}
    (switch,) = verdict["switching"]
    assert told["default-pool"]["instances"] == [switch["old_writer"]] == ["gameday-instance-1"]
    assert told["default-pool"]["refused"] >= told["default-pool"]["failed"] > 0
    assert told["default-pool"]["remaining"] > 0 == told["resilient"]["remaining"]
    heard = {one["witness"]: one["first_right"]["at_s"] for one in switch["answers"]}
    assert None not in (heard["probes"], heard["resilient"]), switch["answers"]


def test_a_defect_is_planted_and_lifted_from_the_command_line(gameday: Gameday) -> None:
    def planted() -> list[str]:
        shown = json.loads(inside(gameday, "cluster", "defect", "--json").stdout)
        return [defect["name"] for defect in shown["defects"] if defect["planted"]]

    up = inside(gameday, "cluster", "up", "--defect", "two-writers", "--quiet")
    assert up.returncode == 0, up.stderr
    try:
        more = inside(gameday, "cluster", "defect", "slow-recovery:extra_s=2.5", "--json")
        assert json.loads(more.stdout)["extra_s"] == 2.5, more.stderr
        assert planted() == ["two-writers", "slow-recovery"]
        twice = inside(gameday, "cluster", "defect", "two-writers")
        assert twice.returncode == 70
        assert "two-writers is planted in cluster gameday already" in twice.stderr
        lifted = inside(gameday, "cluster", "defect", "two-writers", "--lift", "--json")
        assert json.loads(lifted.stdout)["state"] == "lifted", lifted.stderr
        assert planted() == ["slow-recovery"]
        assert inside(gameday, "cluster", "defect", "two-writers", "--lift").returncode == 64
    finally:
        inside(gameday, "cluster", "down", "gameday")
