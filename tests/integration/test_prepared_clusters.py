"""What a test cluster can be from the start, so that no experiment has to prepare it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from fix_server import LiveCluster

from chaos import names
from chaos.errors import HostError
from chaos.testcluster.process import lifecycle
from chaos.testcluster.process.control_address import ControlAddress
from chaos.testcluster.process.state import ClusterState
from chaos.testcluster.records import ClusterSpec, EndpointSpec
from chaos.wait import wait_until

PATIENCE_S = 60.0
WORLD = ClusterSpec(
    id="world",
    readers=2,
    reader_tiers=(0, 15),
    custom_endpoints=(
        EndpointSpec(id="Pinned", kind="READER", static=(2, 3)),
        EndpointSpec(id="rest", excluded=(1,)),
    ),
    secondary_region="us-east-1",
)


@pytest.fixture(scope="module")
def standby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    """A Multi-AZ instance that the tests of this module share."""
    log = tmp_path_factory.mktemp("standby") / "server.log"
    spec = ClusterSpec(id="alone", multi_az_instance=True)
    with lifecycle.embedded(spec, log) as embedded:
        live = LiveCluster(embedded.state)
        yield live
        live.rds.close()


def shown(live: LiveCluster) -> dict[str, Any]:
    """What DescribeDBInstances shows of the only instance."""
    (instance,) = live.rds.describe_db_instances()["DBInstances"]
    return dict(instance)


def test_a_standing_one_is_the_primary_of_a_global_cluster_and_goes_down_whole(
    state_directory: Path, gone: Callable[[ClusterState], None]
) -> None:
    state = lifecycle.up(WORLD)
    live = LiveCluster(state)
    status = state.status
    assert (status["is_cluster"], status["global_cluster"]) == (True, "world-global")
    tiers = {m["id"]: m["promotion_tier"] for m in status["instances"]}
    assert tiers == {"world-instance-1": 1, "world-instance-2": 0, "world-instance-3": 15}
    listed = live.rds.describe_db_cluster_endpoints(
        Filters=[{"Name": "db-cluster-endpoint-type", "Values": ["custom"]}]
    )["DBClusterEndpoints"]
    assert {e["DBClusterEndpointIdentifier"]: e["Status"] for e in listed} == {
        "pinned": "available",
        "rest": "available",
    }
    pinned = names.query(status["custom_endpoints"]["pinned"], state.name_server)
    assert pinned.chain[0].startswith(("world-instance-2.", "world-instance-3."))

    (world,) = live.rds.describe_global_clusters()["GlobalClusters"]
    assert world["TagList"] == [{"Key": "gameday", "Value": "allowed"}]
    first, second = (m["DBClusterArn"] for m in world["GlobalClusterMembers"])
    assert first.endswith(":eu-west-1:000000000000:cluster:world")
    assert second.endswith(":us-east-1:000000000000:cluster:world-secondary")
    seen = "SELECT count(*) FROM aurora_global_db_status()"
    wait_until(lambda: live.sql("cluster", seen) == 2, "both Regions", timeout_s=PATIENCE_S)
    live.rds.switchover_global_cluster(
        GlobalClusterIdentifier="world-global", TargetDbClusterIdentifier=second
    )

    def moved() -> bool:
        (now,) = live.rds.describe_global_clusters()["GlobalClusters"]
        writers = [m["DBClusterArn"] for m in now["GlobalClusterMembers"] if m["IsWriter"]]
        return now["Status"] == "available" and writers == [second]

    wait_until(moved, "the switchover", timeout_s=PATIENCE_S)
    live.rds.close()
    psutil.Process(state.pid).send_signal(signal.SIGKILL)
    lifecycle.down("world")
    gone(state)


def test_a_provisioned_one_has_no_bounds_and_changes_its_class(tmp_path: Path) -> None:
    spec = ClusterSpec(id="fixed", readers=0, serverless=None)
    with lifecycle.embedded(spec, tmp_path / "log") as embedded:
        live = LiveCluster(embedded.state)
        assert "ServerlessV2ScalingConfiguration" not in live.cluster()
        (before,) = live.instances().values()
        assert before["DBInstanceClass"] == "db.r6g.large"
        live.rds.modify_db_instance(
            DBInstanceIdentifier="fixed-instance-1",
            DBInstanceClass="db.r6g.xlarge",
            ApplyImmediately=True,
        )

        def changed() -> bool:
            (now,) = live.instances().values()
            return (now["DBInstanceClass"], now["DBInstanceStatus"]) == (
                "db.r6g.xlarge",
                "available",
            )

        wait_until(changed, "the class", timeout_s=PATIENCE_S, interval_s=0.05)
        live.rds.close()


def test_an_instance_by_itself_is_reached_as_a_cluster_is(standby: LiveCluster) -> None:
    status = standby.state.status
    assert (status["cluster"], status["is_cluster"], status["engine"]) == (
        "alone",
        False,
        "postgres",
    )
    (name,) = set(status["endpoints"].values())
    instance = shown(standby)
    assert (instance["Endpoint"]["Address"], instance["MultiAZ"]) == (name, True)
    assert instance["TagList"] == [{"Key": "gameday", "Value": "allowed"}]
    assert standby.rds.describe_db_clusters()["DBClusters"] == []
    assert standby.sql("alone", "SELECT current_user") == standby.state.access.user
    assert ControlAddress(standby.state).status()["cluster"] == "alone"


def test_a_forced_failover_moves_an_instance_unless_it_is_ignored(standby: LiveCluster) -> None:
    control = ControlAddress(standby.state)
    address = standby.resolve("alone").addresses
    zone = shown(standby)["AvailabilityZone"]
    begun = standby.sql("alone", "SELECT pg_postmaster_start_time()::text")

    def reboot() -> None:
        standby.rds.reboot_db_instance(DBInstanceIdentifier="alone", ForceFailover=True)

    def available() -> bool:
        return bool(shown(standby)["DBInstanceStatus"] == "available")

    control.begin("once", {"kind": "ignore-failover", "times": 1})
    reboot()
    wait_until(available, "what is not done", timeout_s=PATIENCE_S, interval_s=0.05)
    assert standby.resolve("alone").addresses == address
    assert standby.sql("alone", "SELECT pg_postmaster_start_time()::text") == begun
    reboot()
    wait_until(
        lambda: standby.resolve("alone").addresses != address,
        "the name to lead elsewhere",
        timeout_s=PATIENCE_S,
        interval_s=0.05,
    )
    wait_until(
        lambda: available() and shown(standby)["AvailabilityZone"] != zone,
        "the other zone",
        timeout_s=PATIENCE_S,
        interval_s=0.05,
    )
    assert standby.sql("alone", "SELECT pg_is_in_recovery()") is False
    assert control.end("once")


def test_what_disturbs_an_instance_names_it_as_the_api_does(standby: LiveCluster) -> None:
    control = ControlAddress(standby.state)
    control.begin("lost", {"kind": "dns-nxdomain", "cluster": "alone", "endpoint": "cluster"})
    assert standby.resolve("alone").error
    assert control.end("lost")
    control.begin("planned", {"kind": "pending-maintenance"})
    (resource,) = standby.rds.describe_pending_maintenance_actions()["PendingMaintenanceActions"]
    assert resource["ResourceIdentifier"] == shown(standby)["DBInstanceArn"]
    assert control.end("planned")
    with pytest.raises(HostError, match="needs Serverless v2 capacity"):
        control.begin("none", {"kind": "ignore-capacity"})


def test_a_name_makes_what_is_begun_and_taken_back_idempotent(standby: LiveCluster) -> None:
    control = ControlAddress(standby.state)
    name = "a run/3 é"
    fields = {"kind": "api-error", "operations": ["DescribeDBInstances"]}
    assert not control.end(name)
    control.begin(name, {**fields, "code": "ExpiredToken"})
    with pytest.raises(HostError, match="in force already"):
        control.begin(name, fields)
    assert control.in_force(name)
    with pytest.raises(ClientError) as refused:
        shown(standby)
    assert refused.value.response["Error"]["Code"] == "ExpiredToken"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert control.end(name)
    assert not control.end(name)
    assert not control.in_force(name)
    assert shown(standby)["DBInstanceIdentifier"] == "alone"
