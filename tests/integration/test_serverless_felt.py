"""Capacity on a real cluster: it follows load, it is felt, and settings follow its maximum."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import psycopg
import pytest
from fix_testcluster import PASSWORD, Connection, NewCluster, Running, open_estate

from chaos.testcluster.api.describe import db_cluster
from chaos.testcluster.estate import start_cluster
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.records import ClusterChanges, ClusterSpec, InstanceSpec, ServerlessBounds
from chaos.wait import wait_until

SESSIONS = 4
TIMEOUT_S = 60
ENOUGH_CPU_S = 0.5
FOREVER = "SELECT count(*) FROM generate_series(1, 100000000000) WHERE random() < 2"


@pytest.fixture(scope="module")
def running(postgres_binaries: PostgresBinaries) -> Iterator[Running]:
    """A Serverless writer held at 1 ACU, which is little here, and a provisioned reader beside it."""
    bounds = ServerlessBounds(min_acu=1, max_acu=1)
    with open_estate(postgres_binaries) as estate:
        spec = ClusterSpec(id="t", readers=0, serverless=bounds)
        running = Running(start_cluster(estate, spec, PASSWORD), estate)
        pacer = running.cluster.core.pacer
        # So little that it is felt however busy the machine is.
        pacer.profile = replace(pacer.profile, cores_per_acu=0.02)
        running.cluster.create_instance(
            InstanceSpec(id="large", instance_class="db.r6g.xlarge", promotion_tier=15)
        )
        running.await_settled(TIMEOUT_S)
        yield running


@contextmanager
def busy(running: Running, address: str) -> Iterator[list[int]]:
    """Let sessions compute for ever on an instance; yield their processes."""
    connections = [running.connect(address, connect_timeout=TIMEOUT_S) for _ in range(SESSIONS)]

    def compute(connection: Connection) -> None:
        with pytest.raises(psycopg.Error):
            connection.execute(FOREVER)

    threads = [threading.Thread(target=compute, args=(c,)) for c in connections]
    try:
        for thread in threads:
            thread.start()
        yield [connection.info.backend_pid for connection in connections]
    finally:
        for connection in connections:
            connection.cancel_safe(timeout=TIMEOUT_S)
        for thread in threads:
            thread.join(TIMEOUT_S)
        for connection in connections:
            connection.close()


def rescale(running: Running, bounds: ServerlessBounds) -> None:
    running.cluster.modify(ClusterChanges(serverless=bounds))


def cpu_s(processes: list[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in processes]
    return sum(t.user + t.system for t in times)


def side_by_side(*groups: list[int]) -> list[float]:
    """Return the processor time that groups of processes take in the same while."""
    before = [cpu_s(group) for group in groups]
    # However little of the machine there is for us.
    wait_until(
        lambda: max(cpu_s(g) - b for g, b in zip(groups, before, strict=True)) > ENOUGH_CPU_S,
        "work to be done",
        timeout_s=TIMEOUT_S,
    )
    return [cpu_s(group) - b for group, b in zip(groups, before, strict=True)]


def test_less_capacity_is_less_processor_time_and_more_is_more(running: Running) -> None:
    writer, large = running.writer, running.readers[0]
    assert large.capacity_acu is None
    with busy(running, writer.address) as small, busy(running, large.address) as unbounded:
        side_by_side(small, unbounded)  # A rested server may take more for a moment.
        held, free = side_by_side(small, unbounded)
        assert free > 1.5 * held
        assert running.writer.capacity_acu == 1.0, "it may not have more"

        rescale(running, ServerlessBounds(min_acu=1, max_acu=256))

        def alike() -> bool:
            grown, free = side_by_side(small, unbounded)
            return grown > free / 1.5

        wait_until(alike, "capacity to follow the load until it is enough", timeout_s=TIMEOUT_S)
        assert (running.writer.capacity_acu or 0) > 2
    rescale(running, ServerlessBounds(min_acu=1, max_acu=1))
    wait_until(lambda: running.writer.capacity_acu == 1, "capacity to fall", timeout_s=TIMEOUT_S)
    assert set(running.event_ids(writer.id)) == {"0005"}, "scaling is no event"


def test_sessions_that_were_held_back_run_on_with_more_capacity(running: Running) -> None:
    with busy(running, running.writer.address) as processes:

        def stopped() -> bool:
            return psutil.STATUS_STOPPED in {psutil.Process(p).status() for p in processes}

        wait_until(stopped, "a session to be held back", timeout_s=TIMEOUT_S, interval_s=0.002)
        rescale(running, ServerlessBounds(min_acu=256, max_acu=256))
        wait_until(
            lambda: running.writer.capacity_acu == 256, "capacity to rise", timeout_s=TIMEOUT_S
        )
        wait_until(lambda: not stopped(), "sessions to run", timeout_s=TIMEOUT_S)


def shown(connection: Connection, name: str) -> str:
    row = connection.execute("SELECT setting FROM pg_settings WHERE name = %s", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def test_settings_follow_the_maximum_at_once_or_with_a_reboot(new_cluster: NewCluster) -> None:
    running = new_cluster(readers=1, serverless=ServerlessBounds(min_acu=1, max_acu=1))

    def statuses() -> set[str]:
        members = db_cluster(running.record)["DBClusterMembers"]
        return {member["DBClusterParameterGroupStatus"] for member in members}

    with running.connect(running.writer.address) as connection:
        assert shown(connection, "max_connections") == "189"
        before = int(shown(connection, "maintenance_work_mem"))
        assert statuses() == {"in-sync"}
        rescale(running, ServerlessBounds(min_acu=1, max_acu=8))
        wait_until(
            lambda: int(shown(connection, "maintenance_work_mem")) > before,
            "a dynamic setting to follow",
            timeout_s=TIMEOUT_S,
        )
        assert shown(connection, "max_connections") == "189", "static: it waits for a reboot"
        wait_until(
            lambda: statuses() == {"pending-reboot"}, "the reader to follow", timeout_s=TIMEOUT_S
        )
    running.cluster.reboot(running.writer.id)
    wait_until(
        # The reader is restarted as well: PostgreSQL's cannot have less than the writer.
        lambda: running.settled() and statuses() == {"in-sync"},
        "the reboot",
        timeout_s=TIMEOUT_S,
    )
    for address in (running.writer.address, running.readers[0].address):
        with running.connect(address, connect_timeout=TIMEOUT_S) as connection:
            assert shown(connection, "max_connections") == "1669"
    with running.connect(running.writer.address) as connection:
        connection.execute("CREATE TABLE replicated ()")

    def replicated() -> bool:
        with running.connect(running.readers[0].address, connect_timeout=TIMEOUT_S) as reader:
            return reader.execute("SELECT to_regclass('replicated')").fetchone() != (None,)

    wait_until(replicated, "the reader to follow", timeout_s=TIMEOUT_S)
