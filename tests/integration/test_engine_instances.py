"""Rebooting, deleting and creating instances, and capacity, on a real cluster."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
import pytest
from fix_testcluster import NewCluster, Running

from chaos.testcluster.aurora import readers
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.records import (
    Alias,
    ApiError,
    ClusterChanges,
    InstanceSpec,
    ServerlessBounds,
)
from chaos.testcluster.serverless.share import Governor
from chaos.wait import wait_until


def gone(running: Running, instance: str) -> bool:
    return all(i.id != instance for i in running.record.instances)


def test_a_reboot_restarts_in_place_and_is_no_failover(
    cluster: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server that is slow to end is killed, and then tells its clients nothing.
    monkeypatch.setattr(readers, "_GRACE_S", 30.0)
    writer = cluster.writer
    with cluster.connect(writer.address) as session:
        with cluster.cluster.core.lock:  # It cannot go on before it was looked at.
            cluster.cluster.reboot(writer.id)
            assert cluster.instance(1).status == "rebooting"
            with pytest.raises(ApiError) as refused:
                cluster.cluster.reboot(writer.id)
        assert refused.value.code == "InvalidDBInstanceState"
        cluster.await_settled()
        with pytest.raises(psycopg.errors.AdminShutdown):
            session.execute("SELECT 1")
    after = cluster.writer
    assert (after.id, after.address) == (writer.id, writer.address)
    assert after.pid != writer.pid
    assert cluster.event_ids(writer.id)[-2:] == ["0004", "0006"]
    assert "0073" not in cluster.event_ids("t")
    with pytest.raises(ApiError) as refused:
        cluster.cluster.reboot(writer.id, force_failover=True)
    assert refused.value.code == "InvalidParameterCombination"


def test_a_deleted_reader_leaves_and_its_name_can_be_used_again(cluster: Running) -> None:
    reader, other = cluster.instance(2), cluster.instance(3)
    with cluster.cluster.core.lock:  # It cannot go on before it was looked at.
        cluster.cluster.delete_instance(reader.id)
        assert cluster.instance(2).status == "deleting"
        assert reader.endpoint not in cluster.cluster.names()
    assert cluster.behind(cluster.record.reader_endpoint) == {other.address}
    wait_until(lambda: gone(cluster, reader.id), "its end", timeout_s=60)
    with pytest.raises(psycopg.OperationalError):
        cluster.connect(reader.address)
    assert cluster.event_ids(reader.id)[-1] == "0003"

    with cluster.connect(cluster.writer.address) as connection:
        connection.execute("CREATE TABLE meanwhile AS SELECT 42 AS answer")
    with cluster.cluster.core.lock:
        cluster.cluster.create_instance(InstanceSpec(id=reader.id, promotion_tier=3))
        created = cluster.instance(2)
    assert created.status == "creating"
    assert created.address != reader.address
    with pytest.raises(ApiError) as refused:
        cluster.cluster.create_instance(InstanceSpec(id=reader.id))
    assert refused.value.code == "DBInstanceAlreadyExists"
    cluster.await_settled()
    with cluster.connect(created.address) as connection:
        assert connection.execute("SELECT answer FROM meanwhile").fetchone() == (42,)
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    assert created.address in cluster.behind(cluster.record.reader_endpoint)
    assert cluster.event_ids(reader.id)[-2:] == ["0005", "0385"]


def test_without_readers_the_reader_endpoint_leads_to_the_writer(new_cluster: NewCluster) -> None:
    running = new_cluster(readers=1)
    endpoint, writer = running.record.reader_endpoint, running.writer
    assert running.behind(endpoint) == {running.instance(2).address}
    running.cluster.delete_instance(running.instance(2).id)
    assert running.behind(endpoint) == {writer.address}


def test_deleting_the_writer_fails_over_first(cluster: Running) -> None:
    writer = cluster.writer
    with cluster.connect(writer.address) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    cluster.cluster.delete_instance(writer.id)
    wait_until(lambda: gone(cluster, writer.id) and cluster.settled(), "its deletion", timeout_s=60)
    assert "0073" in cluster.event_ids("t")
    assert cluster.behind(cluster.record.cluster_endpoint) == {cluster.writer.address}
    with cluster.connect(cluster.writer.address) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        connection.execute("INSERT INTO kept VALUES (2)")


def test_the_data_outlive_the_last_instance(new_cluster: NewCluster) -> None:
    running = new_cluster(readers=0)
    last = running.writer
    with running.connect(last.address) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    running.cluster.delete_instance(last.id)
    wait_until(lambda: gone(running, last.id), "its end", timeout_s=60)
    alias = running.cluster.names()[running.record.cluster_endpoint]
    assert isinstance(alias, Alias)
    assert alias.targets == ()
    running.cluster.create_instance(InstanceSpec(id="again"))
    running.await_settled()
    assert running.writer.id == "again"
    with running.connect(running.writer.address) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        connection.execute("INSERT INTO kept VALUES (2)")


def test_a_killed_reader_restarts(cluster: Running) -> None:
    before = cluster.instance(3)
    cluster.cluster.crash(before.id)
    wait_until(
        lambda: cluster.settled() and cluster.instance(3).pid != before.pid, "it", timeout_s=60
    )
    assert cluster.writer.id == cluster.instance(1).id


def test_capacity_moves_into_its_new_bounds(
    cluster: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(  # A start is work, which may have raised it.
        lambda: {i.capacity_acu for i in cluster.record.instances} == {0.5},
        "0.5 ACU",
        timeout_s=60,
    )
    seen: set[float | None] = set()
    assign = Governor.assign

    def look(governor: Governor, shares: Mapping[Node, float]) -> None:
        """Whoever looked from time to time could miss steps."""
        seen.update(i.capacity_acu for i in cluster.record.instances)
        assign(governor, shares)

    monkeypatch.setattr(Governor, "assign", look)
    with cluster.cluster.core.lock:
        cluster.cluster.modify(ClusterChanges(serverless=ServerlessBounds(min_acu=4, max_acu=16)))
        assert cluster.record.status == "modifying"

    def arrived() -> bool:
        return seen >= {4.0} and cluster.record.status == "available"

    wait_until(arrived, "4 ACU", timeout_s=60)
    assert seen > {0.5, 4.0}, "it moves in steps"
    assert cluster.record.serverless == ServerlessBounds(min_acu=4, max_acu=16)
    with pytest.raises(ApiError) as refused:
        cluster.cluster.modify(ClusterChanges(serverless=ServerlessBounds(min_acu=0.7, max_acu=16)))
    assert refused.value.code == "InvalidParameterValue"


@pytest.mark.parametrize("call", ["reboot", "delete_instance", "crash"])
def test_an_unknown_instance_is_not_found(shared_cluster: Running, call: str) -> None:
    with pytest.raises(ApiError) as refused:
        getattr(shared_cluster.cluster, call)("nobody")
    assert refused.value.code == "DBInstanceNotFound"
    assert refused.value.message == "DBInstance nobody not found."
