"""What every read showed of its arm's writes: how stale it was, and whether it went back.

A read returns the greatest write id of its arm that its instance shows (`write_id` of the record), or
none. Ids are given in order within one process of an arm, and those of a process with a greater number
are greater; commits overtake each other, so a greater id may be committed first. What follows from
one read that began at `since` and showed `m`, and nothing else:

lacks   it does not show any write with a greater id, of whichever process. One of those that had been
        acknowledged before `since` was withheld from the application for certain. A read that showed
        nothing lacks every write.
shows   an instance shows commits in their order, so whatever was acknowledged before `m` was even
        begun is there too. Only writes that overlapped `m` may be missing unnoticed.
back    an earlier read through the same endpoint had ended before `since` and showed a greater id:
        what the application had seen was gone again.

*Staleness* of a read is how long before it began the application had been told of the first write with
an id above the newest one it shows; 0 where it had been told of none. `stale_ns` is that. `upper_ns`
adds the writes that may be missing unnoticed: should one of them be, the application had been told of
the oldest that is by so much, at most. Within one process both agree once a later write is
acknowledged, up to the time that writes take.

Where an arm has several processes, a read returns an id of the one with the greatest number that has
written. Nothing that the others wrote after `m` was begun has a greater id, so of all that it may be
missing only `upper_ns` tells (`SeenReads.of_several`).

A read that was retried began with the attempt that succeeded: some time after the last one that failed
had ended, and before its own end. `stale_ns` and `upper_ns` are as of the latest instant, so never below
the truth, and `lower_ns`, which is certain, as of the earliest, which is `since`. Where the processes'
clocks are those of several machines, `error_ns` is by how much two instants together may be wrong: it
makes the former more, the latter less. A write that a promotion lost counts until a later one is seen;
the ledger says that it is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chaos.clock import NS
from chaos.model import bulk
from chaos.model.history import History, OperationLog, Records, writing
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
            return np.asarray(writing(records[part]) & (records["write_id"][part] != NO_WRITE_ID))

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
    def _earliest(self) -> Instants:
        """When the first of each acknowledged one and all with greater ids was told; at last never."""
        earliest = bulk.room(len(self.told_ids) + 1, np.int64)
        earliest[-1], earliest[:-1] = NEVER, self.told_ended
        np.minimum.accumulate(earliest[::-1], out=earliest[::-1])
        return earliest

    @cached_property
    def _told_in_order(self) -> Instants:
        """When writes were acknowledged, ascending, and never twice."""
        ended = bulk.room(len(self.told_ended) + 2, np.int64)
        ended[:-2], ended[-2:] = self.told_ended, NEVER
        ended.sort()
        return ended

    def first_told_above(self, seen: Instants) -> Instants:
        """Return when the first write with a greater id was acknowledged, of whichever process."""
        return self._earliest[np.searchsorted(self.told_ids, seen, side="right")]

    def first_told_after(self, begun: Instants, own_ended: Instants) -> Instants:
        """Return the first acknowledgement from an instant on, but for one that ended at `own_ended`."""
        ended = self._told_in_order
        after = np.searchsorted(ended, begun)
        first = ended[after]
        return np.asarray(np.where(first == own_ended, ended[after + 1], first))

    @cached_property
    def _by_process(self) -> tuple[tuple[int, int, Instants], ...]:
        """For each process: its block, the place of its first told id, when its were told, ascending."""
        found, low = [], 0
        while low < len(self.told_ids):
            block = int(self.told_ids[low]) // IDS_OF_A_PROCESS
            high = int(np.searchsorted(self.told_ids, (block + 1) * IDS_OF_A_PROCESS))
            told = bulk.room(high - low, np.int64)
            told[:] = self.told_ended[low:high]
            told.sort()
            found.append((block, low, told))
            low = high
        return tuple(found)

    def told_between(self, older: Instants, newer: Instants, error_ns: int) -> Instants:
        """Return how many writes with ids between two were told before the newer began, at least.

        Of each process it is those told by then less those with ids up to the older one, though some
        of these may have been told later. Where nobody knows when the newer began, it is none.
        """
        places, known = self.places(newer)
        counted = np.zeros(len(newer), dtype=np.int64)
        if not known.any():
            return counted
        begun = self.started[places] - error_ns
        known &= self.first_told_above(newer) >= begun  # else it would not have been the greatest
        first, last = older // IDS_OF_A_PROCESS, newer // IDS_OF_A_PROCESS
        up_to_older = np.searchsorted(self.told_ids, older, side="right")
        for block, low, told in self._by_process:
            here = np.searchsorted(told, begun) - np.where(first == block, up_to_older - low, 0)
            counted += np.where((first <= block) & (block <= last), here, 0)
        return np.asarray(np.where(known, np.maximum(counted, 0), 0))


@dataclass(frozen=True)
class SeenReads:
    """The reads of one arm through one endpoint, in order of `since`.

    Instants and staleness in nanoseconds. `seen` is `NO_WRITE_ID` where a read showed none; `upper_ns`
    is -1 where the write that was shown was never recorded, so that nothing tells which overlapped it.
    """

    arm: str
    endpoint: str
    log: OperationLog
    since: Instants
    """When each began, at the earliest."""
    begun_by: Instants
    """When it had begun for certain; the same but for a read that was retried."""
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
    def of_several(self) -> bool:
        """Whether several processes wrote for the arm: then `stale_ns` tells of the last one alone."""
        shown = bulk.where(len(self.seen), lambda part: self.seen[part] != NO_WRITE_ID)
        found = [
            int(bound) // IDS_OF_A_PROCESS
            for ids in (self.writes.ids, bulk.taken(self.seen, shown))
            if len(ids)
            for bound in (ids.min(), ids.max())
        ]
        return len(set(found)) > 1

    def doubt(self, limit_ns: float) -> str:
        """Return why reads of what several processes wrote may be staler; empty where they cannot be."""
        if not self.of_several:
            return ""
        several = "several processes wrote, and a read shows the newest write of one of them"
        unbounded = int(np.count_nonzero(self.upper_ns < 0))
        if unbounded:
            return f"{several}: {unbounded} reads showed one that was never recorded"
        most_ns = int(self.upper_ns.max())
        if most_ns > limit_ns:
            return (
                f"{several}: those of others may have been missing for up to {most_ns / NS:.3f} s"
            )
        return ""

    @cached_property
    def before(self) -> NDArray[np.intp]:
        """For each, the earlier read that showed the greatest id; -1: none showed more.

        The earlier one had ended before it began.
        """
        # Those that ended at once count together, so their order is all the same.
        by_end = np.argsort(self.ended)
        ended, seen = bulk.taken(self.ended, by_end), bulk.taken(self.seen, by_end)
        newest = bulk.taken(self.seen, by_end)
        np.maximum.accumulate(newest, out=newest)
        # The row that brought the newest id so far.
        brought = bulk.made(
            len(seen),
            np.int64,
            lambda part: np.where(seen[part] == newest[part], np.arange(part.start, part.stop), 0),
        )
        np.maximum.accumulate(brought, out=brought)

        def showed_more(part: slice) -> NDArray[np.intp]:
            count = np.searchsorted(ended, self.since[part] - self.error_ns)
            best = by_end[brought[np.maximum(count, 1) - 1]]
            back = (count > 0) & (self.seen[best] > self.seen[part])
            return np.asarray(np.where(back, best, -1))

        return bulk.made(len(seen), np.int64, showed_more)

    @cached_property
    def back(self) -> NDArray[np.intp]:
        """Rows of the reads that went back."""
        return np.flatnonzero(self.before >= 0)

    def back_writes(self) -> Instants:
        """Return how many writes each read that went back had lost sight of, at least.

        The one that the earlier read had shown, and all with ids between the two that had been told
        before that one was begun, since these were there with it.
        """

        def lost(part: slice) -> Instants:
            rows = self.back[part]
            newer = self.seen[self.before[rows]]
            return 1 + self.writes.told_between(self.seen[rows], newer, self.error_ns)

        return bulk.made(len(self.back), np.int64, lost)

    def back_ns(self) -> tuple[Instants, Instants]:
        """Return how much older each was than what had been seen: at least and at most.

        That is the time between the commits of the two writes, each of which lies between the start of
        its operation and its acknowledgement, or the end of the read that showed it; -1 where one of
        them was never recorded, or nothing was shown.
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
    """Return the reads of arms that show what they wrote, by arm and endpoint; probes never do."""
    return {
        (reads.arm, reads.endpoint): reads
        for arm, log in history.arms.items()
        if arm != PROBE_ARM
        for reads in reads_of(log)
    }


def reads_of(log: OperationLog) -> Iterator[SeenReads]:
    """Yield the reads of one arm that succeeded, one item for each endpoint.

    None where no read of the arm showed a write: whether they asked for one is not recorded, so nothing
    follows. All reads of an arm ask alike: where one shows a write, those that show none found no row.
    """
    records = log.operations

    def served(part: slice) -> Flags:
        return np.asarray(
            (records["kind"][part] == Kind.READ) & (records["outcome"][part] == Outcome.OK)
        )

    positions = bulk.where(len(records), served)
    if not any(
        (records["write_id"][positions[part]] != NO_WRITE_ID).any()
        for part in bulk.pieces(len(positions))
    ):
        return
    writes = _Writes.of(records)
    begun = _begun(log, positions)
    if not bulk.ascending(begun):
        order = np.argsort(begun, kind="stable")
        positions, begun = bulk.taken(positions, order), bulk.taken(begun, order)
    reads = bulk.taken(records, positions)
    seen = bulk.column(reads, "write_id")
    error_ns = 2 * log.clock_error_ns
    latest = _latest_begin(reads, begun)
    lower, stale, upper = _bounds(writes, begun, latest, seen, error_ns)
    for endpoint in np.unique(reads["endpoint"]).tolist():
        here = reads["endpoint"] == endpoint
        yield SeenReads(
            arm=log.arm,
            endpoint=log.names[endpoint],
            log=log,
            since=bulk.kept(begun, here),
            begun_by=bulk.kept(latest, here),
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


def _latest_begin(reads: Records, begun: Instants) -> Instants:
    """Return when the attempt that each succeeded with had begun for certain."""
    return bulk.made(
        len(begun),
        np.int64,
        lambda part: np.where(reads["attempts"][part] > 1, reads["ended_ns"][part], begun[part]),
    )


def _bounds(
    writes: _Writes, begun: Instants, latest: Instants, seen: Instants, error_ns: int
) -> tuple[Instants, Instants, Instants]:
    """Return `lower_ns`, `stale_ns` and `upper_ns` of each read."""
    lower, stale, upper = (bulk.room(len(seen), np.int64) for _ in range(3))
    for part in bulk.pieces(len(seen)):
        told = writes.first_told_above(seen[part])
        at_least, at_most = begun[part] - error_ns, latest[part] + error_ns
        lower[part] = at_least - np.minimum(told, at_least)
        stale[part] = at_most - np.minimum(told, at_most)
        upper[part] = _upper(writes, at_most, seen[part], stale[part], error_ns)
    return lower, stale, upper


def _upper(
    writes: _Writes, latest: Instants, seen: Instants, stale: Instants, error_ns: int
) -> Instants:
    places, known = writes.places(seen)
    otherwise = np.where(seen == NO_WRITE_ID, stale, -1)  # where nothing is shown, nothing overlaps
    if not known.any():
        return otherwise
    own_ended = np.where(writes.told[places], writes.ended[places], -1)
    possible = writes.first_told_after(writes.started[places] - error_ns, own_ended)
    return np.where(known, np.maximum(stale, latest - np.minimum(possible, latest)), otherwise)
