"""Packet loss and latency between clients and an instance."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import textwrap

import psycopg
import pytest
from fix_faults import PATIENCE_S, Faults
from fix_testcluster import Running

from chaos.clock import MonotonicClock
from chaos.testcluster.machine.sockets import tap
from chaos.testcluster.postgres.processes import processes_in
from chaos.testcluster.records import ApiError
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(20)

Session = psycopg.Connection[tuple[object, ...]]


def sent_again(session: Session) -> int:
    """Return how many packets the client's kernel has sent again on this connection."""
    with socket.socket(fileno=os.dup(session.fileno())) as connection:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", info, 100)[0])


def answers_with_losses(session: Session) -> bool:
    """Ask once more; tell whether something had to be sent again by now."""
    assert session.execute("SELECT 1").fetchone() == (1,)
    return sent_again(session) > 0


@pytest.mark.usefixtures("filters")
def test_lost_packets_are_sent_again_on_old_and_new_connections(
    faults: Faults, unnoticed: pytest.MonkeyPatch
) -> None:
    """What the control plane sends to see whether the server lives may get lost, too."""
    running, reader = faults.running, faults.running.readers[0]
    old = running.connect(reader.address)
    loss = faults.begin("packet-loss", instance=reader.id, percent=20)
    wait_until(lambda: answers_with_losses(old), "a loss", timeout_s=PATIENCE_S, interval_s=0.001)
    new = running.connect(reader.address, connect_timeout=60)
    wait_until(lambda: answers_with_losses(new), "a loss", timeout_s=PATIENCE_S, interval_s=0.001)
    with pytest.raises(ApiError, match=f"in force for instance {reader.id} already: {loss}"):
        faults.begin("packet-loss", instance=reader.id, percent=5)
    faults.end(loss)

    def arrives_whole() -> bool:
        before = sent_again(old), sent_again(new)
        for _ in range(100):
            old.execute("SELECT 1")
            new.execute("SELECT 1")
        return (sent_again(old), sent_again(new)) == before

    # More than once, because a kernel that is short of time sends again what was only late.
    wait_until(arrives_whole, "nothing to get lost any more", timeout_s=PATIENCE_S)
    old.close()
    new.close()


@pytest.mark.usefixtures("filters")
def test_a_lasting_loss_reaches_the_sockets_of_a_restarted_server(
    faults: Faults, unnoticed: pytest.MonkeyPatch
) -> None:
    """It opens a listening socket of its own, which nothing was filtered at before."""
    running, reader = faults.running, faults.running.readers[0]
    loss = faults.begin("packet-loss", instance=reader.id, percent=100)
    running.cluster.reboot(reader.id)
    wait_until(
        lambda: faults.member(reader.id).node.pid not in {reader.pid, None},
        "another server",
        timeout_s=PATIENCE_S,
    )

    def refuses_to_talk() -> bool:
        try:
            socket.create_connection((reader.address, running.record.port), timeout=0.5).close()
        except TimeoutError:
            return True
        return False

    wait_until(
        refuses_to_talk, "its sockets to be found", timeout_s=PATIENCE_S, errors=(ConnectionError,)
    )
    faults.end(loss)
    running.await_settled(PATIENCE_S)


def test_requests_wait_for_the_latency_and_not_without_it(faults: Faults) -> None:
    running, writer = faults.running, faults.running.writer
    session = running.connect(writer.address)
    clock = MonotonicClock()

    def took_s() -> float:
        began_ns = clock.now_ns()
        assert session.execute("SELECT 1").fetchone() == (1,)
        return (clock.now_ns() - began_ns) / 1e9

    def is_delayed() -> bool:
        return took_s() >= 0.3

    latency = faults.begin("latency", instance=writer.id, delay_ms=300)
    # A pause between an answer and the next request, as an application makes.
    for _ in range(3):
        wait_until(is_delayed, "a delayed answer", timeout_s=PATIENCE_S, interval_s=0.05)
    with pytest.raises(ApiError, match="already"):
        faults.begin("latency", instance=writer.id, delay_ms=1)
    faults.end(latency)
    wait_until(lambda: took_s() < 0.3, "an answer at once", timeout_s=PATIENCE_S)
    session.close()


def test_what_is_delayed_still_hears_of_the_end(faults: Faults) -> None:
    """A stopped session can neither be told to end nor end; nobody waits for one for long."""
    running, writer = faults.running, faults.running.writer
    session = running.connect(writer.address)
    (pid,) = session.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    latency = faults.begin("latency", instance=writer.id, delay_ms=10_000)
    with faults.member(writer.id).node.connect() as control:
        control.execute("SELECT pg_terminate_backend(%s)", [pid])

    def ended() -> bool:
        with faults.member(writer.id).node.connect() as control:
            found = control.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid])
            return found.fetchone() is None

    wait_until(ended, "the session to end", timeout_s=PATIENCE_S)
    faults.end(latency)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")


def test_a_failover_goes_on_in_spite_of_latency_and_leaves_no_stopped_process(
    faults: Faults,
) -> None:
    running, writer = faults.running, faults.running.writer
    sessions = [running.connect(writer.address) for _ in range(3)]
    latency = faults.begin("latency", instance=writer.id, delay_ms=200)
    sessions[0].execute("SELECT 1")
    running.cluster.failover(None)
    faults.await_writer_other_than(writer.id)
    running.await_settled(PATIENCE_S)
    faults.end(latency)
    for session in sessions:
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with running.connect(writer.address) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_our_copies_of_a_servers_sockets_are_its_own_and_are_closed_with_it(
    shared_cluster: Running,
) -> None:
    node = shared_cluster.cluster.core.members[shared_cluster.writer.id].node
    found = tap(processes_in(node.data))
    try:
        (listening,) = [tapped for tapped in found if tapped.listening]
        where = (shared_cluster.writer.address, shared_cluster.record.port)
        assert listening.socket.getsockname() == where
        inodes = {tapped.inode for tapped in found}
        again = tap(processes_in(node.data), known=inodes)
        found += again  # Somebody may have connected meanwhile.
        assert not inodes & {tapped.inode for tapped in again}
    finally:
        for tapped in found:
            tapped.socket.close()


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root needs setpriv to be less"
)
def test_without_the_privileges_it_says_what_is_needed() -> None:
    program = """
        from chaos.errors import GamedayError
        from chaos.testcluster.process.addresses import AddressBlock
        from chaos.testcluster.disturbances import DISTURBANCES
        from chaos.testcluster.disturbances.registry import parse
        from chaos.testcluster.estate import Estate, start_cluster
        from chaos.testcluster.postgres.programs import find_postgres
        from chaos.testcluster.records import ClusterSpec
        estate = Estate(block=AddressBlock.lease(), binaries=find_postgres())
        try:
            start_cluster(estate, ClusterSpec(id="t", readers=0), "x")
            one = {"instance": "t-instance-1"}
            for fields in (
                {"kind": "power-loss", **one},
                {"kind": "power-loss", "zone": "eu-west-1a"},
                {"kind": "packet-loss", **one, "percent": 5},
                {"kind": "full-disk", **one},
                {"kind": "latency", **one, "delay_ms": 1},
                {"kind": "hang", **one, "for_s": 0.1},
            ):
                try:
                    estate.disturbances.begin(parse(fields, DISTURBANCES))
                except GamedayError as error:
                    print(fields["kind"], error)
                else:
                    print(fields["kind"], "begins")
        finally:
            estate.close()
    """
    less = ["setpriv", "--bounding-set=-net_admin,-sys_admin"] if os.geteuid() == 0 else []
    said = subprocess.run(
        [*less, sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("power-loss", "power-loss", "packet-loss", "full-disk", "latency", "hang")
    ]
    for line in lines[:3]:
        assert "needs the capability CAP_NET_ADMIN" in line
        assert "run the test cluster as root" in line
    assert "needs the capability CAP_SYS_ADMIN" in lines[3]
    assert lines[4:] == ["latency begins", "hang begins"]
