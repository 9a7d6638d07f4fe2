"""What a plan tells of a run, on a cluster in memory: steps, counts, SQL, time, money; nothing sent."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fix_rds import FakeRds, VirtualClock, member, topology

from chaos.definition.experiment import Experiment
from chaos.errors import DatabaseError, GuardRefused
from chaos.model.topology import Capacity, Role
from chaos.run.admission import Around, dead_runs, situation_of
from chaos.run.journal import Journal
from chaos.run.permissions import policy_of
from chaos.run.plan import Plan, plan_of
from chaos.run.rehearsal import READS
from chaos.safety import ports
from chaos.safety.estimate import cost
from chaos.safety.limits import SafetyFile
from chaos.safety.undo import CreateInstance, DropTables, SetCapacity, SetInstance

ACCOUNT = "123456789012"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def experiment(*steps: dict[str, Any], **fields: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "version": 1,
            "name": "drill",
            "claim": "Nothing happens.",
            "workload": {"warmup_s": 5, "cooldown_s": 5},
            "method": steps,
            "objectives": [{"check": "restored"}],
            **fields,
        }
    )


def planned(rds: FakeRds, made: Experiment, tmp_path: Path, **safety: Any) -> Plan:
    return plan_of(made, rds.state, around(rds, tmp_path, **safety))


def around(rds: FakeRds, tmp_path: Path, **safety: Any) -> Around:
    return Around(
        context=rds.context,
        account=rds.account,
        kind="aws",
        safety=SafetyFile.model_validate({"accounts": (ACCOUNT,), **safety}),
        now=NOW,
        run="plan",
        runs=tmp_path,
    )


def counts(calls: Any) -> dict[str, int]:
    return {call.operation: call.count for call in calls}


def test_a_plan_sends_nothing_and_tells_steps_in_order(rds: FakeRds, tmp_path: Path) -> None:
    made = experiment(
        {"fault": "delete-reader", "target": "i3", "repeat": 2},
        {
            "do": "nested",
            "repeat": 3,
            "outer": {"fault": "scale-capacity", "min_acu": 2, "max_acu": 4},
            "steps": [{"fault": "failover-cluster", "target": "i2"}],
        },
        rollback=["restore-writer"],
    )
    plan = planned(rds, made, tmp_path)
    assert rds.calls == []
    told = json.loads(json.dumps(plan.as_json()))
    assert not plan.refused, told["guards"]
    deletion, nested = told["steps"]
    assert (deletion["fault"], deletion["targets"], deletion["times"]) == (
        "delete-reader",
        ["i3"],
        2,
    )
    assert nested["name"] == "nested 1"
    assert [(s["step"], s["fault"], s["times"]) for s in nested["steps"]] == [
        ("2", "scale-capacity", 3),
        ("3", "failover-cluster", 3),
    ]
    assert [r["action"] for r in told["undo"]] == [
        "release-lease",
        "drop-tables",
        "restore-writer",
        "create-instance",
        "set-capacity",
    ]
    changing = counts(plan.changing)
    assert changing["DeleteDBInstance"] == 2
    assert changing["CreateDBInstance"] == 2
    assert changing["FailoverDBCluster"] == 3 * 2 + 1, "again once if it is ignored, and rollback"
    assert changing["ModifyDBCluster"] == 3 * 2 + 3
    assert changing["RemoveTagsFromResource"] == 1
    reading = counts(plan.reading)
    assert reading["DescribeDBClusters"] > 4 * plan.situation.estimate.expected_s
    assert reading["GetSafetyLever"] == 1
    policy = policy_of(plan)
    assert policy["Statement"]


def test_what_is_refused_is_told_and_has_no_policy(rds: FakeRds, tmp_path: Path) -> None:
    made = experiment({"fault": "failover-cluster", "target": "i9"}, {"fault": "noop"})
    plan = planned(rds, made, tmp_path)
    assert plan.refused
    told = plan.as_json()
    assert "i9 is no reader" in told["steps"][0]["refusal"]
    assert told["steps"][1]["refusal"] is None
    with pytest.raises(GuardRefused, match="step 1 calls is not known"):
        policy_of(plan)


def test_faults_that_may_not_be_under_way_at_once_refuse(rds: FakeRds, tmp_path: Path) -> None:
    made = experiment(
        {
            "do": "parallel",
            "steps": [
                {"fault": "reboot-instance", "target": "i2"},
                {"fault": "delete-reader", "target": "i2"},
            ],
        }
    )
    told = planned(rds, made, tmp_path).refusals["targets"]
    assert told is not None
    assert "at once" in told


def test_a_fault_of_test_clusters_is_refused_on_aws(rds: FakeRds, tmp_path: Path) -> None:
    told = planned(rds, experiment({"fault": "power-loss", "target": "i2"}), tmp_path).refusals[
        "targets"
    ]
    assert told is not None
    assert "test cluster only" in told


def test_sql_is_told_with_its_place_and_not_sent(rds: FakeRds, tmp_path: Path) -> None:
    plan = planned(rds, experiment({"fault": "long-transaction"}), tmp_path)
    told = plan.as_json()["sql"]
    assert told[0]["statement"] == "i1: 1 session kept open"
    assert any("SET TRANSACTION" in one["statement"] for one in told)
    assert not [call for call in rds.calls if call[0] == "hold"]


def test_a_rehearsal_asks_only_what_reads() -> None:
    """Every call of a port is either named as one that reads, or noted instead of made."""
    changing = {
        "failover", "reboot", "create_instance", "delete_instance", "modify_instance",
        "set_capacity", "stop_cluster", "start_cluster", "modify_endpoint", "switchover_global",
        "failover_global", "set_tags", "remove_tags", "query", "round_trips", "hold", "drop", "spin",
        "end_sessions", "begin", "end", "pause", "resume",
    }  # fmt: skip
    found = {
        name
        for port in (ports.Rds, ports.Database, ports.Control, ports.Load)
        for name in vars(port)
        if not name.startswith("_")
    }
    assert found - changing == READS & found
    assert not changing & READS


@pytest.mark.parametrize(
    ("step", "usual_s"),
    [
        ({"fault": "noop", "hold_s": 10, "settle_s": 1, "repeat": 2}, 22),
        ({"do": "sequence", "repeat": 2, "steps": [{"fault": "noop", "hold_s": 7}] * 2}, 40),
        ({"do": "parallel", "steps": [{"fault": "noop", "hold_s": h} for h in (7, 17)]}, 20),
        (
            {"do": "random", "within_s": 60, "times": 2, "steps": [{"fault": "noop", "hold_s": 7}]},
            80,
        ),
    ],
)
def test_a_duration_is_what_the_steps_take_together(
    rds: FakeRds, tmp_path: Path, step: dict[str, Any], usual_s: float
) -> None:
    estimate = planned(rds, experiment(step), tmp_path).situation.estimate
    assert estimate.expected_s == pytest.approx(5 + 5 + 15 + usual_s)
    assert estimate.longest_s > estimate.expected_s


def test_a_cost_is_by_the_prices_given_or_unknown() -> None:
    hour_s = 3600.0
    records = [
        SetInstance(instance="i1", setting="DBInstanceClass", value="db.r6g.large", run_value="x"),
        DropTables(run="r"),
    ]
    prices = {"db.r6g.large": 0.5, "x": 2.0}
    members = [replace(m, instance_class="db.r6g.large") for m in topology().members]
    state = topology(members=tuple(members))
    assert cost(state, records, prices, hour_s)[0] == pytest.approx(3 * 0.5 + 2.0)
    assert cost(state, records, {}, hour_s) == (None, ("db.r6g.large", "x"))
    again = CreateInstance(instance="i2", settings={"DBInstanceClass": "db.r6g.large"})
    usd, _ = cost(state, [again], prices, 60)
    assert usd == pytest.approx(3 * 0.5 / 60 + 0.5 / 6), "ten minutes at least"
    serverless = (replace(member("i1", Role.WRITER), instance_class="db.serverless"),)
    state = topology(members=serverless, capacity=Capacity(min_acu=1, max_acu=8))
    bounds = SetCapacity(min_acu=1, max_acu=8, run_min_acu=2, run_max_acu=16)
    assert cost(state, [bounds], {"acu_hour": 0.1}, hour_s)[0] == pytest.approx(1.6)
    assert cost(state, [bounds], {}, hour_s) == (None, ("acu_hour",))


def test_a_run_that_died_with_something_open_is_found_and_one_that_goes_on_is_not(
    tmp_path: Path, clock: VirtualClock
) -> None:
    def left(name: str, *, resource: str = "cluster-ABC", access: str = "named") -> Journal:
        folder = tmp_path / name
        folder.mkdir()
        environment = {"resource_id": resource, "cluster_access": access}
        (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
        return Journal(folder / "journal.jsonl", clock, lambda _: None)

    journals = {
        "died": left("died"),
        "restored": left("restored"),
        "other": left("other", resource="cluster-XYZ"),
        "embedded": left("embedded", access="embedded"),
        "goes-on": left("goes-on"),
    }
    for name, journal in journals.items():
        number = journal.undo(DropTables(run=name), "c1")
        if name == "restored":
            journal.undone(number, "done")
        if name != "goes-on":
            journal.close()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "environment.json").write_text("{", encoding="utf-8")
    assert dead_runs(tmp_path, topology()) == {"died": ""}
    journals["goes-on"].close()
    assert set(dead_runs(tmp_path, topology())) == {"died", "goes-on"}


def test_where_the_database_cannot_be_seen_nothing_of_it_is_guessed(
    rds: FakeRds, tmp_path: Path
) -> None:
    def refuse(endpoint: str) -> Any:
        raise DatabaseError(f"endpoint {endpoint}: no password")

    rds.identify = refuse  # type: ignore[method-assign]
    plan = planned(rds, experiment({"fault": "reboot-instance"}), tmp_path)
    assert {name for name, why in plan.refusals.items() if why} == {"targets", "reachable"}
    aims = situation_of(plan.experiment, rds.state, around(rds, tmp_path)).aims
    assert aims[0].calls == ()
