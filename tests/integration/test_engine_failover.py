"""Failover of a real cluster: who becomes the writer, what survives, what the outside sees when."""

from __future__ import annotations

import os
import signal
import threading

import psycopg
import pytest
from fix_testcluster import NewCluster, Running

from chaos.clock import MonotonicClock
from chaos.errors import HostError
from chaos.testcluster.aurora import failover
from chaos.testcluster.aurora.core import Member
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.records import ApiError, InstanceSpec
from chaos.wait import wait_until

pytestmark = [pytest.mark.spread(3), pytest.mark.seconds(25)]

HELD_S = 1000.0


class Inserter(threading.Thread):
    """Commits one id after the other on the first writer, until its connection breaks."""

    def __init__(self, running: Running) -> None:
        super().__init__(daemon=True)
        self.connection = running.connect(running.writer.address)
        self.acked: list[int] = []
        self.asked = 0

    def run(self) -> None:
        try:
            while True:
                self.asked += 1
                self.connection.execute("INSERT INTO written VALUES (%s)", [self.asked])
                self.acked.append(self.asked)
        except psycopg.Error:
            self.connection.close()


def rows(running: Running, address: str) -> list[int]:
    with running.connect(address) as connection:
        found = connection.execute("SELECT id FROM written ORDER BY id").fetchall()
    return [int(str(row[0])) for row in found]


def await_rows_everywhere(running: Running, expected: list[int]) -> None:
    def agree() -> bool:
        return all(rows(running, i.address) == expected for i in running.record.instances)

    wait_until(agree, "all instances to have the same rows", timeout_s=60)


def create_table(running: Running) -> None:
    with running.connect(running.writer.address) as connection:
        connection.execute("CREATE TABLE written (id bigint)")


def hold(running: Running, monkeypatch: pytest.MonkeyPatch, *delays: str) -> threading.Semaphore:
    """Let modelled delays last, first the first, until the semaphore lets one pass."""
    core, passes = running.cluster.core, threading.Semaphore(0)
    pause = core.pause
    for number, delay in enumerate(delays, start=1):
        core.pacer.fix(delay, number * HELD_S)

    def held(duration_s: float) -> None:
        if duration_s < HELD_S:
            pause(duration_s)
            return
        while not passes.acquire(timeout=0.02):
            pause(0)  # It ends the wait once the cluster closes.

    monkeypatch.setattr(core, "pause", held)
    return passes


def give_up_soon(monkeypatch: pytest.MonkeyPatch, instance: str) -> None:
    """Wait for half a second for this instance to catch up; others have the time that they need."""
    catch_up = failover.Failover._await_caught_up

    def impatient(self: failover.Failover, candidate: Member) -> None:
        with monkeypatch.context() as patched:
            if candidate.id == instance:
                patched.setattr(failover, "_CATCH_UP_TIMEOUT_S", 0.5)
            catch_up(self, candidate)

    monkeypatch.setattr(failover.Failover, "_await_caught_up", impatient)


def test_failover_to_the_named_reader_which_then_streams_to_all(cluster: Running) -> None:
    create_table(cluster)
    old, target = cluster.writer, cluster.instance(3)
    with cluster.cluster.core.lock:  # It cannot go on before it was looked at.
        cluster.cluster.failover(target.id)
        assert cluster.record.status == "failing-over"
        assert cluster.instance(3).status == "rebooting"
        with pytest.raises(ApiError) as refused:
            cluster.cluster.failover(None)
    assert refused.value.code == "InvalidDBClusterStateFault"

    cluster.await_writer(target.id)
    with cluster.connect(target.address) as connection:
        connection.execute("INSERT INTO written VALUES (1)")
    await_rows_everywhere(cluster, [1])
    with cluster.connect(old.address) as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("INSERT INTO written VALUES (2)")


def test_the_lowest_promotion_tier_wins_and_events_tell_the_story(new_cluster: NewCluster) -> None:
    running = new_cluster(readers=1)
    running.cluster.create_instance(InstanceSpec(id="preferred", promotion_tier=0))
    running.await_settled()
    first = running.writer.id
    running.cluster.failover(None)
    running.await_writer("preferred")
    told = running.event_ids("t")
    assert told[-2:] == ["0073", "0071"]
    assert running.event_ids(first)[-2:] == ["0004", "0006"]
    assert running.event_ids("preferred")[-2:] == ["0006", "0385"]
    messages = [event.message for event in running.estate.ground.events.all()]
    assert "Completed failover to DB instance: preferred" in messages


@pytest.mark.parametrize("crash", [True, False], ids=["killed", "asked for"])
def test_no_acknowledged_commit_is_lost_under_load(cluster: Running, *, crash: bool) -> None:
    create_table(cluster)
    old = cluster.writer
    clients = [Inserter(cluster)]
    clients[0].start()
    wait_until(lambda: len(clients[0].acked) > 300, "300 commits", timeout_s=60)
    if crash:
        # The postmaster alone: its backends live on for moments, and could acknowledge more.
        assert old.pid is not None
        os.kill(old.pid, signal.SIGKILL)
    else:
        cluster.cluster.failover(None)
    clients[0].join(60)
    wait_until(lambda: cluster.writer.id != old.id, "a new writer", timeout_s=60)
    cluster.await_settled()

    acked = clients[0].acked
    found = rows(cluster, cluster.writer.address)
    assert len(acked) > 300
    assert found[: len(acked)] == acked
    assert len(found) - len(acked) <= 1  # the one whose reply was lost
    await_rows_everywhere(cluster, found)
    if crash:
        assert "0073" in cluster.event_ids("t")


def test_a_reader_serves_on_while_the_promoted_one_drops_its_sessions(cluster: Running) -> None:
    target, other = cluster.instance(2), cluster.instance(3)
    with cluster.connect(other.address) as kept, cluster.connect(target.address) as dropped:
        cluster.cluster.failover(target.id)
        cluster.await_writer(target.id)
        assert kept.execute("SELECT 1").fetchone() == (1,)
        assert cluster.instance(3).pid == other.pid
        with pytest.raises(psycopg.errors.AdminShutdown):
            dropped.execute("SELECT 1")


def test_in_the_older_mode_every_reader_restarts(new_cluster: NewCluster) -> None:
    running = new_cluster(read_availability=False)
    target, other = running.instance(2), running.instance(3)
    with running.connect(other.address) as session:
        running.cluster.failover(target.id)
        running.await_writer(target.id)
        assert running.instance(3).pid != other.pid
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")


def test_the_api_and_then_the_name_follow_the_promotion_late(
    cluster: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each lag lasts until everything was looked at, however long that takes."""
    endpoint, readers = cluster.record.cluster_endpoint, cluster.record.reader_endpoint
    old, target = cluster.writer, cluster.instance(2)
    passes = hold(cluster, monkeypatch, "api_lag", "dns_lag")

    def promoted() -> bool:
        with cluster.connect(target.address) as connection:
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)

    cluster.cluster.failover(target.id)
    wait_until(promoted, "the promotion", timeout_s=60, errors=(psycopg.Error,))
    assert cluster.writer.id == old.id
    assert cluster.behind(endpoint) == {old.address}
    passes.release()
    wait_until(lambda: cluster.writer.id == target.id, "the API to show it", timeout_s=60)
    assert cluster.behind(endpoint) == {old.address}
    # Until the name follows, the promoted reader stays in the reader endpoint.
    assert target.address in cluster.behind(readers)
    passes.release()
    wait_until(lambda: cluster.behind(endpoint) == {target.address}, "the name", timeout_s=60)
    cluster.await_settled()
    assert cluster.behind(readers) == {old.address, cluster.instance(3).address}


def test_a_target_that_dies_is_passed_over(cluster: Running) -> None:
    target, other = cluster.instance(2), cluster.instance(3)
    with cluster.cluster.core.lock:  # It cannot be promoted before it dies.
        cluster.cluster.failover(target.id)
        cluster.cluster.crash(target.id)
    cluster.await_writer(other.id, timeout_s=60)
    assert cluster.instance(2).status == "available"


def test_a_reader_that_is_down_during_the_failover_follows_the_new_writer(cluster: Running) -> None:
    create_table(cluster)
    down, target = cluster.instance(2), cluster.instance(3)
    cluster.cluster.reboot(down.id)
    cluster.cluster.failover(target.id)
    cluster.await_writer(target.id)
    with cluster.connect(target.address) as connection:
        connection.execute("INSERT INTO written VALUES (7)")
    wait_until(lambda: rows(cluster, down.address) == [7], "the row to arrive", timeout_s=60)


def test_without_a_reader_a_failover_is_refused_and_a_crash_restarts_in_place(
    new_cluster: NewCluster,
) -> None:
    running = new_cluster(readers=0)
    with pytest.raises(ApiError) as refused:
        running.cluster.failover(None)
    assert refused.value.code == "InvalidDBClusterStateFault"
    assert "at least two database instances" in refused.value.message
    before = running.writer
    running.cluster.crash(before.id)
    wait_until(
        lambda: running.settled() and running.writer.pid != before.pid, "its return", timeout_s=60
    )
    assert running.writer.id == before.id
    assert running.behind(running.record.reader_endpoint) == {before.address}


def test_targets_that_cannot_be_promoted_are_refused(cluster: Running) -> None:
    for target, code in [
        ("nobody", "DBInstanceNotFound"),
        (cluster.writer.id, "InvalidDBInstanceState"),
    ]:
        with pytest.raises(ApiError) as refused:
            cluster.cluster.failover(target)
        assert refused.value.code == code
    with cluster.cluster.core.lock:  # It cannot be back before it is asked for.
        cluster.cluster.reboot(cluster.instance(2).id)
        with pytest.raises(ApiError) as refused:
            cluster.cluster.failover(cluster.instance(2).id)
    assert refused.value.code == "InvalidDBInstanceState"
    assert cluster.record.status == "available"


def test_a_target_lost_sight_of_half_promoted_is_dead_before_the_next_one_is_promoted(
    cluster: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began a history of its own; promoted again on that, it would lack the others' commits."""
    create_table(cluster)
    target = cluster.instance(2)
    promote, kill = Node.promote, Node.kill

    def slow(node: Node) -> None:
        if node.identifier == target.id:
            MonotonicClock().sleep(0.5)
        kill(node)

    def half(node: Node, *, keep_sessions: bool) -> None:
        if node.identifier == target.id:
            promote(node, keep_sessions=keep_sessions)
            raise HostError(f"the test lost sight of {node.identifier}")
        # It was writable a moment ago, and its clients could still have been acknowledged commits.
        assert cluster.instance(2).pid is None
        promote(node, keep_sessions=keep_sessions)

    with monkeypatch.context() as patched:
        patched.setattr(Node, "promote", half)
        patched.setattr(Node, "kill", slow)
        cluster.cluster.failover(target.id)
        cluster.await_writer(cluster.instance(3).id)
    with cluster.connect(cluster.writer.address) as connection:
        connection.execute("INSERT INTO written SELECT generate_series(1, 1000)")
    cluster.cluster.failover(target.id)
    cluster.await_writer(target.id)
    await_rows_everywhere(cluster, list(range(1, 1001)))


def test_a_reader_that_misses_what_the_writer_wrote_is_not_promoted(
    cluster: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replay is paused, so it lacks commits when the writer dies: another one takes over."""
    create_table(cluster)
    behind, other = cluster.instance(2), cluster.instance(3)
    give_up_soon(monkeypatch, behind.id)
    member = cluster.cluster.core.members[behind.id]
    with member.node.connect() as control:
        control.execute("SELECT pg_wal_replay_pause()")
    with cluster.connect(cluster.writer.address) as connection:
        connection.execute("INSERT INTO written SELECT generate_series(1, 1000)")
    cluster.cluster.failover(behind.id)
    cluster.await_writer(other.id)
    await_rows_everywhere(cluster, list(range(1, 1001)))


def test_a_reader_two_histories_behind_is_not_promoted(
    cluster: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage holds what it lacks on an older timeline than its newest, segments away."""
    create_table(cluster)
    first, second, behind = (cluster.instance(number) for number in (1, 2, 3))
    give_up_soon(monkeypatch, behind.id)
    member = cluster.cluster.core.members[behind.id]
    with member.node.connect() as control:
        control.execute("SELECT pg_wal_replay_pause()")
    for writer, other, ids in [(first, second, "1, 50000"), (second, first, "50001, 100000")]:
        with cluster.connect(writer.address) as connection:
            connection.execute(f"INSERT INTO written SELECT generate_series({ids})")
        cluster.cluster.failover(other.id)
        cluster.await_writer(other.id)
    cluster.cluster.failover(behind.id)
    cluster.await_writer(second.id)
    await_rows_everywhere(cluster, list(range(1, 100_001)))


def test_storage_tells_the_end_of_history_from_a_record_over_several_segments(
    new_cluster: NewCluster,
) -> None:
    running = new_cluster(readers=0)
    core = running.cluster.core
    assert core is not None
    node, shared = core.members[running.writer.id].node, core.foundation

    def end() -> str:
        position = node.position()
        assert position is not None
        return position.lsn

    def holds_more(lsn: str) -> bool:
        return shared.storage.holds_more(lsn, shared.binaries, shared.account)

    before = end()
    with node.connect() as control:
        control.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 9000000))")
    assert holds_more(before)
    wait_until(lambda: not holds_more(end()), "nothing to be written any more", timeout_s=60)
    with node.connect() as control:
        control.execute("SELECT pg_switch_wal()")
    # The history ends where a segment does, and the next one is not there, or not written to.
    wait_until(lambda: not holds_more(end()), "nothing to be written any more", timeout_s=60)
    assert holds_more(before)
