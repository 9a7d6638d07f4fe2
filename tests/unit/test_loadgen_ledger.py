"""The ledger's arithmetic, against losses and duplicates that the test plants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.model.ledger import ArmLedger
from chaos.model.operation import Kind, OperationWriter, Outcome
from loadgen.ledger_counts import SHOWN_MAX, Found, attempted_writes, count, tally


def chunks(rows: dict[int, int], size: int) -> Iterator[Found]:
    """Hand over found rows as the table's cursor does."""
    items = sorted((write_id, number) for write_id, number in rows.items() if number)
    for start in range(0, len(items), size):
        part = np.array(items[start : start + size], dtype=np.int64)
        yield part[:, 0], part[:, 1]


def counted(writes: dict[int, Outcome], rows: dict[int, int], size: int = 3) -> ArmLedger:
    ids = np.array(sorted(writes), dtype=np.int64)
    outcomes = np.array([writes[i] for i in sorted(writes)], dtype=np.uint8)
    return count(ids, outcomes, tally(ids, chunks(rows, size)))


def test_each_way_a_write_can_end_has_its_own_count() -> None:
    writes = {
        1: Outcome.OK,
        2: Outcome.OK,
        3: Outcome.OK,
        4: Outcome.UNKNOWN,
        5: Outcome.UNKNOWN,
        6: Outcome.FAILED,
        7: Outcome.FAILED,
        8: Outcome.UNKNOWN,
    }
    rows = {1: 1, 2: 0, 3: 2, 4: 1, 5: 0, 6: 0, 7: 1, 8: 2, 99: 1}
    assert counted(writes, rows) == ArmLedger(
        acknowledged=3,
        applied_once=1,
        lost=1,
        duplicated=2,
        unknown_applied=2,
        unknown_lost=1,
        failed_applied=1,
        unexpected=1,
        lost_ids=(2,),
        duplicated_ids=(3, 8),
        failed_applied_ids=(7,),
    )


def test_rows_without_any_record_are_unexpected_and_not_lost() -> None:
    """A killed process leaves rows whose records died with it."""
    found = counted({}, {5: 1, 6: 2})
    assert (found.lost, found.unexpected, found.duplicated) == (0, 2, 1)
    assert found.duplicated_ids == (6,)


def test_an_empty_table_has_lost_every_acknowledged_write() -> None:
    found = counted(dict.fromkeys(range(100), Outcome.OK), {})
    assert (found.acknowledged, found.applied_once, found.lost) == (100, 0, 100)
    assert found.lost_ids == tuple(range(SHOWN_MAX))


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.dictionaries(st.integers(0, 60), st.sampled_from(list(Outcome))),
    st.dictionaries(st.integers(0, 70), st.integers(0, 3)),
    st.integers(1, 7),
)
def test_counts_agree_with_a_definition_written_out(
    writes: dict[int, Outcome], rows: dict[int, int], size: int
) -> None:
    """However the table's chunks fall, every write and every row is in exactly the right counts."""
    found = counted(writes, rows, size)

    def number(outcome: Outcome, *, low: int, high: int) -> int:
        return sum(o is outcome and low <= rows.get(i, 0) <= high for i, o in writes.items())

    assert found.acknowledged == sum(o is Outcome.OK for o in writes.values())
    assert found.applied_once == number(Outcome.OK, low=1, high=1)
    assert found.lost == number(Outcome.OK, low=0, high=0)
    assert found.unknown_applied == number(Outcome.UNKNOWN, low=1, high=9)
    assert found.unknown_lost == number(Outcome.UNKNOWN, low=0, high=0)
    assert found.failed_applied == number(Outcome.FAILED, low=1, high=9)
    assert found.duplicated == sum(n > 1 for n in rows.values())
    assert found.unexpected == sum(n > 0 and i not in writes for i, n in rows.items())


def test_recorded_writes_are_found_in_order_and_others_left_out(tmp_path: Path) -> None:
    """Reads, and writes that were never sent, have no place in the ledger."""
    with OperationWriter(tmp_path, "resilient") as writer:
        for kind, write_id, outcome in [
            (Kind.WRITE, 12, Outcome.UNKNOWN),
            (Kind.READ, 10, Outcome.OK),
            (Kind.TRANSACTION, 11, Outcome.OK),
            (Kind.WRITE, -1, Outcome.FAILED),
        ]:
            writer.operation(
                kind=kind,
                endpoint="cluster",
                intended_ns=1,
                started_ns=2,
                ended_ns=3,
                outcome=outcome,
                write_id=write_id,
            )
    ids, outcomes = attempted_writes(tmp_path, "resilient")
    assert ids.tolist() == [11, 12]
    assert outcomes.tolist() == [Outcome.OK, Outcome.UNKNOWN]
