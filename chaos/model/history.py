"""Everything a run recorded, loaded for judging and reporting; seconds since the run's origin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.clock import NS, Anchor
from chaos.model import bulk
from chaos.model.ledger import Ledger
from chaos.model.operation import ATTEMPT, CONNECTION, OPERATION, WRITING, Kind
from chaos.model.record import FORMAT, Event, Observation, read_events, read_observations
from chaos.model.shares import NO_SHARES, Shares, load_shares

OPERATION_DTYPE = np.dtype(
    {
        "names": [
            "intended_ns", "started_ns", "ended_ns", "write_id", "backend_pid", "waited_us",
            "endpoint", "instance", "error", "attempts", "kind", "outcome",
        ],
        "formats": [
            "<i8", "<i8", "<i8", "<i8", "<i4", "<u4", "<u2", "<u2", "<u2", "<u2", "u1", "u1",
        ],
        "itemsize": OPERATION.size,
    }
)  # fmt: skip
ATTEMPT_DTYPE = np.dtype(
    {
        "names": ["operation", "started_ns", "ended_ns", "backend_pid", "instance", "error"],
        "formats": ["<i8", "<i8", "<i8", "<i4", "<u2", "<u2"],
        "itemsize": ATTEMPT.size,
    }
)
CONNECTION_DTYPE = np.dtype(
    {
        "names": [
            "at_ns", "began_ns", "backend_pid", "endpoint", "instance", "address", "event", "role",
        ],
        "formats": ["<i8", "<i8", "<i4", "<u2", "<u2", "<u2", "u1", "u1"],
        "itemsize": CONNECTION.size,
    }
)  # fmt: skip

Records = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Stream:
    """The operations of one arm, endpoint and kind, ordered by intended start.

    `positions` are their indices in the arm's log, which is what attempts refer to.
    """

    arm: str
    endpoint: str
    kind: Kind
    records: Records
    positions: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OperationLog:
    """The operations of one arm (memory-mapped) and the names they refer to."""

    arm: str
    operations: Records
    attempts: Records
    names: tuple[str, ...]
    connections: Records = field(default_factory=lambda: np.empty(0, dtype=CONNECTION_DTYPE))
    shares: Shares = field(default_factory=lambda: NO_SHARES)
    """Which worker the operations came from; empty where the runner's machine sent them all."""

    @property
    def clock_error_ns(self) -> int:
        """By how much an instant may be wrong at most, since it was read on another machine."""
        return int(self.shares["error_ns"].max(initial=0))

    def streams(self) -> Iterator[Stream]:
        """Yield one stream for each endpoint and kind that occurs, ordered by intended start."""
        operations = self.operations
        found: set[int] = set()
        for part in bulk.pieces(len(operations)):
            found |= set(np.unique(_codes(operations[part])).tolist())
        for code in sorted(found):
            positions = bulk.where(
                len(operations),
                lambda part, code=code: _codes(operations[part]) == code,  # type: ignore[misc]
            )
            due = bulk.taken(operations["intended_ns"], positions)
            if not bulk.ascending(due):
                positions = bulk.taken(positions, np.argsort(due, kind="stable"))
            endpoint, kind = divmod(code, 256)
            records = bulk.taken(operations, positions)
            yield Stream(self.arm, self.names[endpoint], Kind(kind), records, positions)


def _codes(operations: Records) -> NDArray[np.int64]:
    """Return one number for the endpoint and the kind of each operation."""
    return np.asarray(operations["endpoint"].astype(np.int64) << 8 | operations["kind"])


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One run folder in memory; `arms` includes the probes under `PROBE_ARM`."""

    folder: Path
    environment: Mapping[str, Any]
    experiment: Mapping[str, Any]
    events: tuple[Event, ...]
    observations: tuple[Observation, ...]
    arms: Mapping[str, OperationLog]
    ledger: Ledger | None
    anchor: Anchor
    origin_ns: int

    def seconds(self, instant_ns: int) -> float:
        """Return a monotonic instant as seconds since the run's origin."""
        return (instant_ns - self.origin_ns) / NS

    def of_kind(self, kind: str) -> Iterator[Observation]:
        """Yield the observations of one kind in order."""
        return (o for o in self.observations if o.kind == kind)


def writing(records: Records) -> NDArray[np.bool_]:
    """Tell which of some recorded operations write."""
    kinds = records["kind"]
    return np.asarray(np.logical_or.reduce([kinds == kind for kind in WRITING]))


def load_operations(folder: Path, arm: str) -> OperationLog:
    """Map the operations of one arm below `folder`; a torn last record is ignored.

    Its writer may go on meanwhile. What refers to names is mapped before they are read, so that none
    is missing.
    """
    operations = _map(folder / f"{arm}.ops", OPERATION_DTYPE)
    attempts = _map(folder / f"{arm}.attempts", ATTEMPT_DTYPE)
    connections = _map(folder / f"{arm}.connections", CONNECTION_DTYPE)
    names = [""]
    text = (folder / f"{arm}.names").read_text(encoding="utf-8")
    names += [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    shares = load_shares(folder, arm)
    return OperationLog(arm, operations, attempts, tuple(names), connections, shares)


def load_history(folder: Path) -> History:
    """Load a run folder.

    Raises:
        OSError: `environment.json` or the journal is missing: not a run folder.
        ValueError: a file is damaged, says where; or it is of another version's format.
    """
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    events = tuple(read_events(folder / "journal.jsonl"))
    for told in (e.data["format"] for e in events if "format" in e.data):
        if told != FORMAT:
            raise ValueError(
                f"{folder} was recorded in format {told}, this version reads {FORMAT}: judge and"
                " report it with the version that environment.json names"
            )
    ledger_path = folder / "ledger.json"
    operations = folder / "operations"
    return History(
        folder=folder,
        environment=environment,
        experiment=environment["experiment"],
        events=events,
        observations=tuple(read_observations(folder / "observations.jsonl")),
        arms={
            path.stem: load_operations(operations, path.stem)
            for path in sorted(operations.glob("*.ops"))
        },
        ledger=(
            Ledger.from_json(json.loads(ledger_path.read_text(encoding="utf-8")))
            if ledger_path.exists()
            else None
        ),
        anchor=Anchor(**environment["anchor"]),
        origin_ns=environment["anchor"]["monotonic_ns"],
    )


def _map(path: Path, dtype: np.dtype[np.void]) -> Records:
    count = path.stat().st_size // dtype.itemsize if path.exists() else 0
    if not count:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(count,))
