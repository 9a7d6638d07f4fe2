"""Machines and zones without power: nobody is told, and nothing starts until it is back."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import psycopg
import pytest
from fix_faults import PATIENCE_S, Faults, Writing
from fix_testcluster import NewCluster, Running

from chaos.testcluster.records import ApiError, InstanceSpec
from chaos.wait import wait_until

pytestmark = [pytest.mark.usefixtures("filters"), pytest.mark.seconds(25)]


@pytest.fixture
def raw(faults: Faults) -> Iterator[socket.socket]:
    """A connection to the writer with a request sent that the server answers, if it lives."""
    where = (faults.running.writer.address, faults.running.record.port)
    with socket.create_connection(where, timeout=30) as connection:
        yield connection


def is_silent(where: tuple[str, int]) -> bool:
    """Tell whether nobody even refuses to talk."""
    try:
        socket.create_connection(where, timeout=0.5).close()
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    return False


def test_nobody_is_told_that_a_machine_has_lost_its_power(
    faults: Faults, raw: socket.socket, unnoticed: pytest.MonkeyPatch
) -> None:
    running, writer = faults.running, faults.running.writer
    where = (writer.address, running.record.port)
    bounded = running.connect(writer.address, tcp_user_timeout=500)
    outage = faults.begin("power-loss", instance=writer.id)
    assert running.writer.pid is None
    raw.settimeout(0.5)
    raw.sendall(b"x")
    with pytest.raises(TimeoutError):  # neither an answer, nor FIN, nor RST
        raw.recv(1)
    assert is_silent(where)
    with pytest.raises(psycopg.OperationalError):
        running.connect(writer.address, connect_timeout=2)
    with pytest.raises(psycopg.OperationalError):  # by the client's own time-out, not by ours
        bounded.execute("SELECT 1")

    faults.end(outage)
    raw.settimeout(PATIENCE_S)
    with pytest.raises(
        ConnectionResetError
    ):  # What it had sent is sent again, to who knows nothing.
        raw.recv(1)
    running.await_settled(PATIENCE_S)
    with running.connect(running.writer.address) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_writer_without_power_is_failed_over_and_starts_when_it_is_back(faults: Faults) -> None:
    running, writer = faults.running, faults.running.writer
    where = (writer.address, running.record.port)
    endpoint = running.record.reader_endpoint
    writing = Writing(running.connect(writer.address), "written_before_the_outage")
    outage = faults.begin("power-loss", instance=writer.id)
    faults.await_writer_other_than(writer.id)
    with running.connect(running.writer.address) as found:
        assert not writing.lost(found)
        found.execute("INSERT INTO written_before_the_outage VALUES (0)")
    dark = next(i for i in running.record.instances if i.id == writer.id)
    assert (dark.status, dark.pid) == ("rebooting", None)
    assert writer.address not in running.behind(endpoint)
    assert is_silent(where)

    faults.end(outage)
    running.await_settled(PATIENCE_S)
    assert writer.address in running.behind(endpoint)
    with running.connect(writer.address) as found:
        assert found.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
        assert not writing.lost(found)


def test_a_zone_without_power_keeps_its_instances_down(faults: Faults) -> None:
    running, writer = faults.running, faults.running.writer
    zone = writer.availability_zone
    with pytest.raises(ApiError, match="eu-west-1z; there are: eu-west-1a, eu-west-1b"):
        faults.begin("power-loss", zone="eu-west-1z")
    outage = faults.begin("power-loss", zone=zone)
    with pytest.raises(ApiError, match=f"{zone} has no power already"):
        faults.begin("power-loss", zone=zone)
    faults.await_writer_other_than(writer.id)
    assert running.writer.availability_zone != zone
    assert running.behind(running.record.cluster_endpoint) == {running.writer.address}
    # Whoever is created there waits, too; elsewhere it does not.
    for name, where in (("late", zone), ("lucky", running.writer.availability_zone)):
        running.cluster.create_instance(InstanceSpec(id=name, availability_zone=where))
    wait_until(lambda: faults.member("lucky").status == "available", "lucky", timeout_s=PATIENCE_S)
    assert [faults.member(i).node.pid for i in (writer.id, "late")] == [None, None]

    faults.end(outage)
    running.await_settled(PATIENCE_S)
    for name in ("late", "lucky"):
        running.cluster.delete_instance(name)
    wait_until(
        lambda: not {"late", "lucky"} & set(running.cluster.core.members),
        "their deletion",
        timeout_s=PATIENCE_S,
    )


def test_outages_that_overlap_end_one_after_the_other(
    faults: Faults, unnoticed: pytest.MonkeyPatch
) -> None:
    running, reader = faults.running, faults.running.readers[0]
    where = (reader.address, running.record.port)
    of_machine = faults.begin("power-loss", instance=reader.id)
    of_zone = faults.begin("power-loss", zone=reader.availability_zone)
    faults.end(of_machine)
    assert is_silent(where)
    faults.end(of_zone)
    assert not is_silent(where)


def test_an_outage_is_refused_where_it_makes_no_sense(
    faults: Faults, unnoticed: pytest.MonkeyPatch
) -> None:
    reader = faults.running.readers[0]
    for wrong in ({}, {"instance": reader.id, "zone": "eu-west-1a"}):
        with pytest.raises(ApiError, match="either an instance or a zone"):
            faults.begin("power-loss", **wrong)
    with pytest.raises(ApiError, match="DBInstance nobody not found"):
        faults.begin("power-loss", instance="nobody")
    faults.begin("power-loss", instance=reader.id)
    with pytest.raises(ApiError, match="does not run"):
        faults.begin("power-loss", instance=reader.id)


def test_a_cluster_without_any_power_comes_back(faults: Faults) -> None:
    running = faults.running
    for zone in {i.availability_zone for i in running.record.instances}:
        faults.begin("power-loss", zone=zone)
    wait_until(
        lambda: "available" not in {i.status for i in running.record.instances},
        "all of them to be missed",
        timeout_s=PATIENCE_S,
    )
    assert {i.pid for i in running.record.instances} == {None}
    faults.end_all()
    with running.connect(running.writer.address) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_cluster_closes_without_power_and_gives_its_addresses_back(
    new_cluster: NewCluster,
) -> None:
    running: Running = new_cluster(readers=0)
    where = (running.writer.address, running.record.port)
    Faults(running).begin("power-loss", instance=running.writer.id)
    running.estate.close()
    with socket.create_server(where):
        pass
