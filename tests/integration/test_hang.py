"""A server that hangs: what its clients see, and that the cluster kills and replaces it."""

from __future__ import annotations

import socket
import threading

import psycopg
import pytest
from fix_faults import PATIENCE_S, Faults, Writing
from fix_testcluster import NewCluster, Running

from chaos.errors import DatabaseError
from chaos.testcluster.postgres import interrogation
from chaos.testcluster.records import ApiError
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(30)


class Asking(threading.Thread):
    """One statement on one connection, and what became of it."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.answer: object = None
        self.error: psycopg.Error | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self.connection.execute("SELECT 42").fetchone()
        except psycopg.Error as error:
            self.error = error


def test_a_hung_writer_accepts_connections_and_answers_nobody(
    faults: Faults, unnoticed: pytest.MonkeyPatch
) -> None:
    running, writer = faults.running, faults.running.writer
    session = running.connect(writer.address)
    hang = faults.begin("hang", instance=writer.id)
    asking = Asking(session)
    with socket.create_connection((writer.address, running.record.port), timeout=30) as raw:
        raw.shutdown(socket.SHUT_WR)  # A server that lives closes now.
        raw.settimeout(0.5)
        with pytest.raises(TimeoutError):
            raw.recv(1)
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            running.connect(writer.address, connect_timeout=2)
        assert asking.is_alive()
        assert faults.in_force() == {hang}

        faults.end(hang)
        asking.join(PATIENCE_S)
        assert asking.answer == (42,)
        raw.settimeout(30)
        assert raw.recv(1) == b""
    assert running.writer.pid == writer.pid
    session.close()


def test_a_writer_that_goes_on_hanging_is_killed_and_failed_over(
    faults: Faults, unnoticed: pytest.MonkeyPatch
) -> None:
    running, writer = faults.running, faults.running.writer
    writing = Writing(running.connect(writer.address), "written_before_the_hang")
    session = running.connect(writer.address)
    faults.begin("hang", instance=writer.id)
    asking = Asking(session)
    unnoticed.undo()
    faults.await_writer_other_than(writer.id)
    asking.join(PATIENCE_S)
    assert isinstance(asking.error, psycopg.OperationalError)
    running.await_settled(PATIENCE_S)
    assert running.event_ids(running.record.id)[-2:] == ["0073", "0071"]
    writing.thread.join(PATIENCE_S)
    with running.connect(running.writer.address) as found:
        assert not writing.lost(found)
    with running.connect(writer.address) as found:
        assert found.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def test_the_control_planes_own_wait_for_a_hung_server_is_bounded(
    faults: Faults, unnoticed: pytest.MonkeyPatch
) -> None:
    """Neither TCP nor the server's own time-out would ever end it."""
    unnoticed.setattr(interrogation, "_ANSWER_TIMEOUT_S", 0.5)
    reader = faults.running.readers[0]
    node = faults.member(reader.id).node

    def ask() -> None:
        with node.connect() as session:
            faults.begin("hang", instance=reader.id)
            session.execute("SELECT 1")

    with pytest.raises(DatabaseError, match=r"no answer within 0\.5 s"):
        ask()
    assert node.ask("SELECT 1") is None


def test_a_hung_reader_leaves_the_reader_endpoint_and_comes_back(faults: Faults) -> None:
    running, reader = faults.running, faults.running.readers[0]
    endpoint = running.record.reader_endpoint
    writer = running.writer
    faults.begin("hang", instance=reader.id.upper())
    wait_until(
        lambda: reader.address not in running.behind(endpoint),
        "the reader endpoint to leave it out",
        timeout_s=PATIENCE_S,
    )
    assert running.behind(endpoint)
    running.await_settled(PATIENCE_S)
    assert reader.address in running.behind(endpoint)
    assert (running.writer.id, running.writer.pid) == (writer.id, writer.pid)
    with running.connect(reader.address) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_hang_ends_after_its_time(faults: Faults, unnoticed: pytest.MonkeyPatch) -> None:
    reader = faults.running.readers[0]
    session = faults.running.connect(reader.address)
    faults.begin("hang", instance=reader.id, for_s=0.3)
    assert session.execute("SELECT 1").fetchone() == (1,)
    wait_until(lambda: not faults.in_force(), "its end to be known", timeout_s=PATIENCE_S)
    session.close()


def test_a_hang_is_refused_where_it_makes_no_sense(
    faults: Faults, unnoticed: pytest.MonkeyPatch
) -> None:
    reader = faults.running.readers[0]
    with pytest.raises(ApiError, match="DBInstance nobody not found"):
        faults.begin("hang", instance="nobody")
    hang = faults.begin("hang", instance=reader.id)
    with pytest.raises(ApiError, match="hangs already"):
        faults.begin("hang", instance=reader.id)
    assert faults.in_force() == {hang}
    faults.end(hang)
    assert not faults.end(hang), "it is over"
    with faults.running.cluster.core.lock:  # It cannot end before it was looked at.
        faults.running.cluster.reboot(reader.id)
        with pytest.raises(ApiError, match="not in available state; it is rebooting"):
            faults.begin("hang", instance=reader.id)


def test_a_hung_writer_without_readers_is_restarted_in_place(new_cluster: NewCluster) -> None:
    running = new_cluster(readers=0)
    faults = Faults(running)
    pid = running.writer.pid
    faults.begin("hang", instance=running.writer.id)
    wait_until(
        lambda: running.writer.pid not in {pid, None} and running.settled(),
        "a new server",
        timeout_s=PATIENCE_S,
    )
    assert running.event_ids("t") == ["0170"]
    assert running.event_ids(running.writer.id)[-2:] == ["0004", "0006"]


def test_a_cluster_closes_while_a_server_hangs(new_cluster: NewCluster) -> None:
    running: Running = new_cluster(readers=1)
    Faults(running).begin("hang", instance=running.writer.id)
    Faults(running).begin("hang", instance=running.readers[0].id)
    running.estate.close()
    assert not running.estate.disturbances.active()
    assert not running.cluster.core.directory.exists()
