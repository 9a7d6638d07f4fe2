"""What each operation of a stream proves about when its client was not served.

A *bad* operation either did not succeed, or succeeded later than `slow_s` after its intended start.
Each attempt that went wrong proves that its client was not served at some instant between a
`not_before` and a `not_after`:

- an attempt that failed at once: between its start and its end;
- an attempt that hung: between its start and the longest that a healthy answer takes (`answer`);
- an attempt that failed at once with an error that only says that its connection is gone: not
  after its end. When the connection broke is not known: a pool hands out dead ones long after the
  service is back;
- an arrival that was never sent (`QueueFull`): nothing. Its client felt it, so it is bad, but it
  was refused by its own queue.

Three kinds of records are no evidence and left out: a probe's turn that was `Missed`, because its
process was busy, or all its sessions were (`MissedWaiting`), and an operation that the end of the run
cut off (`Stopped`) before it was late. Of a turn that found every session waiting it is known, though,
that it was not served where no session was within `slow_s` of it: availability counts these (`unasked`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chaos.clock import NS
from chaos.model import bulk
from chaos.model.gone import GONE_BY_NAME
from chaos.model.history import OperationLog, Records, Stream
from chaos.model.operation import Outcome

Instants = NDArray[np.int64]
Flags = NDArray[np.bool_]

NEVER = np.iinfo(np.int64).max
NOTHING_PROVEN = np.iinfo(np.int64).min
_QUEUE_FULL = "----- QueueFull"
_MISSED = "----- Missed"
_MISSED_WAITING = "----- MissedWaiting"
_STOPPED = "----- Stopped"
# Without a SQLSTATE these alone tell of the present: the client tried to connect, or waited.
_PRESENT = (
    "----- Connect",  # ConnectTimeout, ConnectFailed and ConnectionRefused, ConnectionTimeout...
    "----- Name",
    "----- NoRoute",
    "----- PoolTimeout",
)
# ...but these, and the server's farewells, may tell of a connection that broke earlier.
_GONE = ("-----", "08", "57P01", "57P02", "57P05")
_ANSWERS_MAX = 1000
_ANSWERS_MIN = 100


@dataclass(frozen=True)
class Trace:
    """A stream's operations as columns, ordered by intended start; instants in nanoseconds."""

    log: OperationLog
    positions: Instants
    records: Records
    slow_ns: int
    usual_ns: int | None = None
    """The longest that a healthy answer took before it, where that is known."""
    unasked: Instants = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """When turns were due that nobody could take, while the sessions that would have were not served."""

    @classmethod
    def of(cls, log: OperationLog, stream: Stream, slow_s: float) -> Trace:
        """Take a stream's operations, without those that are no evidence."""
        records, slow_ns = stream.records, round(slow_s * NS)
        cut = _named(records["error"], log, _STOPPED)
        waiting = _named(records["error"], log, _MISSED_WAITING)
        none = waiting | _named(records["error"], log, _MISSED)
        if cut.any():
            none |= cut & (records["ended_ns"] - records["intended_ns"] <= slow_ns)
        if not none.any():
            return cls(log, stream.positions, records, slow_ns)
        kept = bulk.kept(records, ~none)
        unasked = _not_served(bulk.kept(records, waiting)["intended_ns"], kept, slow_ns)
        return cls(log, bulk.kept(stream.positions, ~none), kept, slow_ns, unasked=unasked)

    def rows(self, first: int, last: int) -> Trace:
        """Return a part of it, as if nothing else had been recorded but how long answers took."""
        usual_ns = self.answer_ns(int(self.intended[first])) if first < last else None
        part = slice(first, last)
        return Trace(self.log, self.positions[part], self.records[part], self.slow_ns, usual_ns)

    @cached_property
    def intended(self) -> Instants:
        """When each operation was due."""
        return bulk.column(self.records, "intended_ns")

    @cached_property
    def started(self) -> Instants:
        """When each began."""
        return bulk.column(self.records, "started_ns")

    @cached_property
    def ended(self) -> Instants:
        """When each returned."""
        return bulk.column(self.records, "ended_ns")

    @cached_property
    def last_try(self) -> Instants:
        """When the last attempt of each began at the earliest: no sooner than the one before ended."""
        owner, attempts = self.failed_attempts
        began = bulk.column(self.records, "started_ns")
        np.maximum.at(began, owner, attempts["ended_ns"])

        def least(part: slice) -> Instants:
            tried = np.minimum(began[part], self.ended[part])
            return np.where(self.succeeded[part], tried, self.started[part])

        return bulk.made(len(began), np.int64, least)

    @cached_property
    def failed_attempts(self) -> tuple[Instants, Records]:
        """The attempts that did not succeed, and the row of the operation that made each."""
        attempts = self.log.attempts
        if not len(attempts):
            return np.empty(0, dtype=np.int64), attempts
        owners = bulk.room(len(self.log.operations), np.int64)
        owners[:] = -1
        for part in bulk.pieces(len(self.positions)):
            owners[self.positions[part]] = np.arange(part.start, part.stop)
        attempts = attempts[attempts["operation"] < len(owners)]
        attempts = attempts[owners[attempts["operation"]] >= 0]
        return owners[attempts["operation"]], attempts

    def not_asked(self, since_ns: int, until_ns: int) -> int:
        """Count the turns due from one instant on until before another that nobody could take."""
        low, high = np.searchsorted(self.unasked, (since_ns, until_ns))
        return int(high - low)

    def within(self, since_ns: int, until_ns: int) -> slice:
        """Return the rows that were due from one instant on until before another."""
        low, high = np.searchsorted(self.intended, (since_ns, until_ns))
        return slice(int(low), int(high))

    @cached_property
    def succeeded(self) -> Flags:
        """Whether each succeeded, however late."""
        return np.asarray(self.records["outcome"] == Outcome.OK)

    @cached_property
    def bad(self) -> Flags:
        """Whether each failed, or succeeded too late for its client."""
        return bulk.made(
            len(self.records),
            bool,
            lambda part: (
                ~self.succeeded[part] | (self.ended[part] - self.intended[part] > self.slow_ns)
            ),
        )

    @cached_property
    def dropped(self) -> Flags:
        """Whether each was never sent: refused by the client's own queue, or still in it."""
        stopped = _named(self.records["error"], self.log, _STOPPED)
        unsent = stopped & (self.ended == self.started)
        return np.asarray(self.refused | unsent)

    @cached_property
    def refused(self) -> Flags:
        """Whether each found the client's own queue full, so that it was never sent."""
        return _named(self.records["error"], self.log, _QUEUE_FULL)

    def answer_ns(self, before_ns: int) -> int:
        """Return the longest that a healthy answer takes.

        Assumed: twice the slowest of the last thousand good, unrepeated answers before an instant;
        where there are too few, what is known from before the trace, else `slow_s`; at most that.
        """
        until = int(np.searchsorted(self.intended, before_ns))
        since = max(0, until - 2 * _ANSWERS_MAX)
        part = slice(since, until)
        good = ~self.bad[part] & (self.records["attempts"][part] == 1)
        taken = (self.ended[part] - self.started[part])[good][-_ANSWERS_MAX:]
        if len(taken) < _ANSWERS_MIN:
            return self.slow_ns if self.usual_ns is None else self.usual_ns
        return min(self.slow_ns, 2 * int(taken.max()))

    def proof(self, first: int, until_ns: int, back_ns: int) -> tuple[int, int]:
        """Return what the operations from row `first`, due until an instant, prove together.

        That is: not served at an instant not before the first value, and at one not after the
        second; `NOTHING_PROVEN` and `NEVER` where they prove nothing. From `back_ns` on, when the
        first success had returned, answers that only were slow prove nothing: a crowd was waiting.
        """
        last = int(np.searchsorted(self.intended, until_ns, side="right"))
        low, high = np.searchsorted(self._tries.owner, [first, last])
        tries = self._tries.part(slice(low, high))
        started, ended = tries.started, tries.ended
        answer = self.answer_ns(int(self.intended[first]))
        blank = tries.stale & (ended - started <= answer)
        blank |= tries.succeeded & (started >= back_ns)
        not_after = np.where(tries.several, ended, np.minimum(ended, started + answer))
        return (
            int(started.max(where=~blank, initial=NOTHING_PROVEN)),
            int(not_after.min(initial=NEVER)),
        )

    @cached_property
    def _tries(self) -> _Tries:
        """Every try that proves something.

        Operations without recorded attempts stand for themselves: those that failed, and those that
        took half of `slow_s`, which no healthy answer does. Connecting may, in the crowd after an
        outage: what an operation waited for a connection counts only once it took `slow_s` in all.
        """
        told, attempts = self.failed_attempts
        silent = bulk.made(
            len(self.records),
            bool,
            lambda part: ~self.succeeded[part] | self._slow(part),
        )
        silent[told] = False
        untold = np.flatnonzero(silent)
        operations = self.records[untold]
        tries = _Tries(
            owner=np.concatenate([told, untold]),
            started=np.concatenate([attempts["started_ns"], operations["started_ns"]]),
            ended=np.concatenate([attempts["ended_ns"], operations["ended_ns"]]),
            several=np.concatenate([np.zeros(len(told), bool), operations["attempts"] > 1]),
            stale=np.concatenate([_stale(self.log, attempts), _stale(self.log, operations)]),
            succeeded=np.concatenate([np.zeros(len(told), bool), self.succeeded[untold]]),
        )
        order = np.argsort(tries.owner, kind="stable")
        return tries.part(order[~self.dropped[tries.owner[order]]])

    def _slow(self, part: slice) -> Flags:
        """Tell what took longer than a healthy service does."""
        took = self.ended[part] - self.started[part]
        answered = took - self.records["waited_us"][part].astype(np.int64) * 1000
        return np.asarray((took > self.slow_ns) | (answered > self.slow_ns // 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tries:
    """Tries as columns, ordered by the operation that made them."""

    owner: Instants
    """Row of the operation in its trace."""
    started: Instants
    ended: Instants
    several: Flags
    """Whether it stands for several tries, not told one by one."""
    stale: Flags
    """Whether it may have met a connection that broke earlier."""
    succeeded: Flags
    """Whether it was answered, slowly."""

    def part(self, rows: slice | NDArray[np.intp]) -> _Tries:
        """Return some rows."""
        return _Tries(
            owner=self.owner[rows],
            started=self.started[rows],
            ended=self.ended[rows],
            several=self.several[rows],
            stale=self.stale[rows],
            succeeded=self.succeeded[rows],
        )


def _not_served(turns: Instants, records: Records, slow_ns: int) -> Instants:
    """Return the turns after which no operation was served for `slow_ns`, as far as was recorded."""
    served = np.sort(bulk.kept(records["ended_ns"], records["outcome"] == Outcome.OK))
    until_ns = int(records["ended_ns"].max(initial=0))
    next_ns = np.append(served, until_ns)[np.searchsorted(served, turns)]
    return np.asarray(turns[next_ns - turns > slow_ns])


def _stale(log: OperationLog, records: Records) -> Flags:
    """Tell which failures may be those of a connection that was open and broke earlier."""
    gone = np.array(
        [
            name.startswith(GONE_BY_NAME)
            or (name.startswith(_GONE) and not name.startswith(_PRESENT))
            for name in log.names
        ]
    )
    return np.asarray(gone[records["error"]])


def _named(errors: NDArray[np.uint16], log: OperationLog, name: str) -> Flags:
    """Tell which errors have a name."""
    if name not in log.names:
        return np.zeros(len(errors), dtype=bool)
    return np.asarray(errors == log.names.index(name))
