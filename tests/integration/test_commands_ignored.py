"""Commands that the API accepts and the cluster does not carry out, or never finishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fix_rds_model import Served

from chaos.testcluster.disturbances import DISTURBANCES
from chaos.testcluster.disturbances.registry import parse
from chaos.testcluster.records import ApiError
from chaos.wait import wait_until

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def name(served: Served) -> str:
    """A cluster of a writer and two readers that the tests of this module share."""
    served.start_cluster(id="obeys", readers=2)
    return "obeys"


@pytest.fixture(autouse=True)
def nothing_is_left(served: Served, name: str) -> Iterator[None]:
    """End what a test began, and wait until all of the cluster is available."""
    yield
    for active in served.estate.disturbances.active():
        served.estate.disturbances.end(active.id)
    wait_until(lambda: settled(served, name), "the cluster to be available", timeout_s=PATIENCE_S)


def begin(served: Served, kind: str, **parameters: Any) -> str:
    return served.estate.disturbances.begin(parse({"kind": kind, **parameters}, DISTURBANCES)).id


def end(served: Served, identifier: str) -> None:
    assert served.estate.disturbances.end(identifier)


def described(served: Served, name: str) -> dict[str, Any]:
    (cluster,) = served.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
    return dict(cluster)


def writer(served: Served, name: str) -> str:
    members = described(served, name)["DBClusterMembers"]
    return next(str(m["DBInstanceIdentifier"]) for m in members if m["IsClusterWriter"])


def statuses(served: Served, name: str) -> dict[str, str]:
    found = served.rds.describe_db_instances(Filters=[{"Name": "db-cluster-id", "Values": [name]}])[
        "DBInstances"
    ]
    return {i["DBInstanceIdentifier"]: i["DBInstanceStatus"] for i in found}


def settled(served: Served, name: str) -> bool:
    return described(served, name)["Status"] == "available" and set(
        statuses(served, name).values()
    ) == {"available"}


@pytest.mark.parametrize("kind", ["ignore-failover", "failover-does-nothing"])
def test_so_many_failovers_are_not_done_and_then_one_is(
    served: Served, name: str, kind: str
) -> None:
    core = served.estate.database(name).core
    begin(served, kind, cluster=name, times=2)
    old = core.writer
    for _ in range(2):
        served.rds.failover_db_cluster(DBClusterIdentifier=name)
        wait_until(lambda: settled(served, name), "its end", timeout_s=PATIENCE_S)
        assert core.writer == old
    served.rds.failover_db_cluster(DBClusterIdentifier=name)
    wait_until(
        lambda: settled(served, name) and core.writer != old, "the third", timeout_s=PATIENCE_S
    )
    wait_until(lambda: writer(served, name) == core.writer, "the API", timeout_s=PATIENCE_S)


def test_so_many_changes_of_capacity_are_not_applied_and_then_one_is(
    served: Served, name: str
) -> None:
    def ask(max_acu: float) -> float:
        served.rds.modify_db_cluster(
            DBClusterIdentifier=name,
            ServerlessV2ScalingConfiguration={"MinCapacity": 1, "MaxCapacity": max_acu},
            ApplyImmediately=True,
        )
        wait_until(lambda: settled(served, name), "its end", timeout_s=PATIENCE_S)
        return float(described(served, name)["ServerlessV2ScalingConfiguration"]["MaxCapacity"])

    before = ask(4)
    assert before == 4
    begin(served, "ignore-capacity", cluster=name, times=1)
    with pytest.raises(ApiError, match="in force for cluster obeys already"):
        begin(served, "ignore-capacity", cluster=name)
    assert ask(6) == before
    assert ask(6) == 6


def test_capacities_stay_though_the_bounds_are_shown(
    served: Served, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = served.estate.database(name)
    core = cluster.core
    looks: list[None] = []
    monkeypatch.setattr(cluster._serverless._rest, "forget_dead", lambda: looks.append(None))

    def capacities() -> set[float | None]:
        with core.lock:
            return {member.capacity_acu for member in core.members.values()}

    def ask(min_acu: float) -> None:
        served.rds.modify_db_cluster(
            DBClusterIdentifier=name,
            ServerlessV2ScalingConfiguration={"MinCapacity": min_acu, "MaxCapacity": 8},
            ApplyImmediately=True,
        )
        wait_until(
            lambda: (
                settled(served, name)
                and described(served, name)["ServerlessV2ScalingConfiguration"]["MinCapacity"]
                == min_acu
            ),
            "the bounds",
            timeout_s=PATIENCE_S,
        )

    stuck = begin(served, "capacity-stuck", cluster=name)
    before = capacities()
    ask(8)
    seen = len(looks)
    wait_until(lambda: len(looks) > seen + 3, "looks at the load", timeout_s=PATIENCE_S)
    assert capacities() == before
    assert all(acu is not None and acu < 8 for acu in before)
    end(served, stuck)
    wait_until(
        lambda: all(acu is not None and acu == 8 for acu in capacities()),
        "the capacities",
        timeout_s=PATIENCE_S,
    )
    ask(0.5)


@pytest.mark.parametrize("role", ["reader", "writer"])
def test_an_instance_that_is_rebooted_never_returns(served: Served, name: str, role: str) -> None:
    chosen = writer(served, name)
    if role == "reader":
        chosen = min(set(statuses(served, name)) - {chosen})
    away = begin(served, "instance-never-returns", instance=chosen.upper())
    with pytest.raises(ApiError, match=f"in force for instance {chosen} already"):
        begin(served, "instance-never-returns", instance=chosen)
    served.rds.reboot_db_instance(DBInstanceIdentifier=chosen)
    node = served.estate.database(name).core.members[chosen].node
    wait_until(lambda: node.pid is None, "it to go down", timeout_s=PATIENCE_S)
    other = min(set(statuses(served, name)) - {chosen, writer(served, name)})
    served.rds.reboot_db_instance(DBInstanceIdentifier=other)
    wait_until(
        lambda: statuses(served, name)[other] == "available", "another", timeout_s=PATIENCE_S
    )
    assert (statuses(served, name)[chosen], node.pid) == ("rebooting", None)
    end(served, away)
    wait_until(
        lambda: statuses(served, name)[chosen] == "available", "its return", timeout_s=PATIENCE_S
    )


def test_a_deleted_instance_is_listed_on(served: Served, name: str) -> None:
    core = served.estate.database(name).core
    lingering = begin(served, "deletions-linger", cluster=name)
    served.rds.create_db_instance(
        DBInstanceIdentifier="brief",
        DBClusterIdentifier=name,
        DBInstanceClass="db.serverless",
        Engine="aurora-postgresql",
    )
    wait_until(lambda: settled(served, name), "a third reader", timeout_s=PATIENCE_S)
    data = core.members["brief"].node.data
    served.rds.delete_db_instance(DBInstanceIdentifier="brief", SkipFinalSnapshot=True)
    wait_until(lambda: not data.exists(), "its server and data to go", timeout_s=PATIENCE_S)
    assert statuses(served, name)["brief"] == "deleting"
    end(served, lingering)
    wait_until(
        lambda: "brief" not in statuses(served, name), "it to be forgotten", timeout_s=PATIENCE_S
    )


def test_maintenance_is_shown_of_what_it_is_planned_for(served: Served, name: str) -> None:
    instance = writer(served, name)
    begin(served, "pending-maintenance", cluster=name, action="db-upgrade", in_s=60)
    of_instance = begin(served, "pending-maintenance", instance=instance)
    arn = described(served, name)["DBClusterArn"]
    ask = served.rds.describe_pending_maintenance_actions

    def shown(**filters: Any) -> dict[str, list[str]]:
        return {
            r["ResourceIdentifier"]: [d["Action"] for d in r["PendingMaintenanceActionDetails"]]
            for r in ask(**filters)["PendingMaintenanceActions"]
        }

    assert shown(ResourceIdentifier=arn) == {arn: ["db-upgrade"]}
    assert shown(Filters=[{"Name": "db-cluster-id", "Values": [arn]}]) == {arn: ["db-upgrade"]}
    (found,) = shown(Filters=[{"Name": "db-instance-id", "Values": [instance]}]).items()
    assert found == (f"arn:aws:rds:eu-west-1:000000000000:db:{instance}", ["system-update"])
    assert len(shown()) == 2
    end(served, of_instance)
    assert shown() == {arn: ["db-upgrade"]}
    with pytest.raises(ApiError, match="nobody not found"):
        begin(served, "pending-maintenance", instance="nobody")


def test_a_deployment_is_shown_of_its_cluster(served: Served, name: str) -> None:
    ask = served.rds.describe_blue_green_deployments
    assert ask()["BlueGreenDeployments"] == []
    planned = begin(served, "blue-green-deployment", cluster=name, status="PROVISIONING")
    arn = described(served, name)["DBClusterArn"]
    (found,) = ask(Filters=[{"Name": "source", "Values": [arn]}])["BlueGreenDeployments"]
    assert (found["Source"], found["Status"]) == (arn, "PROVISIONING")
    identifier = found["BlueGreenDeploymentIdentifier"]
    assert ask(BlueGreenDeploymentIdentifier=identifier)["BlueGreenDeployments"] == [found]
    end(served, planned)
    with pytest.raises(served.rds.exceptions.BlueGreenDeploymentNotFoundFault, match=identifier):
        ask(BlueGreenDeploymentIdentifier=identifier)
