"""Pausing at 0 ACU on a real cluster: what it takes, who waits, what wakes it, what it survives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import psycopg
import pytest
from fix_testcluster import PASSWORD, Connection, Running, open_estate

from chaos.testcluster.estate import start_cluster
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.profiles import Range
from chaos.testcluster.records import (
    ClusterChanges,
    ClusterSpec,
    InstanceRecord,
    InstanceSpec,
    ServerlessBounds,
)
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(35)

IDLE_S = 0.6  # of real time, for the 300 s that are the shortest idle time
TIMEOUT_S = 60
WRITER, READER, ALONE = "t-instance-1", "t-instance-2", "alone"
PAUSE_STARTED, PAUSE_CANCELLED, PAUSED = "0370", "0371", "0372"
RESUME_STARTED, RESUMED = "0373", "0374"


@pytest.fixture(scope="module")
def running(postgres_binaries: PostgresBinaries) -> Iterator[Running]:
    """A writer, a reader of tier 1, and one of tier 2 called `alone`, all with 0 to 4 ACU."""
    bounds = ServerlessBounds(min_acu=0, max_acu=4)
    with open_estate(postgres_binaries) as estate:
        spec = ClusterSpec(id="t", readers=1, serverless=bounds)
        running = Running(start_cluster(estate, spec, PASSWORD), estate)
        pacer = running.cluster.core.pacer
        pacer.profile = replace(
            pacer.profile,
            idle_time_scale=IDLE_S / 300,
            pause=Range(0.05, 0.05),
            resume=Range(0.3, 0.3),
        )
        running.cluster.create_instance(InstanceSpec(id=ALONE, promotion_tier=2))
        running.await_settled(TIMEOUT_S)
        with connected(running, WRITER) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 0 AS n")
        yield running


def keep(connection: Connection) -> int:
    """Write another row and return it."""
    row = connection.execute("INSERT INTO kept SELECT max(n) + 1 FROM kept RETURNING n").fetchone()
    assert row is not None
    return int(str(row[0]))


def await_kept(connection: Connection, number: int) -> None:
    """Wait until an instance shows a row; a reader may sleep before it has the table itself."""
    wait_until(
        lambda: connection.execute("SELECT max(n) FROM kept").fetchone() == (number,),
        f"row {number}",
        timeout_s=TIMEOUT_S,
        errors=(psycopg.errors.UndefinedTable,),
    )


def instance(running: Running, name: str) -> InstanceRecord:
    return next(i for i in running.record.instances if i.id == name)


def connected(running: Running, name: str, **options: object) -> Connection:
    address = instance(running, name).address
    return running.connect(address, **{"connect_timeout": TIMEOUT_S, **options})


def all_told(running: Running, name: str) -> list[str]:
    """Return the events about pausing of an instance, oldest first."""
    kinds = {PAUSE_STARTED, PAUSE_CANCELLED, PAUSED, RESUME_STARTED, RESUMED}
    return [event for event in running.event_ids_so_far(name) if event in kinds]


def told(running: Running, name: str) -> list[str]:
    """Return them without beginnings of a pause, some of which are cancelled."""
    return [e for e in all_told(running, name) if e not in {PAUSE_STARTED, PAUSE_CANCELLED}]


def told_awake(running: Running, *names: str) -> dict[str, list[str]]:
    """Return what was told about instances with users, once the wake-up is."""

    def awake() -> dict[str, list[str]] | None:
        found = {name: told(running, name) for name in names}
        return found if all(events[-1:] in ([], [RESUMED]) for events in found.values()) else None

    found = wait_until(awake, f"{', '.join(names)} to be awake", timeout_s=TIMEOUT_S)
    assert found is not None
    return found


def await_all_paused(running: Running) -> None:
    """Wait until all instances are paused, and have told so."""
    wait_until(
        lambda: all(
            i.paused and told(running, i.id)[-1:] == [PAUSED] for i in running.record.instances
        ),
        "the pause",
        timeout_s=TIMEOUT_S,
    )


def rescale(running: Running, bounds: ServerlessBounds) -> None:
    running.cluster.modify(ClusterChanges(serverless=bounds))


def await_told(running: Running, name: str, *events: str, after: list[str]) -> None:
    """Wait until the next things told of an instance, `after` those, are these."""
    wait_until(
        lambda: told(running, name)[len(after) :][: len(events)] == list(events),
        f"events {events} of {name}",
        timeout_s=TIMEOUT_S,
    )


def test_the_first_connection_to_an_idle_cluster_waits_and_is_served(running: Running) -> None:
    with connected(running, WRITER) as connection:
        written = keep(connection)
        with connected(running, ALONE):
            before = told_awake(running, WRITER, READER, ALONE)
    await_all_paused(running)
    assert running.record.status == "available"
    assert {i.status for i in running.record.instances} == {"available"}
    assert {i.capacity_acu for i in running.record.instances} == {0.0}
    for name in (WRITER, READER, ALONE):
        await_told(running, name, PAUSED, after=before[name])
        assert all_told(running, name)[-2:] == [PAUSE_STARTED, PAUSED]
    with connected(running, WRITER) as connection:
        assert connection.execute("SELECT max(n) FROM kept").fetchone() == (written,)
        for name in (WRITER, READER):
            await_told(running, name, PAUSED, RESUME_STARTED, RESUMED, after=before[name])
        assert instance(running, WRITER).capacity_acu != 0
        assert instance(running, ALONE).paused, "nobody called it"


def test_waking_a_reader_of_tier_2_wakes_the_writer_first_and_it_catches_up(
    running: Running,
) -> None:
    await_all_paused(running)
    with connected(running, WRITER) as connection:
        written = keep(connection)
    await_all_paused(running)
    with connected(running, ALONE) as connection:
        assert not instance(running, WRITER).paused
        assert not instance(running, READER).paused
        await_kept(connection, written)
        told_awake(running, WRITER, READER, ALONE)
    order = [
        event.source_id
        for event in running.estate.ground.events.all()
        if event.event_id.endswith(RESUMED)
    ]
    assert order[-3:] == [WRITER, READER, ALONE]


def test_a_failed_login_wakes_it_too(running: Running) -> None:
    await_all_paused(running)
    before = told(running, WRITER)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connected(running, WRITER, password="wrong")
    await_told(running, WRITER, RESUME_STARTED, RESUMED, after=before)


def test_an_open_connection_keeps_its_group_awake(running: Running) -> None:
    with connected(running, READER):
        with connected(running, ALONE):
            before = told_awake(running, WRITER, READER, ALONE)
        await_told(running, ALONE, PAUSED, after=before[ALONE])
        assert told(running, WRITER) == before[WRITER], "as long as that it was idle itself"
        assert told(running, READER) == before[READER]


def last_told(running: Running, name: str, event: str) -> bool:
    return all_told(running, name)[-1:] == [event]


def test_a_connection_while_it_is_pausing_cancels_the_pause(running: Running) -> None:
    end = running.cluster.core.pacer.fix("pause", 20.0)
    try:
        with connected(running, WRITER):
            before = told_awake(running, WRITER, READER)
        beginning = partial(last_told, running, WRITER, PAUSE_STARTED)
        wait_until(beginning, "the pause to begin", timeout_s=TIMEOUT_S)
        with connected(running, WRITER):
            for name in (WRITER, READER):
                cancelled = partial(last_told, running, name, PAUSE_CANCELLED)
                wait_until(cancelled, "the pause to be cancelled", timeout_s=TIMEOUT_S)
                assert told(running, name) == before[name]
            assert not instance(running, WRITER).paused
    finally:
        end()


def test_a_failover_of_a_paused_cluster_wakes_it_and_loses_nothing(running: Running) -> None:
    with connected(running, WRITER) as connection:
        written = keep(connection)
    await_all_paused(running)
    running.cluster.failover(READER)
    running.await_writer(READER, TIMEOUT_S)
    with connected(running, READER) as connection:
        assert keep(connection) == written + 1


def test_a_paused_instance_that_is_killed_comes_back(running: Running) -> None:
    await_all_paused(running)
    before = instance(running, ALONE).pid
    running.cluster.crash(ALONE)
    wait_until(
        lambda: running.settled() and instance(running, ALONE).pid not in {before, None},
        "the killed reader",
        timeout_s=TIMEOUT_S,
    )
    await_all_paused(running)


def test_a_reboot_and_a_change_of_bounds_wake_it_for_good(running: Running) -> None:
    with connected(running, running.writer.id) as connection:
        written = keep(connection)
    await_all_paused(running)
    running.cluster.reboot(running.writer.id)
    running.await_settled(TIMEOUT_S)
    await_all_paused(running)
    rescale(running, ServerlessBounds(min_acu=0.5, max_acu=4))
    wait_until(
        lambda: not any(i.paused for i in running.record.instances),
        "all to be awake",
        timeout_s=TIMEOUT_S,
    )
    assert running.record.serverless == ServerlessBounds(min_acu=0.5, max_acu=4)
    for name in (WRITER, READER):
        with connected(running, name) as connection:
            await_kept(connection, written)
