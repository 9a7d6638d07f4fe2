"""What every read showed of its arm's writes: how stale it was, and whether it went back.

A read returns the greatest write id of its arm that its instance shows (`write_id` of the record). Ids
are given in order within one process of an arm; commits overtake each other, so a greater id may be
committed first. What follows from one read that began at `since` and showed `m`, and nothing else:

lacks   it does not show any write of the same process with a greater id. One of those that had been
        acknowledged before `since` was withheld from the application for certain.
shows   an instance shows commits in their order, so whatever was acknowledged before `m` was even
        begun is there too. Only writes that overlapped `m` may be missing unnoticed.
back    an earlier read through the same endpoint had ended before `since` and showed a greater id of
        the same process: what the application had seen was gone again.

*Staleness* of a read is how long before it began the application had been told of the first write that
was begun after the newest one it shows; 0 where it had been told of none. `stale_ns` is that. `upper_ns`
adds the writes that overlapped the newest shown: should one of them be missing, the application had
been told of the oldest that is by so much, at most. Once a later write is acknowledged both agree
again, up to the time that writes take.

A read that was retried began with the attempt that succeeded. Where an arm has several processes, a
read tells of the one whose id it showed, the one with the greatest number that has written. Where their
clocks are those of several machines, `error_ns` is by how much two instants together may be wrong:
`stale_ns` and `upper_ns` are more by it, so never below the truth, and `lower_ns`, which is certain,
is less. A write that a promotion lost counts until a later one is seen; the ledger says that it is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chaos.model import bulk
from chaos.model.history import History, OperationLog, Records
from chaos.model.operation import NO_WRITE_ID, PROBE_ARM, Kind, Outcome

IDS_OF_A_PROCESS = 10**9
"""Ids of one process lie within a block of so many (loadgen.tables.WriteIds)."""
NEVER = np.iinfo(np.int64).max

Instants = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class _Writes:
    """An arm's recorded writes, ordered by id."""

    ids: Instants
    started: Instants
    ended: Instants
    told: Flags
    """Whether its client was told that it is committed."""

    @classmethod
    def of(cls, records: Records) -> _Writes:
        def bears_an_id(part: slice) -> Flags:
            kinds = records["kind"][part]
            writes = (kinds == Kind.WRITE) | (kinds == Kind.TRANSACTION)
            return np.asarray(writes & (records["write_id"][part] != NO_WRITE_ID))

        chosen = bulk.where(len(records), bears_an_id)
        ids = bulk.taken(records["write_id"], chosen)
        if not bulk.ascending(ids):
            order = np.argsort(ids, kind="stable")
            chosen, ids = bulk.taken(chosen, order), bulk.taken(ids, order)
        return cls(
            ids=ids,
            started=bulk.taken(records["started_ns"], chosen),
            ended=bulk.taken(records["ended_ns"], chosen),
            told=bulk.taken(records["outcome"], chosen) == Outcome.OK,
        )

    @cached_property
    def told_ids(self) -> Instants:
        """Ids of the acknowledged ones, ascending."""
        return bulk.kept(self.ids, self.told)

    @cached_property
    def told_ended(self) -> Instants:
        """When they were acknowledged, in the order of ids."""
        return bulk.kept(self.ended, self.told)

    def places(self, ids: Instants) -> tuple[NDArray[np.intp], Flags]:
        """Return where ids are, and whether they are there at all."""
        if not len(self.ids):
            return np.zeros(len(ids), dtype=np.intp), np.zeros(len(ids), dtype=bool)
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return places, np.asarray(self.ids[places] == ids)

    @cached_property
    def _earliest(self) -> Mapping[int, tuple[Instants, Instants]]:
        """For each process: its acknowledged ids, and when the first of each or a later one was told."""
        found: dict[int, tuple[Instants, Instants]] = {}
        for block in _blocks(self.told_ids):
            low, high = np.searchsorted(
                self.told_ids, [block * IDS_OF_A_PROCESS, (block + 1) * IDS_OF_A_PROCESS]
            )
            earliest = bulk.room(int(high - low) + 1, np.int64)
            earliest[-1], earliest[:-1] = NEVER, self.told_ended[low:high]
            np.minimum.accumulate(earliest[::-1], out=earliest[::-1])
            found[block] = self.told_ids[low:high], earliest
        return found

    @cached_property
    def _told_in_order(self) -> Instants:
        """When writes were acknowledged, ascending, and never twice."""
        ended = bulk.room(len(self.told_ended) + 2, np.int64)
        ended[:-2], ended[-2:] = self.told_ended, NEVER
        ended.sort()
        return ended

    def first_told_above(self, seen: Instants) -> Instants:
        """Return when the first of the process's writes with a greater id was acknowledged."""
        first = np.full(len(seen), NEVER, dtype=np.int64)
        blocks = seen // IDS_OF_A_PROCESS
        for block in np.unique(blocks).tolist():
            if block in self._earliest:
                ids, earliest = self._earliest[block]
                here = blocks == block
                first[here] = earliest[np.searchsorted(ids, seen[here], side="right")]
        return first

    def first_told_after(self, begun: Instants, own_ended: Instants) -> Instants:
        """Return the first acknowledgement from an instant on, but for one that ended at `own_ended`."""
        ended = self._told_in_order
        after = np.searchsorted(ended, begun)
        first = ended[after]
        return np.asarray(np.where(first == own_ended, ended[after + 1], first))


def _blocks(ids: Instants) -> list[int]:
    """Return the processes that ids are of."""
    found: set[int] = set()
    for part in bulk.pieces(len(ids)):
        found |= set(np.unique(ids[part] // IDS_OF_A_PROCESS).tolist())
    return sorted(found)


@dataclass(frozen=True)
class SeenReads:
    """The reads of one arm through one endpoint that showed a write, in order of `since`.

    Instants and staleness in nanoseconds; `upper_ns` is -1 where the write that was shown was never
    recorded, so that nothing tells which overlapped it.
    """

    arm: str
    endpoint: str
    log: OperationLog
    since: Instants
    ended: Instants
    seen: Instants
    instance: NDArray[np.uint16]
    lower_ns: Instants
    stale_ns: Instants
    upper_ns: Instants
    writes: _Writes
    error_ns: int
    """By how much two instants may be wrong together, where they were read on several machines."""

    @cached_property
    def lacking(self) -> Flags:
        """Which of them certainly withheld a write that the application had been told of."""
        return np.asarray(self.lower_ns > 0)

    @cached_property
    def before(self) -> NDArray[np.intp]:
        """For each, the earlier read that showed the greatest id of its process; -1: none showed more.

        The earlier one had ended before it began.
        """
        found = bulk.room(len(self.since), np.int64)
        found[:] = -1
        for block in _blocks(self.seen):
            rows = bulk.where(
                len(self.seen),
                lambda part, block=block: self.seen[part] // IDS_OF_A_PROCESS == block,  # type: ignore[misc]
            )
            # Those that ended at once count together, so their order is all the same.
            by_end = bulk.taken(rows, np.argsort(bulk.taken(self.ended, rows)))
            ended, seen = bulk.taken(self.ended, by_end), bulk.taken(self.seen, by_end)
            newest = bulk.taken(self.seen, by_end)
            np.maximum.accumulate(newest, out=newest)
            # The row that brought the newest id so far.
            brought = bulk.made(
                len(seen),
                np.int64,
                lambda part, seen=seen, newest=newest: np.where(  # type: ignore[misc]
                    seen[part] == newest[part], np.arange(part.start, part.stop), 0
                ),
            )
            np.maximum.accumulate(brought, out=brought)
            for part in bulk.pieces(len(rows)):
                here = rows[part]
                count = np.searchsorted(ended, self.since[here] - self.error_ns)
                known = count > 0
                best = by_end[brought[count[known] - 1]]
                back = self.seen[best] > self.seen[here[known]]
                found[here[known][back]] = best[back]
        return found

    @cached_property
    def back(self) -> NDArray[np.intp]:
        """Rows of the reads that went back."""
        return np.flatnonzero(self.before >= 0)

    def back_writes(self) -> Instants:
        """Return how many acknowledged writes each read that went back had lost sight of, at least.

        One at least is gone for certain: the one that the earlier read had shown.
        """
        newer = self.seen[self.before[self.back]]
        ids = self.writes.told_ids
        between = np.searchsorted(ids, newer, side="right") - np.searchsorted(
            ids, self.seen[self.back], side="right"
        )
        return np.asarray(np.maximum(between, 1))

    def back_ns(self) -> tuple[Instants, Instants]:
        """Return how much older each was than what had been seen: at least and at most.

        That is the time between the commits of the two writes, each of which lies between the start of
        its operation and its acknowledgement, or the end of the read that showed it; -1 where one of
        them was never recorded.
        """
        earlier = self.before[self.back]
        new_from, new_to = self._committed(earlier)
        old_from, old_to = self._committed(self.back)
        known = (new_from >= 0) & (old_from >= 0)
        low = np.where(known, np.maximum(new_from - old_to - self.error_ns, 0), -1)
        high = np.where(known, np.maximum(new_to - old_from + self.error_ns, 0), -1)
        return low, high

    def _committed(self, rows: NDArray[np.intp]) -> tuple[Instants, Instants]:
        """Return the bounds of when the writes that some reads showed were committed; -1: unknown."""
        if not len(self.writes.ids):
            return np.full(len(rows), -1), np.full(len(rows), -1)
        places, known = self.writes.places(self.seen[rows])
        to_ns = np.minimum(
            np.where(self.writes.told[places], self.writes.ended[places], NEVER), self.ended[rows]
        )
        return (
            np.where(known, self.writes.started[places], -1),
            np.where(known, to_ns, -1),
        )


def seen_reads(history: History) -> Mapping[tuple[str, str], SeenReads]:
    """Return the reads that showed a write, by arm and endpoint; the probes show none."""
    return {
        (reads.arm, reads.endpoint): reads
        for arm, log in history.arms.items()
        if arm != PROBE_ARM
        for reads in reads_of(log)
    }


def reads_of(log: OperationLog) -> Iterator[SeenReads]:
    """Yield the reads of one arm that showed a write, one item for each endpoint."""
    records = log.operations

    def shows(part: slice) -> Flags:
        served = (records["kind"][part] == Kind.READ) & (records["outcome"][part] == Outcome.OK)
        return np.asarray(served & (records["write_id"][part] != NO_WRITE_ID))

    positions = bulk.where(len(records), shows)
    if not len(positions):
        return
    writes = _Writes.of(records)
    begun = _begun(log, positions)
    if not bulk.ascending(begun):
        order = np.argsort(begun, kind="stable")
        positions, begun = bulk.taken(positions, order), bulk.taken(begun, order)
    reads = bulk.taken(records, positions)
    seen = bulk.column(reads, "write_id")
    error_ns = 2 * log.clock_error_ns
    lower, stale, upper = _bounds(writes, begun, seen, error_ns)
    for endpoint in np.unique(reads["endpoint"]).tolist():
        here = reads["endpoint"] == endpoint
        yield SeenReads(
            arm=log.arm,
            endpoint=log.names[endpoint],
            log=log,
            since=bulk.kept(begun, here),
            ended=bulk.kept(reads["ended_ns"], here),
            seen=bulk.kept(seen, here),
            instance=bulk.kept(reads["instance"], here),
            lower_ns=bulk.kept(lower, here),
            stale_ns=bulk.kept(stale, here),
            upper_ns=bulk.kept(upper, here),
            writes=writes,
            error_ns=error_ns,
        )


def _begun(log: OperationLog, positions: NDArray[np.intp]) -> Instants:
    """Return when the attempt began that each operation succeeded with, at the earliest."""
    begun = bulk.column(log.operations, "started_ns")
    attempts = log.attempts
    if len(attempts):
        there = attempts["operation"] < len(begun)
        np.maximum.at(begun, attempts["operation"][there], attempts["ended_ns"][there])
    return bulk.taken(begun, positions)


def _bounds(
    writes: _Writes, begun: Instants, seen: Instants, error_ns: int
) -> tuple[Instants, Instants, Instants]:
    """Return `lower_ns`, `stale_ns` and `upper_ns` of each read."""
    stale, upper = bulk.room(len(seen), np.int64), bulk.room(len(seen), np.int64)
    for part in bulk.pieces(len(seen)):
        stale[part], upper[part] = _bounds_of(writes, begun[part], seen[part], error_ns)
    if not error_ns:
        return stale, stale, upper
    return np.maximum(stale - 2 * error_ns, 0), stale, upper


def _bounds_of(
    writes: _Writes, begun: Instants, seen: Instants, error_ns: int
) -> tuple[Instants, Instants]:
    latest = begun + error_ns
    stale = latest - np.minimum(writes.first_told_above(seen), latest)
    places, known = writes.places(seen)
    if not known.any():
        return stale, np.full(len(seen), -1, dtype=np.int64)
    own_ended = np.where(writes.told[places], writes.ended[places], -1)
    possible = writes.first_told_after(writes.started[places] - error_ns, own_ended)
    at_most = latest - np.minimum(possible, latest)
    return stale, np.where(known, np.maximum(stale, at_most), -1)
