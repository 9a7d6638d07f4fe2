"""Acknowledged writes looked for while traffic lasts, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_postgres import PlainPostgres

from chaos.clock import NS
from chaos.errors import DatabaseError
from chaos.model.ledger import LostSoFar
from chaos.model.operation import Kind, OperationWriter, Outcome
from loadgen import ledger
from loadgen.tables import table_of
from loadgen.watched_writes import REMEMBERED_S, WatchedWrites

ARM = "resilient"


@pytest.fixture
def run(postgres: PlainPostgres, tmp_path: Path) -> Iterator[str]:
    ledger.prepare(postgres.access(), tmp_path.name)
    yield tmp_path.name
    ledger.drop(postgres.access(), tmp_path.name)


@pytest.fixture
def writes(postgres: PlainPostgres, run: str, tmp_path: Path) -> WatchedWrites:
    return WatchedWrites(postgres.access(), tmp_path, run)


def record(folder: Path, ids: range, outcome: Outcome = Outcome.OK) -> None:
    with OperationWriter(folder / "operations", ARM) as writer:
        for write_id in ids:
            writer.operation(
                kind=Kind.WRITE,
                endpoint="cluster",
                intended_ns=write_id,
                started_ns=write_id,
                ended_ns=write_id,
                outcome=outcome,
                write_id=write_id,
            )


def insert(postgres: PlainPostgres, run: str, ids: range) -> None:
    for write_id in ids:
        postgres.execute(
            f"INSERT INTO {table_of(run)} (arm, write_id, attempt, keyed) VALUES (%s, %s, 1, false)",
            ARM,
            write_id,
        )


def test_what_was_acknowledged_and_is_there_is_not_lost(
    writes: WatchedWrites, postgres: PlainPostgres, run: str, tmp_path: Path
) -> None:
    assert writes.look(0) == LostSoFar(checked=0, lost=0)
    record(tmp_path, range(1, 11))
    insert(postgres, run, range(1, 11))
    record(tmp_path, range(11, 13), Outcome.UNKNOWN)
    record(tmp_path, range(13, 15), Outcome.FAILED)
    assert [writes.look(NS), writes.look(2 * NS)] == [LostSoFar(checked=10, lost=0)] * 2


def test_a_write_is_lost_once_two_looks_missed_it(
    writes: WatchedWrites, postgres: PlainPostgres, run: str, tmp_path: Path
) -> None:
    record(tmp_path, range(1, 6))
    insert(postgres, run, range(2, 6))
    assert writes.look(NS).lost == 0
    assert writes.look(2 * NS) == LostSoFar(checked=5, lost=1)
    insert(postgres, run, range(1, 2))
    assert writes.look(3 * NS).lost == 0


def test_a_new_writer_is_asked_for_the_last_minute_again(
    writes: WatchedWrites, postgres: PlainPostgres, run: str, tmp_path: Path
) -> None:
    """Writes that were seen on the old writer may be missing on the one that was promoted."""
    record(tmp_path, range(1, 11))
    insert(postgres, run, range(1, 11))
    assert writes.look(NS).lost == 0
    postgres.execute(f"DELETE FROM {table_of(run)} WHERE write_id > 7")
    assert [writes.look(2 * NS).lost, writes.look(3 * NS).lost] == [0, 0]
    writes._writer = "another-instance"
    assert [writes.look(4 * NS).lost, writes.look(5 * NS).lost] == [0, 3]


def test_what_is_older_than_a_minute_is_forgotten(
    writes: WatchedWrites, postgres: PlainPostgres, run: str, tmp_path: Path
) -> None:
    record(tmp_path, range(1, 11))
    insert(postgres, run, range(1, 11))
    writes.look(NS)
    later = int((REMEMBERED_S + 2) * NS)
    writes.look(later)
    assert sum(len(ids) for _, ids in writes._remembered[ARM]) == 0


def test_a_look_that_failed_is_caught_up_with(
    writes: WatchedWrites, postgres: PlainPostgres, run: str, tmp_path: Path
) -> None:
    table = table_of(run)
    postgres.execute(f"ALTER TABLE {table} RENAME TO hidden")
    record(tmp_path, range(1, 4))
    with pytest.raises(DatabaseError, match="look for acknowledged writes"):
        writes.look(NS)
    postgres.execute(f"ALTER TABLE gameday.hidden RENAME TO {table.partition('.')[2]}")
    assert writes.look(2 * NS) == LostSoFar(checked=3, lost=0)
    assert writes.look(3 * NS) == LostSoFar(checked=3, lost=3)
