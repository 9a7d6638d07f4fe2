"""The ledger's arithmetic: the writes that clients attempted against the rows that were found.

Both come in the order of write ids, the rows in chunks: memory holds a few bytes a write, no rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chaos.model.history import Records, load_operations, writing
from chaos.model.ledger import ArmLedger
from chaos.model.operation import NO_WRITE_ID, Outcome

SHOWN_MAX = 20
"""Write ids that a ledger lists of each kind."""
_MANY = np.iinfo(np.uint8).max

Ids = NDArray[np.int64]
Found = tuple[Ids, NDArray[np.int64]]
"""Ascending write ids, and how many rows each has."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows that one instance holds of one arm's attempted writes."""

    rows: NDArray[np.uint8]
    """How many there are of each attempted write; 255 stands for more as well."""
    strays: int
    """Write ids of rows that no record tells of."""
    duplicated_strays: tuple[int, ...] = ()


def written(records: Records) -> NDArray[np.bool_]:
    """Tell which recorded operations wrote a row of the ledger, or tried to."""
    return np.asarray(writing(records) & (records["write_id"] != NO_WRITE_ID))


def attempted_writes(operations: Path, arm: str) -> tuple[Ids, NDArray[np.uint8]]:
    """Return the ids of the arm's recorded writes in ascending order, and their outcomes."""
    records = load_operations(operations, arm).operations
    chosen = written(records)
    ids = np.asarray(records["write_id"][chosen], dtype=np.int64)
    outcomes = np.asarray(records["outcome"][chosen], dtype=np.uint8)
    order = np.argsort(ids, kind="stable")
    return ids[order], outcomes[order]


def acknowledgements(operations: Path, arm: str, ids: Ids) -> tuple[Ids, tuple[str, ...]]:
    """Return when each of some acknowledged writes was acknowledged, in ns, and by which instance.

    Reads the records again, so that they need not be kept for the few writes that are asked for.
    """
    log = load_operations(operations, arm)
    records = log.operations
    positions = np.flatnonzero(written(records) & np.isin(records["write_id"], ids))
    order = np.argsort(records["write_id"][positions], kind="stable")
    chosen = records[positions[order]]
    names = tuple(log.names[number] for number in chosen["instance"].tolist())
    return np.asarray(chosen["ended_ns"], dtype=np.int64), names


def tally(ids: Ids, found: Iterable[Found]) -> Tally:
    """Count the rows of attempted writes (`ids` ascending, each once), chunk by chunk."""
    rows = np.zeros(len(ids), dtype=np.uint8)
    strays = 0
    duplicated: list[int] = []
    for found_ids, found_rows in found:
        places = np.searchsorted(ids, found_ids)
        known = places < len(ids)
        known[known] = ids[places[known]] == found_ids[known]
        rows[places[known]] = np.minimum(found_rows[known], _MANY)
        strays += int(np.count_nonzero(~known))
        duplicated += found_ids[~known & (found_rows > 1)].tolist()
    return Tally(rows, strays, tuple(duplicated))


def count(ids: Ids, outcomes: NDArray[np.uint8], on_writer: Tally) -> ArmLedger:
    """Tell what became of attempted writes, by the rows that the writer holds."""
    rows = on_writer.rows
    acknowledged = outcomes == Outcome.OK
    unknown = outcomes == Outcome.UNKNOWN
    lost = acknowledged & (rows == 0)
    failed_applied = (outcomes == Outcome.FAILED) & (rows > 0)
    duplicated = sorted([*ids[rows > 1].tolist(), *on_writer.duplicated_strays])
    return ArmLedger(
        acknowledged=number(acknowledged),
        applied_once=number(acknowledged & (rows == 1)),
        lost=number(lost),
        duplicated=len(duplicated),
        unknown_applied=number(unknown & (rows > 0)),
        unknown_lost=number(unknown & (rows == 0)),
        failed_applied=number(failed_applied),
        unexpected=on_writer.strays,
        lost_ids=shown(ids, lost),
        duplicated_ids=tuple(duplicated[:SHOWN_MAX]),
        failed_applied_ids=shown(ids, failed_applied),
    )


def by_name(names: Iterable[str]) -> Mapping[str, int]:
    """Return how often each name occurs."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def number(mask: NDArray[np.bool_]) -> int:
    """Return how many are set."""
    return int(np.count_nonzero(mask))


def shown(ids: Ids, mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the first of the marked ids."""
    return tuple(ids[mask][:SHOWN_MAX].tolist())
