"""What is sampled of RDS for PostgreSQL: an instance, and a read replica of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fix_control_plane import REGION, unique_id
from fix_rds_model import Served

from chaos.testcluster.metrics.catalogue import NAMESPACE
from chaos.testcluster.metrics.sampling import Sampler
from chaos.testcluster.metrics.store import Metric
from chaos.testcluster.metrics.telemetry import Telemetry
from chaos.wait import wait_until

CLASS = "db.t4g.large"


@pytest.fixture(scope="module")
def telemetry(served: Served) -> Iterator[tuple[Telemetry, Sampler]]:
    telemetry = Telemetry()
    sampler = Sampler(served.estate, telemetry)
    yield telemetry, sampler
    sampler.close()


def test_an_instance_and_its_replica_publish_what_rds_does(
    served: Served, telemetry: tuple[Telemetry, Sampler]
) -> None:
    store, sampler = telemetry[0].monitoring(REGION).metrics, telemetry[1]
    source, replica = unique_id("db"), unique_id("copy")
    served.rds.create_db_instance(
        DBInstanceIdentifier=source,
        DBInstanceClass=CLASS,
        Engine="postgres",
        MasterUsername="boss",
        MasterUserPassword="for-tests-only",
        AllocatedStorage=20,
        BackupRetentionPeriod=1,
    )
    served.rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=source, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    served.rds.create_db_instance_read_replica(
        DBInstanceIdentifier=replica, SourceDBInstanceIdentifier=source
    )
    served.rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=replica, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )

    def published(instance: str, name: str) -> bool:
        metric = Metric.of(NAMESPACE, name, {"DBInstanceIdentifier": instance})
        return bool(store.points(metric, 0, 1e12))

    def complete() -> bool:
        """On a busy machine the answer of either may come too late for a sample."""
        sampler.sample()
        of_source = ("CPUUtilization", "DatabaseConnections", "FreeableMemory")
        return published(replica, "ReplicaLag") and all(published(source, n) for n in of_source)

    wait_until(complete, "samples of both", timeout_s=60)
    assert not published(source, "ReplicaLag")
    for name in ("AuroraReplicaLag", "CommitThroughput", "EngineUptime"):
        assert not published(replica, name)
    classes = {("DatabaseClass", CLASS)}
    assert any(set(metric.dimensions) == classes for metric in store.metrics())
