"""A plan on a real test cluster: everything is looked at, nothing is left in it."""

from __future__ import annotations

from pathlib import Path

from chaos.aws.rds import ApiCall
from chaos.cli.target import Target
from chaos.clock import Anchor
from chaos.db.endpoint_names import EndpointNames
from chaos.db.sessions import Sessions
from chaos.definition.experiment import Experiment
from chaos.faults.base import Context
from chaos.run.admission import Around
from chaos.run.permissions import policy_of
from chaos.run.plan import plan_of
from chaos.run.session import key_of
from chaos.safety.limits import SafetyFile

TABLES = "SELECT schemaname || '.' || relname FROM pg_stat_user_tables ORDER BY 1"
EXPERIMENT = Experiment.model_validate(
    {
        "version": 1,
        "name": "drill",
        "claim": "Nothing happens.",
        "method": [
            {"fault": "delete-reader"},
            {"fault": "scale-capacity", "min_acu": 1, "max_acu": 4},
            {"fault": "long-transaction"},
            {"fault": "hang-instance", "target": "writer"},
        ],
        "objectives": [{"check": "restored"}],
    }
)


def test_a_plan_reads_the_cluster_and_changes_nothing_in_it(target: Target, tmp_path: Path) -> None:
    before = target.topology()
    database = Sessions(target.connect(before))
    tables = database.query("cluster", TABLES)
    calls: list[ApiCall] = []
    target.rds.on_call(calls.append)
    anchor = Anchor.take()
    around = Around(
        context=Context(
            target.rds, database, target.control, EndpointNames(target.connect(before))
        ),
        account=target.rds.account,
        kind=target.kind(before),
        safety=SafetyFile(),
        now=anchor.wall(anchor.monotonic_ns),
        run="plan",
        runs=tmp_path,
    )
    plan = plan_of(EXPERIMENT, before, around)
    assert not plan.refused, plan.refusals
    assert [one.aim.refusal for one in plan.foreseen] == [None] * 4
    assert len(calls) > 5
    assert not [call for call in calls if call.changes]
    assert target.topology() == before
    assert target.control is not None
    assert not target.control.status().get("disturbances")
    assert database.query("cluster", TABLES) == tables
    assert database.held(key_of("plan", 3)) == 0
    assert list(tmp_path.iterdir()) == []
    told = plan.as_json()
    assert [step["asks"] != [] for step in told["steps"]] == [False, False, False, True]
    actions = {a for one in policy_of(plan)["Statement"] for a in one["Action"]}
    assert actions >= {"rds:DeleteDBInstance", "rds:CreateDBInstance", "rds:ModifyDBCluster"}
    assert "rds:FailoverDBCluster" not in actions
