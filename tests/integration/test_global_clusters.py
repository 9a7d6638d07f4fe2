"""A global cluster over two real clusters: what streams, is kept, and may be lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from fix_control_plane import unique_id
from fix_rds_model import Refused, Served, serving
from fix_testcluster import PASSWORD, Connection, Running

from chaos.errors import DatabaseError
from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(60)

TIMEOUT_S = 120
INSTANCE = {"DBInstanceClass": "db.serverless", "Engine": "aurora-postgresql"}


class World:
    """A global cluster of `near` (a writer, a reader) and `far` (two readers), made by boto3."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.id = unique_id("world")
        self.near_rds, self.far_rds = served.rds, served.client(region_name="us-east-1")
        near = served.start_cluster(id=f"{self.id}-near", readers=1)
        near_arn = served.cluster(f"{self.id}-near")["DBClusterArn"]
        made = served.rds.create_global_cluster(
            GlobalClusterIdentifier=self.id, SourceDBClusterIdentifier=near_arn
        )["GlobalCluster"]
        self.endpoint: str = made["Endpoint"]
        far_id = f"{self.id}-far"
        self.far_arn: str = self.far_rds.create_db_cluster(
            DBClusterIdentifier=far_id,
            Engine="aurora-postgresql",
            GlobalClusterIdentifier=self.id,
            ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 8},
        )["DBCluster"]["DBClusterArn"]
        far: Cluster = served.estate.region("us-east-1").cluster(far_id)
        self.near, self.far = Running(near, served.estate), Running(far, served.estate)
        for number in (1, 2):
            self.far_rds.create_db_instance(
                DBInstanceIdentifier=f"{far_id}-{number}", DBClusterIdentifier=far_id, **INSTANCE
            )
        self.await_settled()

    def shown(self) -> dict[str, Any]:
        """The global cluster as any Region describes it."""
        (found,) = self.far_rds.describe_global_clusters(GlobalClusterIdentifier=self.id)[
            "GlobalClusters"
        ]
        return dict(found)

    def primary(self) -> str:
        (arn,) = [m["DBClusterArn"] for m in self.shown()["GlobalClusterMembers"] if m["IsWriter"]]
        return str(arn)

    def settled(self) -> bool:
        return self.shown()["Status"] == "available" and self.near.settled() and self.far.settled()

    def await_settled(self) -> None:
        wait_until(self.settled, "the global cluster", timeout_s=TIMEOUT_S, interval_s=0.2)

    def writer(self) -> Connection:
        """A session through the global writer endpoint."""
        (address,) = self.served.behind(self.endpoint)
        return self.near.connect(address)

    def event_ids(self, running: Running) -> list[str]:
        return running.event_ids(running.record.id)


@pytest.fixture
def world(postgres_binaries: PostgresBinaries) -> Iterator[World]:
    """One on an estate of its own, so that it ends with its test."""
    with serving(postgres_binaries) as served:
        yield World(served)


def rows(running: Running) -> set[int]:
    """What every instance of a cluster reads, once all read the same."""
    seen: list[set[int]] = []
    for instance in running.record.instances:
        with running.connect(instance.address) as session:
            found = session.execute("SELECT n FROM kept").fetchall()
            seen.append({int(str(n)) for (n,) in found})
    return seen[0] if all(one == seen[0] for one in seen) else set()


def await_rows(running: Running, expected: set[int]) -> None:
    def there() -> bool:
        try:
            return rows(running) == expected
        except psycopg.Error:
            return False

    what = f"{running.record.id} to read {len(expected)} rows"
    wait_until(there, what, timeout_s=TIMEOUT_S, interval_s=0.2)


def global_status(running: Running) -> dict[str, float]:
    with running.connect(running.record.instances[0].address) as session:
        found = session.execute("SELECT aws_region, rpo_lag_in_msec FROM aurora_global_db_status()")
        return {str(region): float(str(lag)) for region, lag in found.fetchall() if lag is not None}


def test_a_switchover_loses_nothing_and_comes_back(world: World, refused: Refused) -> None:
    assert [i.is_writer for i in world.far.record.instances] == [False, False]
    with world.writer() as session:
        session.execute("CREATE TABLE kept (n int)")
        session.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    await_rows(world.far, set(range(1, 1001)))
    with (
        world.far.connect(world.far.record.instances[0].address) as session,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        session.execute("INSERT INTO kept VALUES (0)")
    wait_until(
        lambda: global_status(world.far).keys() == {"eu-west-1", "us-east-1"},
        "the global status by SQL",
        timeout_s=TIMEOUT_S,
    )
    wait_until(
        lambda: global_status(world.near).get("eu-west-1") == -1,
        "the primary cluster to show itself",
        timeout_s=TIMEOUT_S,
    )

    # so that it is seen while it goes on
    end = world.far.cluster.core.pacer.fix("promote", 6.0)
    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (1001)")
        accepted = world.near_rds.switchover_global_cluster(
            GlobalClusterIdentifier=world.id, TargetDbClusterIdentifier=world.far_arn
        )["GlobalCluster"]
    assert accepted["Status"] == "switching-over"
    assert accepted["FailoverState"]["ToDbClusterArn"] == world.far_arn
    refused(
        "InvalidGlobalClusterStateFault",
        world.near_rds.switchover_global_cluster,
        GlobalClusterIdentifier=world.id,
        TargetDbClusterIdentifier=world.far_arn,
    )
    refused(  # It would come up as a second writer.
        "InvalidDBInstanceState",
        world.near_rds.reboot_db_instance,
        DBInstanceIdentifier=f"{world.id}-near-instance-1",
    )
    end()
    world.await_settled()
    assert world.primary() == world.far_arn
    assert [i.is_writer for i in world.near.record.instances] == [False, False]
    assert sum(i.is_writer for i in world.far.record.instances) == 1
    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (1002)")
    everything = set(range(1, 1003))
    await_rows(world.near, everything)
    await_rows(world.far, everything)
    assert world.event_ids(world.far)[-5:] == ["0181", "0183", "0184", "0397", "0185"]

    # The members' own failovers: the primary's is followed, the secondary's promotes nobody.
    world.far.cluster.failover(None)
    world.near.cluster.failover(None)
    world.await_settled()
    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (1003)")
    await_rows(world.near, everything | {1003})
    await_rows(world.far, everything | {1003})


def test_where_the_target_cannot_be_promoted_the_primary_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.writer() as session:
        session.execute("CREATE TABLE kept (n int)")
        session.execute("INSERT INTO kept VALUES (1)")
    await_rows(world.far, {1})
    before, head = world.primary(), world.far.cluster.core.writer_member()
    assert head is not None

    def promote() -> None:
        raise DatabaseError("it ended")

    monkeypatch.setattr(head.node, "promote", promote)
    for number, lossy in ((2, False), (3, True)):
        told = len(world.event_ids(world.far))
        world.served.estate.global_clusters.change_primary(
            world.id, world.far_arn, allows_data_loss=lossy
        )
        wait_until(
            lambda told=told: "0241" in world.event_ids(world.far)[told:] and world.settled(),  # type: ignore[misc]
            "the former roles",
            timeout_s=TIMEOUT_S,
            interval_s=0.2,
        )
        assert world.event_ids(world.far)[-1] == "0241"
        assert world.primary() == before
        with world.writer() as session:
            session.execute("INSERT INTO kept VALUES (%s)", [number])
        everything = set(range(1, number + 1))
        await_rows(world.near, everything)
        await_rows(world.far, everything)


def test_a_failover_promotes_what_is_there_and_rebuilds_the_old_primary(world: World) -> None:
    with world.writer() as session:
        session.execute("CREATE TABLE kept (n int)")
        session.execute("INSERT INTO kept VALUES (1)")
    await_rows(world.far, {1})
    core = world.far.cluster.core
    head = core.writer_member()
    assert head is not None
    with core.lock:
        head.status = "modifying"  # so that nothing else touches it
    head.node.follow("127.0.0.1")  # where no server is: the stream has ended
    wait_until(lambda: head.node.position() is None, "the stream to end", timeout_s=TIMEOUT_S)
    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (2)")
    with core.lock:
        head.status = "available"
        world.served.estate.global_clusters.change_primary(
            world.id, world.far_arn, allows_data_loss=True
        )
    world.await_settled()
    assert world.primary() == world.far_arn
    await_rows(world.far, {1})
    await_rows(world.near, {1})  # It had a row that the new primary never got.
    assert "0238" in world.event_ids(world.far)
    assert world.event_ids(world.near)[-2:] == ["0240", "0241"]
    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (3)")
    await_rows(world.near, {1, 3})


def test_a_removed_secondary_writes_by_itself(world: World, refused: Refused) -> None:
    rds, far_rds = world.near_rds, world.far_rds
    near_arn = world.primary()
    with world.writer() as session:
        session.execute("CREATE TABLE kept (n int)")
    await_rows(world.far, set())
    refused(
        "InvalidGlobalClusterStateFault",
        rds.delete_global_cluster,
        GlobalClusterIdentifier=world.id,
    )
    refused(
        "InvalidGlobalClusterStateFault",
        rds.remove_from_global_cluster,
        GlobalClusterIdentifier=world.id,
        DbClusterIdentifier=near_arn,
    )
    refused(
        "InvalidDBClusterStateFault",
        far_rds.delete_db_cluster,
        DBClusterIdentifier=f"{world.id}-far",
        SkipFinalSnapshot=True,
    )
    rds.remove_from_global_cluster(
        GlobalClusterIdentifier=world.id, DbClusterIdentifier=world.far_arn
    )
    world.await_settled()
    with world.far.connect(world.far.writer.address) as session:
        session.execute("INSERT INTO kept VALUES (1)")
    await_rows(world.far, {1})
    assert rows(world.near) == set()
    rds.remove_from_global_cluster(GlobalClusterIdentifier=world.id, DbClusterIdentifier=near_arn)
    gone = rds.delete_global_cluster(GlobalClusterIdentifier=world.id)["GlobalCluster"]
    assert (gone["Status"], gone["GlobalClusterMembers"]) == ("deleting", [])
    refused(
        "GlobalClusterNotFoundFault",
        rds.describe_global_clusters,
        GlobalClusterIdentifier=world.id,
    )


def test_what_cannot_be_a_member_is_refused(served: Served, refused: Refused) -> None:
    rds, name = served.rds, unique_id("rules")
    refused("InvalidParameterCombination", rds.create_global_cluster, GlobalClusterIdentifier=name)
    rds.create_global_cluster(
        GlobalClusterIdentifier=name, Engine="aurora-postgresql", DeletionProtection=True
    )
    refused(
        "GlobalClusterAlreadyExistsFault",
        rds.create_global_cluster,
        GlobalClusterIdentifier=name,
        Engine="aurora-postgresql",
    )
    refused("InvalidParameterCombination", rds.delete_global_cluster, GlobalClusterIdentifier=name)
    rds.create_db_cluster(
        DBClusterIdentifier=f"{name}-one",
        Engine="aurora-postgresql",
        GlobalClusterIdentifier=name,
        MasterUsername="postgres",
        MasterUserPassword=PASSWORD,
    )
    refused(
        "InvalidParameterValue",
        rds.create_db_cluster,
        DBClusterIdentifier=f"{name}-two",
        Engine="aurora-postgresql",
        GlobalClusterIdentifier=name,
    )
    far = served.client(region_name="us-east-1")
    said = refused(
        "InvalidParameterCombination",
        far.create_db_cluster,
        DBClusterIdentifier=f"{name}-two",
        Engine="aurora-postgresql",
        GlobalClusterIdentifier=name,
        MasterUsername="postgres",
    )
    assert said == "Cannot specify user name for cross region replication cluster"
    renamed = rds.modify_global_cluster(
        GlobalClusterIdentifier=name,
        NewGlobalClusterIdentifier=f"{name}-new",
        DeletionProtection=False,
    )["GlobalCluster"]
    assert (renamed["GlobalClusterIdentifier"], renamed["DeletionProtection"]) == (
        f"{name}-new",
        False,
    )


def test_it_is_tagged_by_an_arn_without_region(served: Served, refused: Refused) -> None:
    rds, name = served.rds, unique_id("tags")
    made = rds.create_global_cluster(
        GlobalClusterIdentifier=name,
        Engine="aurora-postgresql",
        Tags=[{"Key": "a", "Value": "b"}, {"Key": "old", "Value": ""}],
    )["GlobalCluster"]
    arn = made["GlobalClusterArn"]
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "c", "Value": "d"}])
    rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["old"])
    tags = [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]
    assert rds.list_tags_for_resource(ResourceName=arn)["TagList"] == tags
    (shown,) = rds.describe_global_clusters(GlobalClusterIdentifier=arn)["GlobalClusters"]
    assert shown["TagList"] == tags
    refused(
        "GlobalClusterNotFoundFault", rds.list_tags_for_resource, ResourceName=f"{arn}-not-there"
    )


def test_a_clone_has_the_data_and_goes_its_own_way(served: Served, refused: Refused) -> None:
    rds, name = served.rds, unique_id("clone")
    source = Running(served.start_cluster(id=f"{name}-source", readers=0), served.estate)
    with source.connect(source.writer.address) as session:
        session.execute("CREATE TABLE kept (n int)")
        session.execute("INSERT INTO kept VALUES (1)")
    refused(
        "InvalidRestoreFault",
        rds.restore_db_cluster_to_point_in_time,
        DBClusterIdentifier=name,
        SourceDBClusterIdentifier=f"{name}-source",
        RestoreToTime="2026-11-21T00:00:00Z",
    )
    made = rds.restore_db_cluster_to_point_in_time(
        DBClusterIdentifier=name,
        SourceDBClusterIdentifier=f"{name}-source",
        RestoreType="copy-on-write",
        UseLatestRestorableTime=True,
    )["DBCluster"]
    assert (made["Status"], made["DBClusterMembers"]) == ("creating", [])
    served.await_available(name, 0)
    with source.connect(source.writer.address) as session:
        session.execute("INSERT INTO kept VALUES (2)")
    for number in (1, 2):
        rds.create_db_instance(
            DBInstanceIdentifier=f"{name}-{number}", DBClusterIdentifier=name, **INSTANCE
        )
    served.await_available(name, 2)
    clone = Running(served.estate.region("eu-west-1").cluster(name), served.estate)
    await_rows(clone, {1})
    with clone.connect(clone.writer.address) as session:
        session.execute("INSERT INTO kept VALUES (3)")
    await_rows(clone, {1, 3})
    assert rows(source) == {1, 2}
