"""The workers' records as they reach the run folder: one log an arm, on the runner's clock.

Parcels are appended to the arm's own files, as if one process had recorded everything: names become
those of the joint table, indices those of the joint file, and instants are moved by the offset of the
worker's clock. Whatever reads a run, also while it lasts, needs to know nothing of workers.
`ARM.workers` tells who sent what and how well the clock was known (`chaos.model.shares`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection as Names
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chaos.model.history import ATTEMPT_DTYPE, CONNECTION_DTYPE, OPERATION_DTYPE, Records
from chaos.model.operation import NAMES_MAX, ConnectionEvent, append_whole
from chaos.model.record import LineWriter, Observation
from chaos.model.shares import SHARE, path_of
from loadgen.distributed.channel import Note
from loadgen.distributed.clock import Alignment
from loadgen.distributed.shipping import names_in

_NAMED = ("endpoint", "instance", "error", "address")
_OTHER = "(other)"
_DTYPES = (OPERATION_DTYPE, ATTEMPT_DTYPE, CONNECTION_DTYPE)


@dataclass(slots=True)
class Sender:
    """One worker as its records are collected."""

    number: int
    alignment: Alignment
    received: int = 0
    """Number of the next parcel to apply."""
    offset_ns: int | None = None
    """In use: kept as long as it is nearly as good as the best, so that one worker's instants keep
    their distances."""
    error_ns: int = 0
    """The largest so far."""
    arms: dict[str, _Known] = field(default_factory=dict)

    def offset_over(self, instants: Sequence[NDArray[np.int64]]) -> tuple[int, int]:
        """Return by how much to move some instants of this worker, and how wrong that may be, in ns."""
        told = [part for part in instants if len(part)]
        if not told:
            return self.alignment.latest().offset_ns, 0
        best = self.alignment.over(
            min(int(part.min()) for part in told), max(int(part.max()) for part in told)
        )
        if self.offset_ns is None or abs(best.offset_ns - self.offset_ns) > best.error_ns:
            self.offset_ns = best.offset_ns
        error_ns = abs(best.offset_ns - self.offset_ns) + best.error_ns
        self.error_ns = max(self.error_ns, error_ns)
        return self.offset_ns, error_ns


@dataclass(slots=True)
class _Known:
    """What was seen of one arm of one worker: its names and where its operations went."""

    names: list[int] = field(default_factory=lambda: [0])
    firsts: list[int] = field(default_factory=list)
    """Indices of the first operations of each parcel, in the worker's file..."""
    places: list[int] = field(default_factory=list)
    """...and in the joint one."""
    opened: dict[tuple[int, int], int] = field(default_factory=dict)
    """Connections that are open, by backend and when they were opened; when that is here."""


class Collection:
    """Appends the records of all workers to the run folder."""

    def __init__(self, folder: Path, arms: Names[str]) -> None:
        """Open the files of `arms` in the run folder.

        Raises:
            OSError: the folder cannot be written.
        """
        self._arms = {arm: _JointArm(folder / "operations", arm) for arm in arms}
        self._observations = LineWriter(folder / "observations.jsonl")

    def apply(self, parcel: Note, sender: Sender) -> None:
        """Append a parcel, unless it was appended before.

        Raises:
            OSError: the disk is full or the folder is gone.
            KeyError: it is of an arm that the run does not have.
        """
        if parcel.fields["number"] != sender.received:
            return
        parts = iter(parcel.parts)
        for entry in parcel.fields["arms"]:
            arm, known = self._arms[entry["arm"]], sender.arms.setdefault(entry["arm"], _Known())
            operations, attempts, connections = (
                np.frombuffer(next(parts), dtype=dtype).copy() for dtype in _DTYPES
            )
            known.names += [arm.name(text) for text in names_in(next(parts))]
            arm.append(sender, known, entry["first"], (operations, attempts, connections))
        for line in next(parts).splitlines():
            self.observe(_moved(Observation(**json.loads(line)), sender))
        sender.received += 1

    def observe(self, observation: Observation) -> None:
        """Append an observation of the runner's own.

        Raises:
            OSError: the disk is full or the folder is gone.
        """
        self._observations.append(observation)

    def close(self) -> None:
        """Close every file."""
        self._observations.close()
        for arm in self._arms.values():
            arm.close()


class _JointArm:
    """The joint files of one arm."""

    def __init__(self, folder: Path, arm: str) -> None:
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
        folder.mkdir(parents=True, exist_ok=True)
        self._operations, self._attempts, self._connections, self._names = (
            os.open(folder / f"{arm}.{suffix}", flags, 0o644)
            for suffix in ("ops", "attempts", "connections", "names")
        )
        self._shares = os.open(path_of(folder, arm), flags, 0o644)
        self._ids: dict[str, int] = {"": 0}
        self._count = 0

    def name(self, text: str) -> int:
        """Return the number of a name in the joint table; further ones than it takes are one."""
        found = self._ids.get(text)
        if found is None and len(self._ids) >= NAMES_MAX and text != _OTHER:
            return self.name(_OTHER)
        if found is None:
            found = self._ids[text] = len(self._ids)
            append_whole(self._names, (json.dumps(text) + "\n").encode())
        return found

    def append(
        self,
        sender: Sender,
        known: _Known,
        first: int,
        tables: tuple[Records, Records, Records],
    ) -> None:
        """Append records of one worker, changed to be of the joint files.

        `tables` are operations, attempts and connections; `first` is the index that the first
        operation has in the worker's own file.
        """
        operations, attempts, connections = tables
        instants = [table[name] for table in tables for name in _instants(table)]
        offset_ns, error_ns = sender.offset_over(instants)
        known.firsts.append(first)
        known.places.append(self._count)
        _follow(known, connections, offset_ns)
        names = np.array(known.names, dtype=np.uint16)
        for table in tables:
            for name in _instants(table):
                table[name] -= offset_ns
            for name in set(_NAMED) & set(table.dtype.names or ()):
                table[name] = names[table[name]]
        which = np.searchsorted(known.firsts, attempts["operation"], side="right") - 1
        moved = np.array(known.places) - np.array(known.firsts)
        attempts["operation"] += moved[which]
        if any(len(table) for table in tables):
            # Without operations it still tells how wrong the other instants are.
            share = SHARE.pack(self._count, len(operations), offset_ns, error_ns, sender.number)
            append_whole(self._shares, share)
        # What operations refer to comes first, as in every log.
        for descriptor, table in (
            (self._attempts, attempts),
            (self._connections, connections),
            (self._operations, operations),
        ):
            append_whole(descriptor, table.tobytes())
        self._count += len(operations)

    def close(self) -> None:
        for descriptor in (
            self._operations,
            self._attempts,
            self._connections,
            self._names,
            self._shares,
        ):
            os.close(descriptor)


def _instants(table: Records) -> list[str]:
    """Return the fields that hold when something happened; when a connection began is long past."""
    return [n for n in table.dtype.names or () if n.endswith("_ns") and n != "began_ns"]


def _follow(known: _Known, connections: Records, offset_ns: int) -> None:
    """Move when each connection began; one that ends began just when it was told to be open."""
    for row in connections:
        began_ns, at_ns, pid = int(row["began_ns"]), int(row["at_ns"]), int(row["backend_pid"])
        row["began_ns"] = began_ns - offset_ns
        if row["event"] == ConnectionEvent.OPENED:
            known.opened[pid, at_ns] = at_ns - offset_ns
        elif row["event"] == ConnectionEvent.CLOSED:
            row["began_ns"] = known.opened.pop((pid, began_ns), began_ns - offset_ns)


def _moved(observation: Observation, sender: Sender) -> Observation:
    """Return an observation of a worker on the runner's clock; it names the worker."""
    since_ns = observation.since_ns
    offset_ns = sender.alignment.latest().offset_ns
    return Observation(
        at_ns=observation.at_ns - offset_ns,
        since_ns=None if since_ns is None else since_ns - offset_ns,
        kind=observation.kind,
        subject=observation.subject,
        value=observation.value,
        detail={**observation.detail, "worker": sender.number},
    )
