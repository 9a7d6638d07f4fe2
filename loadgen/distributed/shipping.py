"""A worker's records on their way to the runner: parcels of whole records, one under way at a time.

A worker records into a folder of its own, as a local run does; a `Shipment` reads what was added to
it since the last parcel. A parcel has a number, is sent again until that number is confirmed, and is
applied once. So a worker that dies leaves all that was confirmed, and memory holds one parcel,
however long the network is down.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chaos.model.history import ATTEMPT_DTYPE
from chaos.model.operation import ATTEMPT, CONNECTION, OPERATION
from loadgen.distributed.channel import Note

PARCEL = "parcel"
OPERATIONS_MAX = 10_000
"""Operations of one arm in a parcel: half a megabyte."""
ATTEMPTS_MAX = 100_000
"""Attempts of one arm in a parcel; those above follow in the next."""
BYTES_MAX = 512 * 1024
"""Bytes of each other file in a parcel."""


@dataclass(slots=True)
class _Cursor:
    """How many bytes of each file of an arm were taken."""

    operations: int = 0
    attempts: int = 0
    connections: int = 0
    names: int = 0


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one arm has that was not taken yet."""

    arm: str
    operations: bytes
    attempts: bytes
    connections: bytes
    names: bytes
    first: int
    """Index of the first operation in the worker's own file."""

    @property
    def parts(self) -> tuple[bytes, ...]:
        return (self.operations, self.attempts, self.connections, self.names)


class Shipment:
    """The records of one worker: `parcel` is the next to send, `confirmed` lets another follow."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that the arms of this worker record into."""
        self._folder = folder
        self._cursors: dict[str, _Cursor] = {}
        self._lines = 0
        self._number = 0
        self._parcel: Note | None = None

    @property
    def parcel(self) -> Note | None:
        """The parcel that is not confirmed yet, else a new one; None: everything was confirmed.

        Raises:
            OSError: the folder is gone.
        """
        if self._parcel is None:
            self._parcel = self._packed()
        return self._parcel

    @property
    def recorded(self) -> int:
        """How many operations the files of this worker hold, whatever was taken of them.

        Raises:
            OSError: the folder is gone.
        """
        files = (self._folder / "operations").glob("*.ops")
        return sum(path.stat().st_size // OPERATION.size for path in files)

    def confirmed(self, number: int) -> None:
        """Let the next parcel follow, if this is the one under way."""
        if self._parcel is not None and number == self._number:
            self._number += 1
            self._parcel = None

    def _packed(self) -> Note | None:
        arms = sorted(path.stem for path in (self._folder / "operations").glob("*.ops"))
        taken = [self._take(arm) for arm in arms]
        full = [one for one in taken if any(one.parts)]
        lines = self._take_lines()
        if not full and not lines:
            return None
        fields: dict[str, Any] = {
            "number": self._number,
            "arms": [{"arm": one.arm, "first": one.first} for one in full],
        }
        return Note(PARCEL, fields, [part for one in full for part in one.parts] + [lines])

    def _take(self, arm: str) -> _Taken:
        """Take whole records of one arm, and all that they refer to.

        Names and attempts are flushed before the operations that refer to them: the operations' size
        is looked at first, so whatever is in them is told by what is read after.
        """
        cursor = self._cursors.setdefault(arm, _Cursor())
        folder = self._folder / "operations"
        first = cursor.operations // OPERATION.size
        limit = OPERATIONS_MAX * OPERATION.size
        operations = _whole(_read(folder / f"{arm}.ops", cursor.operations, limit), OPERATION.size)
        last = first + len(operations) // OPERATION.size
        attempts = _attempts_before(folder / f"{arm}.attempts", cursor.attempts, last)
        connections = _read(folder / f"{arm}.connections", cursor.connections, BYTES_MAX)
        connections = _whole(connections, CONNECTION.size)
        # All of them, however many: there are NAMES_MAX at most.
        names = _lines(_read(folder / f"{arm}.names", cursor.names))
        cursor.operations += len(operations)
        cursor.attempts += len(attempts)
        cursor.connections += len(connections)
        cursor.names += len(names)
        return _Taken(arm, operations, attempts, connections, names, first)

    def _take_lines(self) -> bytes:
        lines = _lines(_read(self._folder / "observations.jsonl", self._lines, BYTES_MAX))
        self._lines += len(lines)
        return lines


def names_in(lines: bytes) -> list[str]:
    """Return the names that a part of an `ARM.names` file holds."""
    return [json.loads(line) for line in lines.splitlines()]


def _read(path: Path, offset: int, limit: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset, os.SEEK_SET)
            return file.read(limit)
    except FileNotFoundError:
        return b""


def _whole(data: bytes, size: int) -> bytes:
    return data[: len(data) // size * size]


def _lines(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]


def _attempts_before(path: Path, offset: int, operation: int) -> bytes:
    """Return the next attempts of operations before one; the file is in the order of operations."""
    data = _whole(_read(path, offset, ATTEMPTS_MAX * ATTEMPT.size), ATTEMPT.size)
    of = np.frombuffer(data, dtype=ATTEMPT_DTYPE)["operation"]
    return data[: int(np.searchsorted(of, operation)) * ATTEMPT.size]
