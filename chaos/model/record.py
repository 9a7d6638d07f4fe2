"""The run folder's line records: what the harness did (journal) and what was seen (observations).

Both files are JSON lines, appended with one `write` a line, so several processes may append to the
same file and a kill loses at most the line being written. Instants are monotonic nanoseconds.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 2
"""Of a run folder's records; told by the journal's `run` events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the journal.

    `type` and the fields that go with it:

    run      state: started | ended; format (of the records); status
    phase    phase: guards | preparation | recording | warm-up | steady state before | method |
             cool-down | steady state after | rollback | ledger | dropping tables; state: started |
             ended; error.
             "recording" lasts from when every worker serves until they are told to stop, and
             contains warm-up up to steady state after: streams must be complete within it
    guard    guard; refused; why
    undo     id; action; parameters; command (what a person would type); written before the change
    undone   id; result
    snapshot when: before | after; snapshot: the cluster's whole shape (chaos/model/snapshot.py)
    recovered left: what `gameday recover` could not put back
    fault    fault_id; fault; step; place (`2 of parallel 1`); repeat; state: started | ended;
             verb: inject | effect | hold | recover | recovered;
             parameters; requested_target; actual_target;
             effect: taken | none; requests: how often it was sent; error;
             of inject also again: true, unanswered, refused
    drawn    name; seed; within_s; steps: [{place, after_s}], the random instants of a composite
    call     operation; parameters; request_id; error_code
    reads    counts: how often each operation that only reads was called, by its name
    stop     condition; why: a stop condition held, and the method was ended
    steady   probe; when: before | after; ok; measured; why
    load     state: shaped (second 0 of the rates' shape) |
             pausing (finish what is under way) | paused (no session is left) | resumed (from
             this instant on operations are due again). What nobody asked for from pausing to resumed
             is not recorded: its silence shows nothing
    note     text
    """

    at_ns: int
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A value of the cluster that was seen to change.

    kind       subject             value
    role       instance            writer | reader | unreachable   (by SQL, on the instance)
    writer     cluster             the instance that the API names as writer, or ""
    status     cluster or instance the API's status, "deleted" once it is gone
    settings   instance            class, zone and promotion tier, as the API shows them
    postmaster instance            when its server started (UTC, as it says); changes on a restart
    dns        endpoint name       the instance that the answer leads to, an address, or the error;
                                   "reader", which balances: all of the last 2 s, joined by commas
    resolved   "ARM ENDPOINT"      the addresses that the arm's own resolver answered, joined by commas,
                                   or the error; "reader" as above
    event      source identifier   the RDS event's message; detail: event_id, categories, event_at
    capacity   cluster             its bounds in ACU, "min-max" (API); ", pauses after N s" with min 0
    acu        instance            its capacity in ACU by CloudWatch; detail: resolution_s, for how long
                                   a datapoint stands. Without a subject: why CloudWatch refused
    api        cluster             "ok", or why the RDS API did not answer
    alive      observer            its sample count; written about once a second
    lag        arm                 ms by which its load generator was late at most, since `since_ns`;
                                   detail: cpu_share, queued_share (of that time its process used a
                                   processor, or was ready to and others had them all)
    worker     "worker N"          joined | lost | back | delivered; detail: host, why,
                                   last_heard_ns, operations (that its own files hold)
    clock      "worker N"          seconds by which its clock is ahead of the runner's; detail:
                                   offset_ns, error_ns, jumped_ns, exchanges
    sum        arm                 what its accounts add up to on an instance, by the arm's own reads;
                                   detail: instance

    The value changed after `since_ns` (start of the last sample that saw the old one; None for a
    first sample) and not later than `at_ns` (end of the first sample that saw the new one).
    """

    at_ns: int
    since_ns: int | None
    kind: str
    subject: str
    value: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def resolved_subject(arm: str, endpoint: str) -> str:
    """Return the subject of what an arm's own resolver answered for an endpoint."""
    return f"{arm} {endpoint}"


class LineWriter:
    """Appends JSON lines to one file; `sync` also forces them to the disk."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending.

        Raises:
            OSError: it cannot be written.
        """
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o644)
        self._torn = _ends_torn(self._descriptor)

    def append(self, record: Event | Observation, *, sync: bool = False) -> None:
        """Write one record as one line.

        Raises:
            OSError: the disk is full.
        """
        line = (json.dumps(asdict(record), separators=(",", ":")) + "\n").encode()
        if self._torn:  # Ours of an earlier moment, or of a process that was killed.
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self._torn = written != len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if sync:
            os.fsync(self._descriptor)

    def lock(self) -> None:
        """Lock the file for this process until it is closed or the process ends.

        Raises:
            BlockingIOError: another process has it locked.
        """
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _ends_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield each whole JSON line; fragments that a kill or a full disk left are passed over.

    A fragment is the beginning of a line, so it is never valid JSON, and it holds nothing that its
    writer was told is recorded.
    """
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def read_events(path: Path) -> list[Event]:
    """Read a journal."""
    return [Event(**line) for line in read_lines(path)]


def read_observations(path: Path) -> list[Observation]:
    """Read observations, in the order of their instants."""
    return sorted((Observation(**line) for line in read_lines(path)), key=lambda o: o.at_ns)
