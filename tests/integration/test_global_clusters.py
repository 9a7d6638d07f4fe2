"""A global cluster over two real clusters: what streams, is kept, and may be lost."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from fix_testcluster import PASSWORD, Connection, Running, open_estate

from chaos.testcluster.estate import Estate, start_cluster
from chaos.testcluster.global_cluster import cluster_arn
from chaos.testcluster.postgres import PostgresBinaries
from chaos.testcluster.records import Alias, ApiError, ClusterSpec, InstanceSpec
from chaos.wait import wait_until

TIMEOUT_S = 30


class World:
    """A global cluster `world` of `near` (a writer, a reader) and `far` (two readers)."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        near = start_cluster(estate, ClusterSpec(id="near", readers=1), PASSWORD)
        self.state = estate.global_clusters.create(
            "world", engine="aurora-postgresql", source=cluster_arn(near)
        )
        far = estate.new_cluster(
            ClusterSpec(id="far", region="us-east-1", port=near.snapshot().port), PASSWORD
        )
        estate.global_clusters.join(self.state, far)
        far.start_empty()
        far.create_instance(InstanceSpec(id="far-1"))
        self.near, self.far = Running(near, estate), Running(far, estate)
        self.far.await_settled(TIMEOUT_S)
        far.create_instance(InstanceSpec(id="far-2"))
        self.far.await_settled(TIMEOUT_S)

    def settled(self) -> bool:
        return self.state.status == "available" and self.near.settled() and self.far.settled()

    def await_settled(self) -> None:
        wait_until(self.settled, "the global cluster to be available", timeout_s=TIMEOUT_S)

    def writer(self) -> Connection:
        """A session through the global writer endpoint."""
        names = self.estate.names()
        alias = names[self.state.endpoint]
        assert isinstance(alias, Alias)
        running = self.near if alias.targets[0].startswith("near.") else self.far
        (address,) = running.behind(alias.targets[0])
        return running.connect(address)


@pytest.fixture
def world(postgres_binaries: PostgresBinaries) -> Iterator[World]:
    with open_estate(postgres_binaries) as estate:
        yield World(estate)


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

    wait_until(there, f"{running.record.id} to read {len(expected)} rows", timeout_s=TIMEOUT_S)


def global_status(running: Running) -> dict[str, float]:
    with running.connect(running.record.instances[0].address) as session:
        found = session.execute("SELECT aws_region, rpo_lag_in_msec FROM aurora_global_db_status()")
        return {str(region): float(str(lag)) for region, lag in found.fetchall() if lag is not None}


def test_a_switchover_loses_nothing_and_comes_back(world: World) -> None:
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
    assert global_status(world.near)["eu-west-1"] == -1

    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (1001)")
        world.estate.global_clusters.change_primary(
            "world", cluster_arn(world.far.cluster), allows_data_loss=False
        )
        assert world.state.status == "switching-over"
        with pytest.raises(ApiError) as busy:
            world.estate.global_clusters.change_primary("world", "near", allows_data_loss=False)
        assert busy.value.code == "InvalidGlobalClusterStateFault"
    world.await_settled()
    assert world.state.primary is world.far.cluster
    assert [i.is_writer for i in world.near.record.instances] == [False, False]
    assert sum(i.is_writer for i in world.far.record.instances) == 1
    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (1002)")
    everything = set(range(1, 1003))
    await_rows(world.near, everything)
    await_rows(world.far, everything)
    assert world.far.event_ids("far")[-5:] == ["0181", "0183", "0184", "0397", "0185"]

    # The members' own failovers: the primary's is followed, the secondary's promotes nobody.
    world.far.cluster.failover(None)
    world.near.cluster.failover(None)
    world.await_settled()
    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (1003)")
    await_rows(world.near, everything | {1003})
    await_rows(world.far, everything | {1003})


def test_a_failover_promotes_what_is_there_and_rebuilds_the_old_primary(world: World) -> None:
    with world.writer() as session:
        session.execute("CREATE TABLE kept (n int)")
        session.execute("INSERT INTO kept VALUES (1)")
    await_rows(world.far, {1})
    head = world.far.cluster.core.writer_member()
    assert head is not None
    with world.far.cluster.core.lock:
        head.status = "modifying"  # so that nothing else touches it
    head.node.follow("127.0.0.1")  # where no server is: the stream has ended
    wait_until(lambda: head.node.position() is None, "the stream to end", timeout_s=TIMEOUT_S)
    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (2)")
    with world.far.cluster.core.lock:
        head.status = "available"
        world.estate.global_clusters.change_primary("world", "far", allows_data_loss=True)
    world.await_settled()
    assert world.state.primary is world.far.cluster
    await_rows(world.far, {1})
    await_rows(world.near, {1})  # It had a row that the new primary never got.
    assert {"0238"} <= set(world.far.event_ids("far"))
    assert world.near.event_ids("near")[-2:] == ["0240", "0241"]
    with world.writer() as session:
        session.execute("INSERT INTO kept VALUES (3)")
    await_rows(world.near, {1, 3})


def test_a_removed_secondary_writes_by_itself(world: World) -> None:
    with world.writer() as session:
        session.execute("CREATE TABLE kept (n int)")
    await_rows(world.far, set())
    with pytest.raises(ApiError, match="not empty"):
        world.estate.global_clusters.delete("world")
    with pytest.raises(ApiError, match="remove its secondary"):
        world.estate.global_clusters.remove("world", "near")
    world.estate.global_clusters.remove("world", cluster_arn(world.far.cluster))
    world.await_settled()
    with world.far.connect(world.far.writer.address) as session:
        session.execute("INSERT INTO kept VALUES (1)")
    await_rows(world.far, {1})
    assert rows(world.near) == set()
    world.estate.global_clusters.remove("world", "near")
    world.estate.global_clusters.delete("world")
    assert world.estate.global_clusters.all() == ()
