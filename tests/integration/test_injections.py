"""Faults that a client asks for by SQL, as on Aurora."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from fix_faults import PATIENCE_S, Faults

from chaos.testcluster.disturbances import storage
from chaos.testcluster.records import InstanceRecord
from chaos.wait import wait_until

Session = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def writer(faults: Faults) -> Iterator[Session]:
    with faults.running.connect(faults.running.writer.address) as session:
        yield session


def inject(session: Session, call: str) -> None:
    session.execute(f"SELECT aurora_inject_{call}")


def in_force(faults: Faults, kind: str) -> list[dict[str, object]]:
    active = [one.as_json() for one in faults.running.estate.disturbances.active()]
    return [one for one in active if one["kind"] == kind]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("replica_failure(100.1, 5, '')", "between 0 and 100"),
        ("replica_failure(-1, 5, '')", "between 0 and 100"),
        ("replica_failure(NULL, 5, '')", "between 0 and 100"),
        ("replica_failure(100, 0, '')", "positive number of seconds"),
        ("replica_failure(100, 5, 'nobody')", 'no Aurora Replica "nobody"'),
        ("replica_failure(100, 5, 't-instance-1')", 'no Aurora Replica "t-instance-1"'),
        ("disk_failure(50, 96, true, 5)", "maximum index value is 95"),
        ("disk_failure(50, 45, false, 5)", "maximum index value is 44"),
        ("disk_failure(50, -1, false, 5)", "no storage node with index -1"),
        ("disk_congestion(50, 0, true, 5, 10, 10)", "must be greater than the minimum"),
        ("disk_congestion(50, 0, true, 5, 0, 100.1)", "between 0.0 and 100.0"),
        ("disk_congestion(50, 0, true, -5, 0, 100)", "positive number of seconds"),
    ],
)
def test_arguments_are_checked_as_documented(
    faults: Faults, writer: Session, call: str, complaint: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=complaint):
        inject(writer, call)
    assert not faults.in_force()


def test_the_volume_tells_how_much_there_is_of_it(writer: Session) -> None:
    found = writer.execute("SELECT disks, nodes FROM aurora_show_volume_status()").fetchall()
    assert found == [(96, 45)]


def test_only_the_master_users_role_may_inject(faults: Faults, writer: Session) -> None:
    writer.execute("CREATE ROLE nobody_special LOGIN PASSWORD 'x'")
    address = faults.running.writer.address
    with faults.running.connect(address, user="nobody_special", password="x") as session:
        for call in (
            "replica_failure(100, 5, '')",
            "disk_failure(50, 0, true, 5)",
            "disk_congestion(50, 0, true, 5, 0, 100)",
            "request('{}')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                inject(session, call)
        assert session.execute("SELECT FROM aurora_show_volume_status()").fetchone() == ()
    assert not faults.in_force()


def test_a_replica_failure_blocks_replication_for_its_time(faults: Faults, writer: Session) -> None:
    running = faults.running
    failing, other = running.readers[:2]
    writer.execute("CREATE TABLE shown (id bigint)")

    def shows(instance: InstanceRecord, number: int) -> bool:
        with running.connect(instance.address) as session:
            sql = "SELECT FROM shown WHERE id = %s"
            return session.execute(sql, [number]).fetchone() is not None

    for reader in (failing, other):
        wait_until(
            lambda reader=reader: shows(reader, 0) is False,  # type: ignore[misc]
            "the table",
            timeout_s=PATIENCE_S,
            errors=(psycopg.errors.UndefinedTable,),
        )
    inject(writer, f"replica_failure(100, 3600, '{failing.id.upper()}')")
    paused = "SELECT pg_get_wal_replay_pause_state()"
    node = faults.member(failing.id).node
    wait_until(
        lambda: faults.in_force() and node.ask(paused) == ("paused",),
        "the failure",
        timeout_s=PATIENCE_S,
    )
    (shown,) = in_force(faults, "replica-failure")
    assert (shown["instance"], shown["percent"], shown["for_s"]) == (failing.id, 100, 3600)
    writer.execute("INSERT INTO shown VALUES (1)")
    wait_until(lambda: shows(other, 1), "the other reader", timeout_s=PATIENCE_S)
    assert not shows(failing, 1)
    # Asked again, it lasts as long as was said last.
    inject(writer, "replica_failure(100, 1, '')")
    wait_until(lambda: shows(failing, 1) and not faults.in_force(), "its end", timeout_s=PATIENCE_S)
    writer.execute("DROP TABLE shown")


def test_a_replica_failure_is_seen_from_the_writer(faults: Faults, writer: Session) -> None:
    """Asked for as an application does it: its own user, typed parameters."""
    (user,) = writer.execute(
        "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    ).fetchall()
    assert user == (False,)
    failing, other = faults.running.readers[:2]
    writer.execute("CREATE TABLE lagging (id bigint)")
    writer.execute("SELECT aurora_inject_replica_failure(%s, %s, %s)", [100, 3600, failing.id])

    def lags() -> dict[object, float]:
        writer.execute("INSERT INTO lagging VALUES (1)")
        rows = writer.execute(
            "SELECT server_id, replica_lag_in_msec FROM aurora_replica_status() "
            "WHERE session_id <> 'MASTER_SESSION_ID'"
        ).fetchall()
        return {name: float(str(lag)) for name, lag in rows}

    wait_until(
        lambda: (now := lags())[failing.id] > 500 > now[other.id],
        "one reader to lag",
        timeout_s=PATIENCE_S,
        interval_s=0.05,
    )
    faults.end_all()
    wait_until(
        lambda: lags()[failing.id] < 500,
        "the end of the lag",
        timeout_s=PATIENCE_S,
        interval_s=0.05,
    )
    writer.execute("DROP TABLE lagging")


def test_congestion_and_failures_of_disks_slow_down_statements(
    faults: Faults, writer: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for on a reader, as on Aurora; the storage is everybody's."""
    drawn: list[tuple[float, tuple[float, float]]] = []

    def draw(percent: float, range_ms: tuple[float, float]) -> float:
        drawn.append((percent, range_ms))
        return 0.001

    monkeypatch.setattr(storage, "_drawn_s", draw)
    with faults.running.connect(faults.running.readers[0].address) as reader:
        inject(reader, "disk_congestion(80, 95, true, 3600, 10.0, 20.5)")
        inject(reader, "disk_failure(25, 44, false, 3600)")
        inject(reader, "disk_failure(0, 44, false, 3600)")
    wait_until(lambda: len(faults.in_force()) == 2, "both to be in force", timeout_s=PATIENCE_S)
    (congestion,) = in_force(faults, "disk-congestion")
    assert (congestion["percent"], congestion["cluster"]) == (80, "t")
    (failure,) = in_force(faults, "disk-failure")
    assert failure["percent"] == 25

    def both_held() -> bool:
        assert writer.execute("SELECT 1").fetchone() == (1,)
        return {(80, (10.0, 20.5)), (25, (20.0, 100.0))} <= set(drawn)

    wait_until(both_held, "statements to be held by both", timeout_s=PATIENCE_S, interval_s=0.05)


def test_a_crash_is_survived_in_place(faults: Faults, writer: Session) -> None:
    before = faults.running.writer
    with pytest.raises(psycopg.OperationalError):
        inject(writer, "crash('Dispatcher')")
    wait_until(
        lambda: faults.running.writer.pid not in {before.pid, None} and faults.running.settled(),
        "another server",
        timeout_s=PATIENCE_S,
    )
    assert faults.running.writer.id == before.id
