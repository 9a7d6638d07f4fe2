"""What workers recorded, against what the run's folder holds after any shipping of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.clock import NS
from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import ConnectionEvent, Failure, Kind, OperationWriter, Outcome, Role
from chaos.model.record import LineWriter, Observation, read_observations
from loadgen.distributed import shipping
from loadgen.distributed.channel import RUNNER, Channel
from loadgen.distributed.clock import DRIFT_MAX, Alignment, Exchange
from loadgen.distributed.collecting import Collection, Sender
from loadgen.distributed.members import Member, State
from loadgen.distributed.shipping import Shipment

ARM = "arm"
OFFSETS_NS = (0, 1_000 * NS)
names = st.sampled_from(["", "i-1", "i-2", "i-3", "57P01 AdminShutdown", "----- Timeout"])
operation = st.tuples(names, names, st.integers(0, 3), st.integers(0, 2))
steps = st.lists(
    st.tuples(st.integers(0, 1), st.lists(operation, max_size=6), st.booleans()), max_size=12
)


class Machine:
    """One worker's recording, shipping and sender; its clock is ahead by `offset_ns`."""

    def __init__(self, folder: Path, number: int, offset_ns: int) -> None:
        self.offset_ns = offset_ns
        self.writer = OperationWriter(folder / "operations", ARM)
        self.lines = LineWriter(folder / "observations.jsonl")
        self.shipment = Shipment(folder)
        alignment = Alignment()
        alignment.add(Exchange(0, offset_ns, offset_ns, 0))
        self.sender = Sender(number, alignment)
        self.recorded: list[tuple[Any, ...]] = []

    def record(self, at_ns: int, told: tuple[str, str, int, int]) -> None:
        endpoint, error, attempts, outcome = told
        own = at_ns + self.offset_ns
        failures = [
            Failure(started_ns=own + n, ended_ns=own + n + 1, error=error, instance=endpoint)
            for n in range(attempts)
        ]
        self.writer.operation(
            kind=Kind.WRITE, endpoint=endpoint, intended_ns=own, started_ns=own, ended_ns=own + 9,
            outcome=Outcome(outcome), error=error, write_id=at_ns, failures=failures,
        )  # fmt: skip
        self.writer.flush()
        self.recorded.append((at_ns, endpoint, error, [at_ns + n for n in range(attempts)]))

    def ship(self, collection: Collection) -> bool:
        parcel = self.shipment.parcel
        if parcel is None:
            return False
        collection.apply(parcel, self.sender)
        collection.apply(parcel, self.sender)  # as when the confirmation was lost
        self.shipment.confirmed(parcel.fields["number"])
        return True


def told(log: OperationLog) -> list[tuple[Any, ...]]:
    starts: dict[int, list[int]] = {}
    for attempt in log.attempts:
        row = log.operations[attempt["operation"]]
        assert log.names[attempt["error"]] == log.names[row["error"]]
        starts.setdefault(int(attempt["operation"]), []).append(int(attempt["started_ns"]))
    return [
        (int(r["intended_ns"]), log.names[r["endpoint"]], log.names[r["error"]], starts.get(n, []))
        for n, r in enumerate(log.operations)
    ]


@settings(max_examples=60)
@given(happened=steps, operations_max=st.integers(1, 8), attempts_max=st.integers(1, 5))
def test_nothing_is_lost_doubled_or_changed_but_the_clock(
    happened: list[tuple[int, list[tuple[str, str, int, int]], bool]],
    operations_max: int,
    attempts_max: int,
) -> None:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipping, "OPERATIONS_MAX", operations_max)
        patch.setattr(shipping, "ATTEMPTS_MAX", attempts_max)
        run = Path(place) / "run"
        run.mkdir()
        collection = Collection(run, [ARM])
        machines = []
        for number, offset_ns in enumerate(OFFSETS_NS, 1):
            folder = Path(place) / str(number)
            (folder / "operations").mkdir(parents=True)
            machines.append(Machine(folder, number, offset_ns))
        at_ns = 10 * NS
        for which, operations, ship in happened:
            for one in operations:
                at_ns += 1_000
                machines[which].record(at_ns, one)
            if ship:
                machines[which].ship(collection)
        for machine in machines:
            while machine.ship(collection):
                pass
        log = load_operations(run / "operations", ARM)
        recorded = [row for machine in machines for row in machine.recorded]
        error_ns = log.clock_error_ns
        rows = sorted(zip(log.operations["write_id"].tolist(), told(log), strict=True))
        assert [write_id for write_id, _ in rows] == [row[0] for row in sorted(recorded)]
        for (_, found), made in zip(rows, sorted(recorded), strict=True):
            assert found[1:3] == made[1:3]
            assert len(found[3]) == len(made[3])
            moved = [found[0] - made[0], *(a - b for a, b in zip(found[3], made[3], strict=True))]
            assert all(abs(by) <= error_ns for by in moved)
            assert len(set(moved)) == 1  # distances within an operation are kept
        assert int(log.shares["count"].sum()) == len(recorded)
        for machine in machines:
            assert machine.shipment.recorded == len(machine.recorded)


def test_a_connection_closes_as_the_one_that_was_opened(tmp_path: Path) -> None:
    """Its two records arrive in different parcels, and are of one connection still."""
    (tmp_path / "own" / "operations").mkdir(parents=True)
    machine = Machine(tmp_path / "own", 1, 50 * NS)
    run = tmp_path / "run"
    run.mkdir()
    collection = Collection(run, [ARM])
    opened = 60 * NS
    for event, began, at in (
        (ConnectionEvent.OPENED, opened - 5, opened),
        (ConnectionEvent.CLOSED, opened, opened + 3 * NS),
    ):
        machine.writer.connection(
            event=event, began_ns=began, at_ns=at, endpoint="cluster", instance="i-1", address="::1",
            backend_pid=7, role=Role.WRITER,
        )  # fmt: skip
        machine.writer.flush()
        machine.ship(collection)
        machine.sender.alignment.add(
            Exchange(10**9, 51 * NS + 900_000, 51 * NS + 900_000, 10**9 + 1)
        )
    first, second = load_operations(run / "operations", ARM).connections
    assert second["began_ns"] == first["at_ns"]
    assert first["at_ns"] - first["began_ns"] == 5


def test_a_parcel_without_operations_still_tells_how_wrong_its_instants_are(tmp_path: Path) -> None:
    """Such as the first of a run, in which connections were opened and nothing was sent yet."""
    (tmp_path / "own" / "operations").mkdir(parents=True)
    machine = Machine(tmp_path / "own", 1, 50 * NS)
    run = tmp_path / "run"
    run.mkdir()
    machine.writer.connection(
        event=ConnectionEvent.OPENED, began_ns=70 * NS, at_ns=70 * NS, endpoint="cluster",
        instance="i-1", address="::1", backend_pid=7, role=Role.WRITER,
    )  # fmt: skip
    machine.writer.flush()
    machine.ship(Collection(run, [ARM]))
    log = load_operations(run / "operations", ARM)
    # Twenty seconds after the only exchange.
    assert log.clock_error_ns >= 20 * NS * DRIFT_MAX
    assert abs(int(log.connections["at_ns"][0]) - 20 * NS) <= log.clock_error_ns
    assert log.shares["count"].tolist() == [0]


def test_a_worker_counts_what_it_recorded_and_not_what_was_taken(tmp_path: Path) -> None:
    """One parcel was confirmed and never applied: that can be told from what was collected."""
    (tmp_path / "own" / "operations").mkdir(parents=True)
    machine = Machine(tmp_path / "own", 1, 50 * NS)
    run = tmp_path / "run"
    run.mkdir()
    collection = Collection(run, [ARM])
    machine.record(NS, ("i-1", "", 0, 0))
    machine.ship(collection)
    machine.record(2 * NS, ("i-1", "", 0, 0))
    assert machine.shipment.parcel is not None
    machine.shipment.confirmed(1)
    assert not machine.ship(collection)
    member = Member("w", Channel("token", "w", RUNNER), machine.sender)
    member.says({"state": "delivered", "operations": machine.shipment.recorded})
    assert (member.state, member.recorded) == (State.DELIVERED, 2)
    assert len(load_operations(run / "operations", ARM).operations) == 1


def test_observations_are_moved_and_name_their_worker(tmp_path: Path) -> None:
    (tmp_path / "own" / "operations").mkdir(parents=True)
    machine = Machine(tmp_path / "own", 2, 50 * NS)
    run = tmp_path / "run"
    run.mkdir()
    machine.lines.append(
        Observation(at_ns=62 * NS, since_ns=61 * NS, kind="lag", subject=ARM, value="1.5")
    )
    machine.ship(Collection(run, [ARM]))
    (seen,) = read_observations(run / "observations.jsonl")
    assert abs(seen.at_ns - 12 * NS) <= NS // 100
    assert seen.at_ns - (seen.since_ns or 0) == NS
    assert seen.detail == {"worker": 2}
