"""Each planted defect does what it says, and lifting it heals the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from fix_testcluster import Running, open_estate

from chaos.testcluster.disturbances import DISTURBANCES
from chaos.testcluster.disturbances.defects import DEFECTS
from chaos.testcluster.disturbances.registry import parse
from chaos.testcluster.estate import start_cluster
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.records import ApiError, ClusterSpec
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(40)

PATIENCE_S = 60.0
# Whether it is a reader, what it has, and who is the writer to its knowledge.
STATE = """
SELECT json_build_array(pg_is_in_recovery(), (SELECT max(id) FROM told),
    (SELECT server_id FROM aurora_replica_status() WHERE session_id = 'MASTER_SESSION_ID'))
"""


@pytest.fixture(scope="module")
def running(postgres_binaries: PostgresBinaries) -> Iterator[Running]:
    """A cluster that the tests of this module share; each leaves it healthy."""
    with open_estate(postgres_binaries) as estate:
        cluster = start_cluster(estate, ClusterSpec(id="t"), "for-tests")
        found = Running(cluster, estate)
        with found.connect(found.writer.address) as connection:
            connection.execute("CREATE TABLE told (id bigint PRIMARY KEY)")
        yield found


@contextmanager
def planted(running: Running, kind: str, **parameters: Any) -> Iterator[None]:
    """Keep a defect planted for a block; the cluster is healthy before and after it."""
    await_healthy(running)
    defect = parse({"kind": kind, **parameters}, DISTURBANCES)
    active = running.estate.disturbances.begin(defect)
    assert running.estate.disturbances.active() == (active,)
    try:
        yield
    finally:  # The next test has the same cluster, whatever became of this one.
        running.estate.disturbances.end(active.id)
    await_healthy(running)


def await_healthy(running: Running) -> None:
    wait_until(
        lambda: healthy(running),
        "the cluster to be healthy",
        timeout_s=PATIENCE_S,
        interval_s=0.2,
    )


def healthy(running: Running) -> bool:
    """One writer by the API, SQL, names and the SQL topology; readers have what it has."""
    if not running.settled():
        return False
    writer = running.writer
    if running.behind(running.record.cluster_endpoint) != {writer.address}:
        return False
    told = ask(running, writer.address, "SELECT max(id) FROM told")
    return all(
        ask(running, instance.address, STATE) == [instance.id != writer.id, told, writer.id]
        for instance in running.record.instances
    )


def ask(running: Running, address: str, statement: str) -> Any:
    """The first value that an instance answers; None where it does not."""
    try:
        with running.connect(address) as connection:
            row = connection.execute(statement.encode()).fetchone()
    except psycopg.Error:
        return None
    return row[0] if row is not None else None


def write(running: Running, address: str) -> int:
    """Commit one more row on an instance and return it."""
    with running.connect(address) as connection:
        row = connection.execute(
            "INSERT INTO told SELECT coalesce(max(id), 0) + 1 FROM told RETURNING id"
        ).fetchone()
    assert row is not None
    return int(str(row[0]))


def fail_over(running: Running) -> tuple[str, str]:
    """Fail over to whom the service chooses; return old and new writer by the API."""
    old = running.writer.id
    running.cluster.failover(None)
    wait_until(
        lambda: running.writer.id != old and running.record.status == "available",
        "another writer by the API",
        timeout_s=PATIENCE_S,
    )
    return old, running.writer.id


def address_of(running: Running, instance: str) -> str:
    return next(i.address for i in running.record.instances if i.id == instance)


@pytest.mark.parametrize("how", ["requested", "crash"])
def test_loses_acknowledged_writes(running: Running, how: str) -> None:
    with planted(running, "loses-acknowledged-writes", lost_s=5):
        old = running.writer
        committed = [write(running, old.address) for _ in range(5)]
        if how == "crash":
            core = running.cluster.core
            core.members[old.id].node.crash()
            wait_until(lambda: running.writer.id != old.id, "a new writer", timeout_s=PATIENCE_S)
            new = running.writer.id
        else:
            _, new = fail_over(running)
        kept = ask(running, address_of(running, new), "SELECT max(id) FROM told")
        assert kept is None or kept < committed[-1]


def test_two_writers(running: Running) -> None:
    with planted(running, "two-writers"):
        before = write(running, running.writer.address)
        with running.connect(running.writer.address) as session:
            old, new = fail_over(running)
            session.execute("SELECT 1")  # It was never disconnected.
        ours = write(running, address_of(running, new))
        theirs = write(running, address_of(running, old))
        assert ours == theirs == before + 1
        running.await_settled()  # Both are shown as available, too.


def test_dns_never_moves(running: Running) -> None:
    with planted(running, "dns-never-moves"):
        old, _ = fail_over(running)
        running.await_settled()
        assert running.behind(running.record.cluster_endpoint) == {address_of(running, old)}


def test_readers_never_return(running: Running) -> None:
    with planted(running, "readers-never-return"):
        old, _ = fail_over(running)
        left = next(i for i in running.record.instances if i.id == old)
        assert left.status == "rebooting"
        assert left.pid is None
        assert address_of(running, old) not in running.behind(running.record.reader_endpoint)


def test_stale_reader(running: Running) -> None:
    stale, fresh = sorted(r.id for r in running.readers)
    with planted(running, "stale-reader"):
        before = ask(running, address_of(running, stale), "SELECT coalesce(max(id), 0) FROM told")
        after = write(running, running.writer.address)
        wait_until(
            lambda: ask(running, address_of(running, fresh), "SELECT max(id) FROM told") == after,
            "the other reader to have it",
            timeout_s=PATIENCE_S,
        )
        seen = ask(running, address_of(running, stale), "SELECT coalesce(max(id), 0) FROM told")
        assert seen == before < after


def test_poisoned_promotion(running: Running) -> None:
    """Connections by the cluster endpoint land on a reader while its name lags."""
    with planted(running, "poisoned-promotion", dns_lag_s=5.0):
        old = running.writer
        running.cluster.failover(None)
        wait_until(
            lambda: ask(running, old.address, "SELECT pg_is_in_recovery()"),
            "the old writer to be a reader",
            timeout_s=PATIENCE_S,
        )
        (address,) = running.behind(running.record.cluster_endpoint)
        assert address == old.address
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            write(running, address)


def test_slow_recovery(running: Running) -> None:
    """It is out for at least as long as it is told to be: writes stop, the promotion comes later."""
    with planted(running, "slow-recovery", extra_s=1.5):
        core = running.cluster.core
        began = core.now()
        fail_over(running)
        assert (core.now() - began).total_seconds() >= 1.5


@pytest.mark.parametrize("wrong", ["api", "sql"])
def test_topology_disagrees(running: Running, wrong: str) -> None:
    core = running.cluster.core
    true, impostor = core.writer, min(r.id for r in running.readers)
    with planted(running, "topology-disagrees", wrong=wrong):
        by_api = running.writer.id
        by_sql = ask(
            running,
            address_of(running, impostor),
            "SELECT server_id FROM aurora_replica_status() WHERE session_id = 'MASTER_SESSION_ID'",
        )
        assert (by_api, by_sql) == ((impostor, true) if wrong == "api" else (true, impostor))
        assert core.writer == true


@pytest.mark.parametrize(
    ("kind", "shown", "told"),
    [("failover-does-nothing", True, ["0073", "0071"]), ("ignore-failover", False, [])],
)
def test_a_failover_that_is_not_done(
    running: Running, kind: str, shown: Any, told: list[str]
) -> None:
    old, pid = running.writer.id, running.writer.pid
    events = len(running.event_ids("t"))
    with planted(running, kind):
        with running.cluster.core.lock:  # It cannot end before it was looked at.
            running.cluster.failover(None)
            assert running.record.status == "failing-over"
        wait_until(lambda: running.record.status == "available", "its end", timeout_s=PATIENCE_S)
        wait_until(
            lambda: len(running.event_ids("t")) >= events + len(told),
            "what is told of it",
            timeout_s=PATIENCE_S,
        )
        assert (running.writer.id != old) is shown
        assert running.event_ids("t")[events:] == told
        assert ask(running, address_of(running, old), "SELECT pg_is_in_recovery()") is False
    assert (running.writer.id, running.writer.pid) == (old, pid)


@pytest.mark.parametrize("kind", [d.model_fields["kind"].default for d in DEFECTS])
def test_a_defect_is_planted_once_and_in_a_cluster_that_is_there(
    running: Running, kind: str
) -> None:
    disturbances = running.estate.disturbances
    with pytest.raises(ApiError, match="nowhere not found"):
        disturbances.begin(parse({"kind": kind, "cluster": "nowhere"}, DISTURBANCES))
    with planted(running, kind, cluster="T"), pytest.raises(ApiError, match="planted in cluster t"):
        disturbances.begin(parse({"kind": kind}, DISTURBANCES))
