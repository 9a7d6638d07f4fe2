"""The binary record of operations: what traffic and probes write, and history reads.

Each arm has four append-only files below the run folder's `operations/`:

`ARM.ops`          one fixed-width record an operation (`OPERATION`, 50 bytes)
`ARM.attempts`     one fixed-width record an attempt that did not succeed (`ATTEMPT`, 32 bytes)
`ARM.connections`  one fixed-width record a change of a connection (`CONNECTION`, 28 bytes)
`ARM.names`        one JSON string a line; a record's name field is the line's number, 0 is ""

All instants are `CLOCK_MONOTONIC` nanoseconds. A reader ignores a torn last record, so the files are
complete at every instant. Names and attempts are flushed before the operations that refer to them.

`write_id` is the id that a write or a transaction bears; of a read, the newest one that it saw.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

OPERATION = struct.Struct("<qqqqiIHHHHBB")
"""Intended, started, ended (ns); write id (-1: none); backend pid; us that its attempts waited for
connections; endpoint, instance and error (names); attempts; kind; outcome."""
# index of the operation in ARM.ops; started, ended (ns); backend pid; instance, error (names)
ATTEMPT = struct.Struct("<qqqiHH")
# at, began (ns); backend pid; endpoint, instance, address (names); event; role
CONNECTION = struct.Struct("<qqiHHHBB")
NAMES_MAX = 4096
PROBE_ARM = "probe"
NO_WRITE_ID = -1
SLOW_S = 1.0
"""An operation of an arm later than this was interrupted, whatever it returned.

One second is where a person notices that an application waits; retries below it go unfelt.
"""
PROBE_SLOW_S = 0.25
"""The same for a probe: above the 0.18 s after which it counts as overdue and others are tried."""
READ_ONLY = "25006"
"""SQLSTATE read_only_sql_transaction: what a demoted writer answers to a write."""
_WAITED_US_MAX = 2**32 - 1  # over an hour


class Kind(IntEnum):
    """What an operation asks for."""

    CONNECT = 0
    READ = 1
    WRITE = 2
    TRANSACTION = 3


WRITING = (Kind.WRITE, Kind.TRANSACTION)
"""Kinds whose operations leave a row in the ledger once they are committed."""


class Outcome(IntEnum):
    """How an operation ended for its client."""

    OK = 0
    FAILED = 1
    """It certainly had no effect: never sent, or the server said that it was rolled back."""
    UNKNOWN = 2
    """It was sent and the reply that would tell was lost."""


class ConnectionEvent(IntEnum):
    """What happened to a connection, from when it began to when it was known."""

    OPENED = 0
    """Ready for use; it began with connecting."""
    CLOSED = 1
    """Given up by its client; it began when it was opened. One never closed was never given up."""
    FAILED = 2
    """No connection came of it; the address is the error's name."""


class Role(IntEnum):
    """Of the instance that a connection leads to, by SQL, when it was opened."""

    UNKNOWN = 0
    WRITER = 1
    READER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One attempt that did not succeed. `error` is `SQLSTATE Name`, `-----` where none came."""

    started_ns: int
    ended_ns: int
    error: str
    instance: str = ""
    backend_pid: int = 0


class OperationWriter:
    """Appends the operations of one arm; buffered, flushed by whoever owns it at least every 0.25 s."""

    def __init__(self, folder: Path, arm: str) -> None:
        """Create or append to the files of `arm` below `folder` (made if missing).

        Raises:
            OSError: the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
        self._ops = os.open(folder / f"{arm}.ops", flags, 0o644)
        self._attempts = os.open(folder / f"{arm}.attempts", flags, 0o644)
        self._connections = os.open(folder / f"{arm}.connections", flags, 0o644)
        self._names = os.open(folder / f"{arm}.names", flags, 0o644)
        self._ids: dict[str, int] = {"": 0}
        self._written = os.fstat(self._ops).st_size // OPERATION.size
        self._buffer: list[bytes] = []
        self._attempt_buffer: list[bytes] = []
        self._connection_buffer: list[bytes] = []
        self._name_buffer: list[str] = []

    def name(self, text: str) -> int:
        """Return the number of a name; past `NAMES_MAX` distinct ones all further are "(other)"."""
        found = self._ids.get(text)
        if found is not None:
            return found
        if len(self._ids) >= NAMES_MAX and text != "(other)":
            return self.name("(other)")
        number = len(self._ids)
        self._ids[text] = number
        self._name_buffer.append(text)
        return number

    def operation(
        self,
        *,
        kind: Kind,
        endpoint: str,
        intended_ns: int,
        started_ns: int,
        ended_ns: int,
        outcome: Outcome,
        attempts: int = 1,
        instance: str = "",
        error: str = "",
        write_id: int = NO_WRITE_ID,
        backend_pid: int = 0,
        waited_us: int = 0,
        failures: Sequence[Failure] = (),
    ) -> None:
        """Append one operation, and the attempts of it that did not succeed."""
        if failures:
            index = self._written + len(self._buffer)
            for failed in failures:
                self._attempt_buffer.append(
                    ATTEMPT.pack(
                        index,
                        failed.started_ns,
                        failed.ended_ns,
                        failed.backend_pid,
                        self.name(failed.instance),
                        self.name(failed.error),
                    )
                )
        self._buffer.append(
            OPERATION.pack(
                intended_ns,
                started_ns,
                ended_ns,
                write_id,
                backend_pid,
                min(waited_us, _WAITED_US_MAX),
                self.name(endpoint),
                self.name(instance),
                self.name(error),
                min(attempts, 65535),
                kind,
                outcome,
            )
        )

    def connection(
        self,
        *,
        event: ConnectionEvent,
        began_ns: int,
        at_ns: int,
        endpoint: str,
        instance: str = "",
        address: str = "",
        backend_pid: int = 0,
        role: Role = Role.UNKNOWN,
    ) -> None:
        """Append what happened to a connection through an endpoint."""
        self._connection_buffer.append(
            CONNECTION.pack(
                at_ns,
                began_ns,
                backend_pid,
                self.name(endpoint),
                self.name(instance),
                self.name(address),
                event,
                role,
            )
        )

    def flush(self) -> None:
        """Hand everything buffered to the operating system.

        Raises:
            OSError: the disk is full or the folder is gone; what was not written stays buffered.
        """
        if self._name_buffer:
            lines = "".join(json.dumps(text) + "\n" for text in self._name_buffer)
            append_whole(self._names, lines.encode())
            self._name_buffer.clear()
        if self._attempt_buffer:
            append_whole(self._attempts, b"".join(self._attempt_buffer))
            self._attempt_buffer.clear()
        if self._connection_buffer:
            append_whole(self._connections, b"".join(self._connection_buffer))
            self._connection_buffer.clear()
        if self._buffer:
            append_whole(self._ops, b"".join(self._buffer))
            self._written += len(self._buffer)
            self._buffer.clear()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        for descriptor in (self._ops, self._attempts, self._connections, self._names):
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def append_whole(descriptor: int, data: bytes) -> None:
    """Append all of it or, on an error, nothing: what follows a torn record could not be read."""
    size = os.fstat(descriptor).st_size
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        with suppress(OSError):  # the first error is the one to tell
            os.ftruncate(descriptor, size)
        raise
