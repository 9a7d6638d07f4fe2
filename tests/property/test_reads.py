"""What reads prove, against a simulated database whose truth is known.

Writes commit in another order than they were begun, some replies are lost, several readers replay with
lags of their own, and every read is of one instant within its own time. Instants are small integers.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checks.reads import IDS_OF_A_PROCESS, SeenReads, reads_of
from chaos.model.history import load_operations
from chaos.model.operation import Failure, Kind, OperationWriter, Outcome
from chaos.model.shares import NO_SHARES, SHARE_DTYPE, Shares

SIMULATIONS = settings(max_examples=60)
ARM_IDS = 3 * 10**12


@dataclass(frozen=True)
class Write:
    write_id: int
    started: int
    committed: int | None
    ended: int
    outcome: Outcome


@dataclass(frozen=True)
class Read:
    started: int
    """Of the attempt that succeeded."""
    first_started: int
    ended: int
    visible: frozenset[int]
    endpoint: str
    instance: str
    backed_off: int = 0
    """For how long it waited after the attempt that failed, which ended that much before `started`."""

    @property
    def retried(self) -> bool:
        return self.first_started < self.started

    @property
    def since(self) -> int:
        """The earliest instant at which the attempt that succeeded may have begun, by the recording."""
        return self.started - self.backed_off

    @property
    def seen(self) -> int:
        return max(self.visible, default=-1)


@dataclass(frozen=True)
class World:
    """A database with one writer and some readers, each of which shows a prefix of the commits.

    One may show none of them ever.
    """

    writes: list[Write]
    reads: list[Read]

    def staleness(self, read: Read) -> int:
        """The time since the oldest acknowledgement that the read does not show."""
        withheld = [
            w.ended
            for w in self.writes
            if w.outcome is Outcome.OK and w.ended < read.started and w.write_id not in read.visible
        ]
        return read.started - min(withheld) if withheld else 0

    def went_back(self, read: Read, *, strictly: bool = False) -> bool:
        """Whether something that an earlier read through its endpoint had shown is gone again."""
        return any(
            earlier.seen not in read.visible
            for earlier in self.reads
            if earlier.endpoint == read.endpoint
            and earlier.ended <= read.started - strictly
            and earlier.seen != -1
        )

    def lost_sight_of(self, read: Read) -> int:
        """The most writes that one read through its endpoint had shown and that are gone again."""
        return max(
            len(earlier.visible - read.visible)
            for earlier in self.reads
            if earlier.endpoint == read.endpoint and earlier.ended <= read.started
        )

    def recorded(self, shares: Shares = NO_SHARES) -> dict[str, SeenReads]:
        """The reads as an arm would have recorded them, by endpoint."""
        with tempfile.TemporaryDirectory() as folder:
            with OperationWriter(Path(folder), "arm") as writer:
                for write in self.writes:
                    writer.operation(
                        kind=Kind.TRANSACTION if write.write_id % 3 == 0 else Kind.WRITE,
                        endpoint="cluster",
                        intended_ns=write.started,
                        started_ns=write.started,
                        ended_ns=write.ended,
                        outcome=write.outcome,
                        write_id=write.write_id,
                    )
                for read in self.reads:
                    failure = Failure(
                        started_ns=read.first_started, ended_ns=read.since, error="08006 Lost"
                    )
                    writer.operation(
                        kind=Kind.READ,
                        endpoint=read.endpoint,
                        intended_ns=read.first_started,
                        started_ns=read.first_started,
                        ended_ns=read.ended,
                        outcome=Outcome.OK,
                        attempts=1 + read.retried,
                        instance=read.instance,
                        write_id=read.seen,
                        failures=[failure] if read.retried else [],
                    )
            log = replace(load_operations(Path(folder), "arm"), shares=shares)
            return {reads.endpoint: reads for reads in reads_of(log)}


def simulate(
    seed: int,
    *,
    empty: bool = False,
    processes: int,
    readers: int,
    lag: int,
    concurrent: int,
    endpoints: int,
    apart: int = 0,
) -> World:
    draw = random.Random(seed)
    writes, now = [], [0] * processes
    for number in range(1, 31):
        process = draw.randrange(processes)
        now[process] += draw.randint(apart, 4)
        started = now[process]
        committed = started + draw.randint(0, concurrent)
        ended = committed + draw.randint(0, concurrent)
        outcome = draw.choices([Outcome.OK, Outcome.UNKNOWN, Outcome.FAILED], [8, 2, 1])[0]
        applied = outcome is Outcome.OK or (outcome is Outcome.UNKNOWN and draw.random() < 0.5)
        late = draw.randint(0, 3 * concurrent) if outcome is Outcome.UNKNOWN else 0
        writes.append(
            Write(
                ARM_IDS + process * IDS_OF_A_PROCESS + number,
                started,
                committed + late if applied else None,
                ended,
                outcome,
            )
        )
    committed_writes = [w for w in writes if w.committed is not None]
    order = sorted(committed_writes, key=lambda w: (w.committed or 0, draw.random()))
    replayed: list[list[tuple[int, int]]] = []
    for _ in range(readers):
        at, shown = 0, []
        for write in () if empty and not replayed else order:
            at = max(at, (write.committed or 0) + draw.randint(0, lag))
            shown.append((at, write.write_id))
        replayed.append(shown)
    end, reads = max(now) + lag + 5, []
    for _ in range(25):
        reader = draw.randrange(readers)
        first = draw.randint(0, end)
        started = first + draw.choice([0, 0, draw.randint(1, 5)])
        instant = started + draw.randint(0, 3)
        reads.append(
            Read(
                started=started,
                first_started=first,
                ended=instant + draw.randint(0, 3),
                visible=frozenset(w for at, w in replayed[reader] if at <= instant),
                endpoint=f"reader{reader % endpoints}",
                instance=f"i{reader}",
                backed_off=draw.randint(0, started - first),
            )
        )
    return World(writes, reads)


WORLDS = st.builds(
    simulate,
    st.integers(0, 2**20),
    empty=st.sampled_from([False, False, True]),
    processes=st.sampled_from([1, 2, 3]),
    readers=st.integers(1, 3),
    lag=st.sampled_from([0, 2, 20, 60]),
    concurrent=st.sampled_from([0, 3, 15]),
    endpoints=st.sampled_from([1, 2]),
)


def rows(world: World) -> list[tuple[Read, SeenReads, int]]:
    """Each read, with its place in what was made of it; none where no read showed anything."""
    found = []
    for endpoint, seen in world.recorded().items():
        mine = [r for r in world.reads if r.endpoint == endpoint]
        mine.sort(key=lambda r: r.since)  # stable, as the recording is
        assert [r.since for r in mine] == seen.since.tolist()
        assert [r.seen for r in mine] == seen.seen.tolist()
        found += [(read, seen, row) for row, read in enumerate(mine)]
    return found


@SIMULATIONS
@given(WORLDS)
def test_the_true_staleness_lies_within_its_bounds(world: World) -> None:
    for read, seen, row in rows(world):
        truth = world.staleness(read)
        assert seen.lower_ns[row] <= truth <= seen.upper_ns[row]
        assert seen.stale_ns[row] == seen.lower_ns[row] or read.retried
        withheld = [
            w.ended for w in world.writes if w.outcome is Outcome.OK and w.write_id > read.seen
        ]
        assert read.started - min(withheld, default=read.started) <= seen.stale_ns[row]
        assert not seen.lacking[row] or truth > 0, "a false alarm"


@SIMULATIONS
@given(WORLDS)
def test_a_read_is_said_to_go_back_only_where_it_did(world: World) -> None:
    by_id = {w.write_id: w for w in world.writes}
    for seen in world.recorded().values():
        low, high = seen.back_ns()
        writes = seen.back_writes()
        assert len(low) == len(high) == len(writes) == len(seen.back)
        for number, row in enumerate(seen.back):
            assert writes[number] >= 1
            if seen.seen[row] == -1:
                assert (low[number], high[number]) == (-1, -1)
                continue
            newer, older = by_id[int(seen.seen[seen.before[row]])], by_id[int(seen.seen[row])]
            assert newer.committed is not None
            assert older.committed is not None
            assert low[number] <= max(0, newer.committed - older.committed) <= high[number]
    for read, seen, row in rows(world):
        if seen.before[row] >= 0:
            assert world.went_back(read), "a false alarm"
            lost = seen.back_writes()[seen.back.tolist().index(row)]
            assert 1 <= lost <= world.lost_sight_of(read)


@SIMULATIONS
@given(st.integers(0, 2**20), st.integers(1, 3))
def test_what_happens_in_order_is_always_noticed(seed: int, readers: int) -> None:
    """One process whose writes do not overlap: then nothing that is withheld goes unseen."""
    world = simulate(seed, processes=1, readers=readers, lag=40, concurrent=0, endpoints=1, apart=1)
    for read, seen, row in rows(world):
        assert seen.lower_ns[row] <= world.staleness(read) <= seen.stale_ns[row]
        assert read.retried or seen.lower_ns[row] == seen.stale_ns[row]
        if read.backed_off:
            continue
        assert (seen.before[row] >= 0) == world.went_back(read, strictly=True)


@SIMULATIONS
@given(WORLDS)
def test_what_is_greater_and_was_told_is_never_overlooked(world: World) -> None:
    """Of whichever process it is, and whether the read showed anything or not."""
    for read, seen, row in rows(world):
        told = [w.ended for w in world.writes if w.outcome is Outcome.OK and w.write_id > read.seen]
        assert seen.lower_ns[row] == max(0, read.since - min(told, default=read.since))
        assert (seen.before[row] >= 0) == any(
            earlier.endpoint == read.endpoint
            and earlier.ended < read.since
            and earlier.seen > read.seen
            for earlier in world.reads
        )


@SIMULATIONS
@given(WORLDS)
def test_readers_that_show_everything_are_never_blamed(world: World) -> None:
    """Reads of the writer itself, whatever overtakes what."""
    up_to_date = [
        Read(
            started=read.started,
            first_started=read.first_started,
            backed_off=read.backed_off,
            ended=read.ended,
            visible=frozenset(
                w.write_id
                for w in world.writes
                if w.committed is not None and w.committed <= read.started
            ),
            endpoint="cluster",
            instance="writer",
        )
        for read in world.reads
    ]
    for seen in World(world.writes, up_to_date).recorded().values():
        assert not seen.lacking.any()
        assert not len(seen.back)
        assert (seen.upper_ns >= 0).all()


@SIMULATIONS
@given(WORLDS, st.integers(0, 6), st.sampled_from([-1, 1]))
def test_clocks_that_differ_cause_no_false_alarm(world: World, error: int, sign: int) -> None:
    """Reads were recorded by a clock that is ahead or behind by as much as is known that it may be."""
    away = [
        replace(
            read,
            started=read.started + sign * error,
            first_started=read.first_started + sign * error,
            ended=read.ended + sign * error,
        )
        for read in world.reads
    ]
    shares = np.array([(0, 0, 0, error, 0)], dtype=SHARE_DTYPE)
    recorded = World(world.writes, away).recorded(shares)
    for endpoint, seen in recorded.items():
        true = [r for r in world.reads if r.endpoint == endpoint]
        true.sort(key=lambda r: r.since)
        for row, read in enumerate(true):
            truth = world.staleness(read)
            assert seen.lower_ns[row] <= truth <= seen.upper_ns[row]
            assert not seen.lacking[row] or truth > 0
            assert seen.before[row] < 0 or world.went_back(read)


def test_a_read_of_an_unrecorded_write_has_no_upper_bound() -> None:
    writes = [Write(7, 0, 1, 2, Outcome.OK)]
    reads = [
        Read(10, 10, 11, frozenset({9}), "reader", "i"),
        Read(12, 12, 13, frozenset({7}), "reader", "i"),
    ]
    (seen,) = World(writes, reads).recorded().values()
    assert seen.upper_ns.tolist() == [-1, 0]
    assert seen.back.tolist() == [1]
    assert [column.tolist() for column in seen.back_ns()] == [[-1], [-1]]
    assert np.array_equal(seen.back_writes(), [1])
