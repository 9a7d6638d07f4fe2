"""Users that are threads: each arrival once, each operation on record once, also one cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos.clock import NS
from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import Kind, Outcome, Role
from chaos.wait import wait_until
from loadgen.arm import Arm, Retry
from loadgen.client import Client
from loadgen.crew import Crew
from loadgen.drivers.base import Rows, Seat, Statement, Trouble
from loadgen.outcome import STOPPED
from loadgen.recorder import Recorder
from loadgen.schedule import Schedule
from loadgen.tables import WriteIds, table_of
from loadgen.threads import Ending, SharedArrivals, SharedOperationWriter, ThreadUsers, UserEnded
from loadgen.work import InsertRow, ReadNewest, Work

ARM = Arm(name="stand-in", description="", retry=Retry.fixed(wait_s=60.0))
WAIT_S = 60.0


class StandIn:
    """A driver whose calls may be held, or fail."""

    errors = (ConnectionError,)

    def __init__(self) -> None:
        self.seat = Seat("instance-1", 7, Role.WRITER, 0)
        self.entered, self.held = threading.Event(), threading.Event()
        self.held.set()
        self.giving_back, self.taken_back = threading.Event(), threading.Event()
        self.taken_back.set()
        self.fails = self.is_defective = False

    def session(self) -> StandIn:
        return self

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        self.entered.set()
        self.held.wait(WAIT_S)
        if self.fails:
            raise ConnectionError("lost")
        return ()

    def commit(self) -> None:
        if self.is_defective:
            raise ZeroDivisionError("ours")

    def close(self) -> None:
        self.giving_back.set()
        self.taken_back.wait(WAIT_S)

    def trouble(self, error: BaseException) -> Trouble:
        return Trouble(
            error="----- ConnectionLost", message=str(error), operational=True, lost=True
        )


class Rig:
    """Thread users of one stream on the stand-in."""

    def __init__(self, folder: Path, kind: Kind = Kind.WRITE, users: int = 4) -> None:
        self.folder = folder
        self.driver, self.ending = StandIn(), Ending()
        self.recorder = Recorder(folder, ARM.name, time.monotonic_ns(), SharedOperationWriter)
        ids = WriteIds(1)
        self.due_ns = time.monotonic_ns() - NS
        self.arrivals = SharedArrivals(
            Schedule(400.0, "seed", self.due_ns), 10_000, lambda *_: None
        )
        self.failed: list[BaseException] = []

        def client() -> Client:
            table = table_of("run")
            work: Work = (
                InsertRow(ARM.name, table, ids, keyed=False)
                if kind is Kind.WRITE
                else ReadNewest(ARM.name, table)
            )
            return Client(ARM, self.driver, work, self.recorder, clock=self.ending)

        self.crew = Crew(
            "Write",
            count=users,
            arrivals=self.arrivals,
            recorder=self.recorder,
            client_of_user=client,
        )
        self.users = ThreadUsers(self.failed.append, self.ending)

    def log(self) -> OperationLog:
        self.recorder.operations.flush()
        return load_operations(self.folder / "operations", ARM.name)

    def await_records(self, count: int) -> None:
        wait_until(
            lambda: len(self.log().operations) >= count, f"{count} records", timeout_s=WAIT_S
        )


def test_every_arrival_is_carried_out_once_by_one_of_the_threads(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.users.start([rig.crew])
    rig.await_records(300)
    rig.arrivals.close(time.monotonic_ns())
    wait_until(
        lambda: not rig.arrivals.waiting and not rig.crew.busy, "the queue to empty", timeout_s=60
    )
    rig.users.end(WAIT_S)
    operations = rig.log().operations
    assert rig.failed == []
    assert set(operations["outcome"]) == {Outcome.OK}
    # What fell due while its user still slept was given back, and would be recorded as never sent.
    instants = sorted([*operations["intended_ns"].tolist(), *rig.arrivals.abandon()])
    again = Schedule(400.0, "seed", rig.due_ns)
    assert instants == [again.next_ns() for _ in instants]
    assert len(set(operations["write_id"].tolist())) == len(operations), "no id was given twice"


@pytest.mark.parametrize(
    ("kind", "expected"), [(Kind.WRITE, Outcome.UNKNOWN), (Kind.READ, Outcome.FAILED)]
)
def test_an_operation_that_does_not_end_is_recorded_as_cut_off_and_never_again(
    tmp_path: Path, kind: Kind, expected: Outcome
) -> None:
    rig = Rig(tmp_path, kind, users=1)
    rig.driver.held.clear()
    rig.users.start([rig.crew])
    assert rig.driver.entered.wait(WAIT_S)
    (member,) = rig.crew.busy
    rig.users.end(0.01)
    log = rig.log()
    (record,) = log.operations
    assert record["outcome"] == expected
    assert record["attempts"] == 1
    assert log.names[record["error"]] == STOPPED
    assert log.names[record["instance"]] == "instance-1"
    assert [log.names[i] for i in log.attempts["error"]] == [STOPPED]
    rig.driver.held.set()
    wait_until(lambda: member not in rig.crew.busy, "the call to return", timeout_s=WAIT_S)
    assert len(rig.log().operations) == 1, "what it says now is not recorded any more"
    assert rig.failed == []


def test_what_was_confirmed_is_no_failure_when_it_is_cut_off_while_its_connection_is_given_back(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, users=1)
    rig.driver.taken_back.clear()
    rig.users.start([rig.crew])
    assert rig.driver.giving_back.wait(WAIT_S)
    (member,) = rig.crew.busy
    rig.users.end(0.01)
    log = rig.log()
    (record,) = log.operations
    assert record["outcome"] == Outcome.OK
    assert (record["attempts"], log.names[record["error"]], len(log.attempts)) == (1, "", 0)
    assert log.names[record["instance"]] == "instance-1"
    rig.driver.taken_back.set()
    wait_until(lambda: member not in rig.crew.busy, "the call to return", timeout_s=WAIT_S)
    assert len(rig.log().operations) == 1


def test_a_user_that_waits_to_try_again_ends_at_once_with_what_it_has(tmp_path: Path) -> None:
    rig = Rig(tmp_path, users=1)
    rig.driver.fails = True
    rig.users.start([rig.crew])
    assert rig.driver.entered.wait(WAIT_S)
    wait_until(lambda: rig.recorder.last_error == "lost", "the failure", timeout_s=WAIT_S)
    rig.users.end(WAIT_S)
    log = rig.log()
    (record,) = log.operations
    assert record["outcome"] == Outcome.FAILED, "nothing was committed, and nothing will be"
    assert log.names[record["error"]] == STOPPED


def test_a_user_that_waits_for_its_arrival_gives_it_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path, users=1)
    rig.driver.held.set()
    rig.users.start([rig.crew])
    rig.await_records(400)  # all that was due: it waits for what is to come
    rig.users.end(WAIT_S)
    recorded = len(rig.log().operations)
    again = Schedule(400.0, "seed", rig.due_ns)
    instants = [again.next_ns() for _ in range(recorded + 1)]
    assert rig.arrivals.take(instants[-1]) == instants[-1], "the next one is still to be had"


def test_a_defect_is_told(tmp_path: Path) -> None:
    rig = Rig(tmp_path, users=1)
    rig.driver.is_defective = True
    rig.users.start([rig.crew])
    wait_until(lambda: rig.failed, "the defect to be told", timeout_s=WAIT_S)
    assert isinstance(rig.failed[0], ZeroDivisionError)
    rig.users.end(WAIT_S)


def test_waits_end_when_users_are_told_to_and_last_again_afterwards() -> None:
    ending = Ending()
    ending.tell(end=True)
    with pytest.raises(UserEnded):
        ending.sleep(3600)
    ending.tell(end=False)
    ending.sleep(0.001)


def test_records_after_the_end_are_dropped(tmp_path: Path) -> None:
    writer = SharedOperationWriter(tmp_path, "late")
    fields: dict[str, Any] = {
        "kind": Kind.READ, "endpoint": "reader", "intended_ns": 1, "started_ns": 2, "ended_ns": 3,
        "outcome": Outcome.OK,
    }  # fmt: skip
    writer.operation(**fields)
    writer.close()
    writer.operation(**fields)
    assert len(load_operations(tmp_path, "late").operations) == 1
