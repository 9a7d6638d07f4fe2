"""The ledger's tables on real servers: made, counted against planted truth, gone afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from fix_postgres import INSTANCE, PlainPostgres

from chaos import names
from chaos.checks.reads import reads_of
from chaos.cli.target import Target
from chaos.errors import DatabaseError
from chaos.model.access import DatabaseAccess
from chaos.model.history import load_operations
from chaos.model.operation import Kind, OperationWriter, Outcome
from chaos.wait import wait_until
from loadgen import ledger, ledger_readers
from loadgen.tables import session_name, table_of

ARM = "resilient"
NOT_YET = (psycopg.errors.UndefinedTable, psycopg.OperationalError)


@pytest.fixture
def run(postgres: PlainPostgres, tmp_path: Path) -> Iterator[str]:
    """A prepared run, dropped afterwards."""
    ledger.prepare(postgres.access(), tmp_path.name)
    yield tmp_path.name
    ledger.drop(postgres.access(), tmp_path.name)


def record(folder: Path, arm: str, outcomes: dict[int, Outcome]) -> None:
    with OperationWriter(folder / "operations", arm) as writer:
        for write_id, outcome in outcomes.items():
            writer.operation(
                kind=Kind.WRITE,
                endpoint="cluster",
                intended_ns=write_id,
                started_ns=write_id,
                ended_ns=write_id + 1,
                outcome=outcome,
                write_id=write_id,
            )


def insert(postgres: PlainPostgres, run: str, arm: str, *write_ids: int) -> None:
    for write_id in write_ids:
        postgres.execute(
            f"INSERT INTO {table_of(run)} (arm, write_id, attempt, keyed)"
            " VALUES (%s, %s, 1, false)",
            arm,
            write_id,
        )


def schemas(postgres: PlainPostgres) -> list[tuple[object, ...]]:
    return postgres.execute("SELECT nspname FROM pg_namespace WHERE nspname = 'gameday'")


def test_planted_losses_and_duplicates_are_found_by_id(
    postgres: PlainPostgres, run: str, tmp_path: Path
) -> None:
    record(tmp_path, ARM, dict.fromkeys(range(1, 11), Outcome.OK) | {11: Outcome.UNKNOWN})
    record(tmp_path, "default-pool", {21: Outcome.OK, 22: Outcome.FAILED})
    insert(postgres, run, ARM, *range(1, 12))
    insert(postgres, run, "default-pool", 21, 22, 23)
    postgres.execute(f"DELETE FROM {table_of(run)} WHERE write_id = 4")
    insert(postgres, run, ARM, 7)
    found = ledger.reconcile(postgres.access(), tmp_path, run)
    assert found.complete, found.why
    assert found.read_from == INSTANCE
    assert found.read_at_ns > 0
    arm, other = found.arms[ARM], found.arms["default-pool"]
    assert (arm.acknowledged, arm.applied_once) == (10, 8)
    assert (arm.lost, arm.lost_ids) == (1, (4,))
    assert (arm.duplicated, arm.duplicated_ids) == (1, (7,))
    assert (arm.unknown_applied, arm.unknown_lost, arm.unexpected) == (1, 0, 0)
    assert (other.failed_applied, other.failed_applied_ids, other.unexpected) == (1, (22,), 1)


def test_more_rows_than_one_fetch_are_counted(
    postgres: PlainPostgres, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_readers, "CHUNK", 100)
    record(tmp_path, ARM, dict.fromkeys(range(1, 2501), Outcome.OK))
    postgres.execute(
        f"INSERT INTO {table_of(run)} (arm, write_id, attempt, keyed)"
        " SELECT %s, i, 1, true FROM generate_series(1, 2500) i WHERE i <> 1777",
        ARM,
    )
    found = ledger.reconcile(postgres.access(), tmp_path, run).arms[ARM]
    assert (found.applied_once, found.lost, found.lost_ids) == (2499, 1, (1777,))


def test_a_keyed_row_exists_once_however_often_it_is_sent(
    postgres: PlainPostgres, run: str
) -> None:
    statement = (
        f"INSERT INTO {table_of(run)} (arm, write_id, attempt, keyed)"
        " VALUES ('a', 1, 1, true) ON CONFLICT (arm, write_id) WHERE keyed DO NOTHING"
    )
    for _ in range(3):
        postgres.execute(statement)
    insert(postgres, run, "b", 1, 1)
    rows = postgres.execute(f"SELECT arm, count(*) FROM {table_of(run)} GROUP BY arm ORDER BY arm")
    assert rows == [("a", 1), ("b", 2)]


def session_of(postgres: PlainPostgres, run: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host="127.0.0.1",
        port=postgres.port,
        user="gameday",
        dbname="postgres",
        application_name=session_name(run, ARM),
    )


@pytest.mark.parametrize("length", [20, 70], ids=["short", "longer than the server shows"])
def test_nothing_is_judged_while_a_session_of_the_run_may_still_commit(
    postgres: PlainPostgres, tmp_path: Path, length: int
) -> None:
    run = f"{tmp_path.name}-".ljust(length, "x")
    record(tmp_path, ARM, {1: Outcome.UNKNOWN})
    ledger.prepare(postgres.access(), run)
    try:
        with session_of(postgres, run):
            found = ledger.reconcile(postgres.access(), tmp_path, run, sessions_timeout_s=0.2)
        assert not found.complete
        assert "sessions" in found.why
        with session_of(postgres, f"{run}y"):
            found = ledger.reconcile(postgres.access(), tmp_path, run, sessions_timeout_s=60)
        assert found.complete, "another run's sessions do not matter"
    finally:
        ledger.drop(postgres.access(), run)


def test_a_table_that_cannot_be_read_gives_an_incomplete_ledger(
    postgres: PlainPostgres, tmp_path: Path
) -> None:
    record(tmp_path, ARM, {1: Outcome.OK})
    found = ledger.reconcile(postgres.access(), tmp_path, "never-prepared")
    assert not found.complete
    assert "does not exist" in found.why


def test_an_endpoint_that_refuses_is_named(tmp_path: Path, postgres: PlainPostgres) -> None:
    access = postgres.access()
    away = DatabaseAccess(
        endpoints=access.endpoints, port=1, user="u", password="p", database="postgres"
    )
    with pytest.raises(DatabaseError, match=r"cannot create the run's table through 127\.0\.0\.1"):
        ledger.prepare(away, "run")
    found = ledger.reconcile(away, tmp_path, "run", writer_timeout_s=0.1)
    assert not found.complete
    assert "127.0.0.1" in found.why
    assert "refused" in found.why


def test_nothing_of_a_run_is_left_behind(postgres: PlainPostgres) -> None:
    """The last run takes our schema with it; one run's end does not disturb another's."""
    access = postgres.access()
    before = schemas(postgres)
    ledger.prepare(access, "first")
    ledger.prepare(access, "second")
    ledger.drop(access, "first")
    assert schemas(postgres) == [("gameday",)]
    insert(postgres, "second", ARM, 1)
    ledger.drop(access, "second")
    ledger.drop(access, "second")
    assert schemas(postgres) == before == []


def test_a_schema_of_somebody_else_is_left_alone(postgres: PlainPostgres) -> None:
    postgres.execute("CREATE SCHEMA gameday")
    try:
        ledger.prepare(postgres.access(), "guest")
        ledger.drop(postgres.access(), "guest")
        assert schemas(postgres) == [("gameday",)]
    finally:
        postgres.execute("DROP SCHEMA gameday")


def session_through(
    access: DatabaseAccess, endpoint: str
) -> psycopg.Connection[tuple[object, ...]]:
    address = names.query(access.endpoints[endpoint], access.name_server).addresses[0]
    return psycopg.connect(**access.parameters(endpoint), hostaddr=address, autocommit=True)


def test_the_ledger_waits_for_the_writer_through_a_failover(target: Target, tmp_path: Path) -> None:
    run = tmp_path.name
    topology = target.topology()
    old, control = topology.writer, target.control
    assert old is not None
    assert control is not None
    access = target.connect(topology)
    ledger.prepare(access, run)
    with session_through(access, "cluster") as writer:
        writer.execute(
            f"INSERT INTO {table_of(run)} (arm, write_id, attempt, keyed)"
            " SELECT %s, i, 1, true FROM generate_series(1, 200) i",
            (ARM,),
        )
    record(tmp_path, ARM, dict.fromkeys(range(1, 201), Outcome.OK))

    def demoted() -> bool:
        now = target.topology()
        if not now.all_available() or now.writer is None or now.writer.id == old.id:
            return False  # A failover that is not over does not look at defects again.
        with session_through(access, "cluster") as found:
            return found.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)

    control.begin(run, {"kind": "dns-never-moves"})
    target.rds.failover(None)
    wait_until(demoted, "the name to lead to the old writer", timeout_s=60, errors=NOT_YET)

    def without_patience() -> bool:
        found = ledger.reconcile(access, tmp_path, run, writer_timeout_s=0)
        assert not found.complete
        return f"leads to {old.id}, which is a reader" in found.why

    wait_until(without_patience, "the reader to be named", timeout_s=60)
    moving = threading.Timer(1.0, control.end, [run])
    moving.start()
    found = ledger.reconcile(access, tmp_path, run)
    moving.join()
    assert found.complete, found.why
    now = target.topology().writer
    assert now is not None
    assert found.read_from == now.id != old.id
    assert (found.arms[ARM].applied_once, found.arms[ARM].lost) == (200, 0)
    ledger.drop(access, run)


def test_what_a_reader_lacks_is_told_apart_from_what_is_lost(
    target: Target, tmp_path: Path
) -> None:
    """A reader that replays nothing more lacks what came later; the other one has it all."""
    run, topology, control = tmp_path.name, target.topology(), target.control
    assert control is not None
    assert topology.writer is not None
    stale, fresh = sorted({m.id for m in topology.members} - {topology.writer.id})
    access = target.connect(topology)
    ledger.prepare(access, run)

    def add(first: int, last: int) -> None:
        with session_through(access, "cluster") as writer:
            writer.execute(
                f"INSERT INTO {table_of(run)} (arm, write_id, attempt, keyed)"
                " SELECT %s, i, 1, false FROM generate_series(%s::bigint, %s) i",
                (ARM, first, last),
            )

    def has_the_first() -> bool:
        with session_through(access, stale) as reader:
            return reader.execute(f"SELECT count(*) FROM {table_of(run)}").fetchone() == (100,)

    add(1, 100)
    wait_until(has_the_first, f"{stale} to have the first", timeout_s=60, errors=NOT_YET)
    control.begin(run, {"kind": "stale-reader", "instance": stale})
    try:
        add(101, 150)
        add(150, 150)
        record(tmp_path, ARM, dict.fromkeys(range(1, 161), Outcome.OK))
        found = ledger.reconcile(access, tmp_path, run, readers_timeout_s=6)
    finally:
        control.end(run)
    assert found.complete, found.why
    arm = found.arms[ARM]
    assert (arm.lost, arm.lost_by_instance, arm.applied_once) == (10, {"": 10}, 149)
    assert (arm.lost_first_ns, arm.lost_last_ns) == (152, 161)
    assert arm.duplicated_attempts == {"150": (1, 1)}
    assert set(found.readers) == {stale, fresh}
    good, bad = found.readers[fresh], found.readers[stale]
    assert (good.complete, good.caught_up, good.missing, good.extra) == (True, True, 0, 0), good.why
    assert (good.behind_s, good.why) == (None, "")
    assert (bad.complete, bad.caught_up, bad.missing, bad.extra) == (True, False, 50, 0)
    assert bad.missing_ids == tuple(range(101, 121))
    assert bad.missing_by_arm == {ARM: 50}
    assert bad.behind_s == pytest.approx((bad.read_at_ns - 102) / 1e9)
    assert f"{stale} to show the last write" in bad.why
    ledger.drop(access, run)


def test_what_a_stale_reader_shows_is_known_to_be_old(target: Target, tmp_path: Path) -> None:
    """Each operation is recorded as an arm would; the other reader is cleared by the same writes."""
    run, topology, control = tmp_path.name, target.topology(), target.control
    assert control is not None
    assert topology.writer is not None
    stale, fresh = sorted({m.id for m in topology.members} - {topology.writer.id})
    access = target.connect(topology)
    ledger.prepare(access, run)
    operations = OperationWriter(tmp_path / "operations", ARM)

    def recorded(kind: Kind, endpoint: str, statement: str, write_id: int | None = None) -> int:
        began_ns = time.monotonic_ns()
        with session_through(access, endpoint) as session:
            row = session.execute(statement.format(table=table_of(run))).fetchone()
        seen = write_id if write_id is not None else int(row[0]) if row and row[0] else -1
        operations.operation(
            kind=kind,
            endpoint="cluster" if kind is Kind.WRITE else "reader",
            intended_ns=began_ns,
            started_ns=began_ns,
            ended_ns=time.monotonic_ns(),
            outcome=Outcome.OK,
            instance=endpoint,
            write_id=seen,
        )
        return seen

    def write(number: int) -> None:
        insert = "INSERT INTO {table} (arm, write_id, attempt, keyed) VALUES "
        recorded(
            Kind.WRITE, "cluster", f"{insert}('{ARM}', {number}, 1, false) RETURNING 1", number
        )

    def read(instance: str) -> int:
        return recorded(Kind.READ, instance, "SELECT max(write_id) FROM {table}")

    def shows(instance: str, number: int) -> None:
        wait_until(
            lambda: read(instance) == number,
            f"{instance} to show {number}",
            timeout_s=60,
            errors=NOT_YET,
        )

    write(1)
    shows(stale, 1)
    control.begin(run, {"kind": "stale-reader", "instance": stale})
    try:
        for number in range(2, 6):
            write(number)
        assert read(stale) == 1
        shows(fresh, 5)
    finally:
        control.end(run)
        operations.close()
    (reads,) = reads_of(load_operations(tmp_path / "operations", ARM))
    of_stale, of_fresh = (
        [n for n, at in enumerate(reads.instance) if reads.log.names[at] == name][-1]
        for name in (stale, fresh)
    )
    assert reads.lower_ns[of_stale] == reads.since[of_stale] - reads.writes.ended[1] > 0
    assert reads.lower_ns[of_stale] == reads.upper_ns[of_stale]
    assert (reads.lower_ns[of_fresh], reads.upper_ns[of_fresh]) == (0, 0)
    ledger.drop(access, run)


def test_a_reader_that_cannot_be_asked_is_named_and_the_rest_is_complete(
    postgres: PlainPostgres, run: str, tmp_path: Path
) -> None:
    """It has no counts; and a name that leads to the writer itself is no reader."""
    access = postgres.access()
    named = {**access.endpoints, "gone": "gone.invalid", "alias": access.endpoints["cluster"]}
    record(tmp_path, ARM, {1: Outcome.OK})
    insert(postgres, run, ARM, 1)
    found = ledger.reconcile(replace(access, endpoints=named), tmp_path, run, readers_timeout_s=0.1)
    assert found.complete, found.why
    assert set(found.readers) == {"gone"}
    gone = found.readers["gone"]
    assert (gone.complete, gone.missing, gone.extra) == (False, None, None)
    assert "gone.invalid" in gone.why


def test_the_ledger_waits_for_a_writer_that_is_down(target: Target, tmp_path: Path) -> None:
    topology, control = target.topology(), target.control
    writer = topology.writer
    assert control is not None
    assert writer is not None
    access = target.connect(topology)
    ledger.prepare(access, tmp_path.name)
    record(tmp_path, ARM, {1: Outcome.OK})

    def refused() -> bool:
        try:
            session_through(access, "cluster").close()
        except psycopg.OperationalError:
            return True
        return False

    # Long enough that nobody is late to see it.
    control.begin(tmp_path.name, {"kind": "slow-recovery", "extra_s": 5})
    target.rds.reboot(writer.id)
    wait_until(refused, "the writer to be down", timeout_s=60, interval_s=0.01)
    control.end(tmp_path.name)
    found = ledger.reconcile(access, tmp_path, tmp_path.name)
    assert found.complete, found.why
    assert (found.read_from, found.arms[ARM].lost) == (writer.id, 1)
    ledger.drop(access, tmp_path.name)
