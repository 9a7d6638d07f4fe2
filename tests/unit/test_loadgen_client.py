"""One user's client: attempts, retries, and what is recorded when things end badly.

The engine is a stand-in that fails on demand at each stage, so that no server and no real second is
needed; the arms are the real ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gevent
import numpy as np
import psycopg
import pytest
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chaos.clock import NS
from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import Kind, Outcome, Role
from loadgen.arms import Arm, find
from loadgen.client import Client
from loadgen.deadlines import limit
from loadgen.drivers.base import Seat
from loadgen.drivers.sqlalchemy_pool import SEAT_KEY, SqlalchemyDriver
from loadgen.recorder import Recorder
from loadgen.retry import Tokens
from loadgen.tables import WriteIds, table_of
from loadgen.work import InsertRow, ReadNewest, Work

Script = list[tuple[str, BaseException | None]]
"""For each attempt, the call that fails ("connect", "execute", "commit", "close") and its error."""
GOOD: tuple[str, None] = ("", None)


class VirtualClock:
    """Time that passes only in sleep, and a little with each reading."""

    def __init__(self) -> None:
        self.ns = 1_000 * NS
        self.slept: list[float] = []

    def now_ns(self) -> int:
        self.ns += 1000
        return self.ns

    def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        self.ns += int(duration_s * NS)


class StandInEngine:
    """Connections that fail as the script says; the last line of it repeats."""

    def __init__(self, script: Script) -> None:
        self.script = list(script)
        self.attempts = 0
        self.calls: list[str] = []
        self.parameters: list[Any] = []
        self.info = {SEAT_KEY: Seat("instance-1", 77, Role.WRITER, 0)}

    def connect(self) -> StandInEngine:
        self.attempts += 1
        self.act("connect")
        return self

    def execute(self, _statement: object, parameters: object) -> StandInEngine:
        self.parameters.append(parameters)
        self.act("execute")
        return self

    def fetchall(self) -> list[tuple[int]]:
        return [(1_000_000_000_005,)]

    def commit(self) -> None:
        self.act("commit")

    def close(self) -> None:
        self.act("close")

    def act(self, call: str) -> None:
        self.calls.append(call)
        failing, error = self.script[min(self.attempts, len(self.script)) - 1]
        if failing == call and error is not None:
            raise error


class StandInDriver(SqlalchemyDriver):
    """The real driver on a stand-in engine."""

    def __init__(self, engine: StandInEngine) -> None:
        self.engine: Any = engine
        self._compiled = {}


def wrapped(error: psycopg.Error) -> OperationalError | InternalError:
    """Wrap a driver's error as SQLAlchemy does."""
    kind = InternalError if isinstance(error, psycopg.InternalError) else OperationalError
    return kind("INSERT", {}, error)


def disconnect() -> OperationalError:
    return wrapped(psycopg.OperationalError("server closed the connection unexpectedly"))


def read_only() -> InternalError:
    return wrapped(psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT"))


def shutdown() -> OperationalError:
    return wrapped(psycopg.errors.AdminShutdown("terminating connection"))


class Rig:
    """One client of one arm on a stand-in engine, and what it recorded."""

    def __init__(
        self,
        folder: Path,
        arm: Arm,
        script: Script,
        kind: Kind = Kind.WRITE,
        tokens: Tokens | None = None,
    ) -> None:
        self.folder, self.arm = folder, arm
        self.clock = VirtualClock()
        self.engine = StandInEngine(script)
        self.recorder = Recorder(folder, arm.name, self.clock.now_ns())
        table = table_of("run")
        self.work: Work = (
            InsertRow(arm.name, table, WriteIds(1), keyed=arm.idempotent)
            if kind is Kind.WRITE
            else ReadNewest(arm.name, table)
        )
        self.client = Client(
            arm,
            StandInDriver(self.engine),
            self.work,
            self.recorder,
            clock=self.clock,
            limit=limit,
            tokens=tokens,
        )

    def perform(self) -> np.void:
        self.client.perform(self.clock.ns - NS)
        return self.only()

    def only(self) -> np.void:
        """Return the one record."""
        records = self.log().operations
        assert len(records) == 1
        return records[0]  # type: ignore[no-any-return]

    def log(self) -> OperationLog:
        self.recorder.operations.flush()
        return load_operations(self.folder / "operations", self.arm.name)

    def errors(self) -> list[str]:
        log = self.log()
        return [log.names[i] for i in log.attempts["error"]]

    def error(self) -> str:
        return self.log().names[self.only()["error"]]


@pytest.fixture
def rig(tmp_path: Path) -> Any:
    return lambda arm, *script, kind=Kind.WRITE: Rig(tmp_path, find(arm), list(script), kind)


def test_a_success_is_recorded_with_its_instant_its_instance_and_one_attempt(rig: Any) -> None:
    made = rig("default-pool", GOOD)
    record = made.perform()
    assert record["outcome"] == Outcome.OK
    assert record["attempts"] == 1
    assert record["write_id"] == 1_000_000_000_001
    assert record["backend_pid"] == 77
    assert made.log().names[record["instance"]] == "instance-1"
    assert made.log().names[record["endpoint"]] == "cluster"
    assert record["intended_ns"] + NS <= record["started_ns"] < record["ended_ns"]
    assert made.errors() == []
    assert made.recorder.served == {(Kind.WRITE, "cluster")}


@pytest.mark.parametrize(
    ("call", "expected"),
    [("connect", Outcome.FAILED), ("execute", Outcome.FAILED), ("commit", Outcome.UNKNOWN)],
)
@pytest.mark.parametrize("arm", ["default-pool", "resilient"])
def test_how_far_the_write_came_decides_what_a_lost_connection_means(
    rig: Any, arm: str, call: str, expected: Outcome
) -> None:
    made = rig(arm, (call, disconnect()))
    record = made.perform()
    assert record["outcome"] == expected
    assert record["attempts"] == made.engine.attempts == len(made.errors())
    assert made.error() == "----- ServerClosedConnection"
    assert made.recorder.served == set()


@pytest.mark.parametrize("arm", ["default-pool", "resilient"])
def test_a_lost_connection_is_tried_again_and_the_failed_attempt_kept(rig: Any, arm: str) -> None:
    made = rig(arm, ("commit", disconnect()), GOOD)
    record = made.perform()
    assert record["outcome"] == Outcome.OK
    assert record["attempts"] == 2
    assert made.errors() == ["----- ServerClosedConnection"]
    assert made.error() == ""
    assert [p["attempt"] for p in made.engine.parameters] == [1, 2]
    assert len({p["write_id"] for p in made.engine.parameters}) == 1


def test_default_pool_gives_up_on_read_only_at_once(rig: Any) -> None:
    """The poisoned pool: 25006 is no OperationalError, so the retry never sees it."""
    made = rig("default-pool", ("execute", read_only()))
    record = made.perform()
    assert record["outcome"] == Outcome.FAILED
    assert record["attempts"] == 1
    assert made.error() == "25006 ReadOnlySqlTransaction"
    assert made.clock.slept == []


def test_resilient_goes_on_after_read_only(rig: Any) -> None:
    made = rig("resilient", *[("execute", read_only())] * 5, GOOD)
    record = made.perform()
    assert record["outcome"] == Outcome.OK
    assert record["attempts"] == 6
    assert made.errors() == ["25006 ReadOnlySqlTransaction"] * 5


def test_default_pool_makes_three_attempts_with_growing_waits(rig: Any) -> None:
    made = rig("default-pool", ("connect", disconnect()))
    assert made.perform()["attempts"] == 3
    assert made.clock.slept == [0.1, 0.2]


def test_resilient_stops_within_its_budget_and_its_waits_are_bounded(rig: Any) -> None:
    made = rig("resilient", ("connect", disconnect()))
    record = made.perform()
    retry = made.arm.retry
    assert retry.elapsed_s_max is not None
    elapsed_s = (record["ended_ns"] - record["started_ns"]) / NS
    assert retry.elapsed_s_max - retry.wait_s_max <= elapsed_s <= retry.elapsed_s_max
    assert max(made.clock.slept) <= retry.wait_s_max
    assert len(set(made.clock.slept)) > 20


@pytest.mark.parametrize(
    "error",
    [
        wrapped(psycopg.errors.InvalidPassword("password authentication failed")),
        wrapped(psycopg.errors.InternalError_("a defect of the server")),
    ],
)
def test_resilient_does_not_insist_on_what_will_not_pass(rig: Any, error: Exception) -> None:
    made = rig("resilient", ("connect", error))
    assert made.perform()["attempts"] == 1


def test_one_unknown_attempt_makes_the_failed_operation_unknown(rig: Any) -> None:
    made = rig("default-pool", ("commit", shutdown()), ("connect", disconnect()))
    record = made.perform()
    assert record["outcome"] == Outcome.UNKNOWN
    assert made.errors() == ["57P01 AdminShutdown"] + ["----- ServerClosedConnection"] * 2


def test_a_pool_that_gives_no_connection_means_nothing_was_sent(rig: Any) -> None:
    made = rig("default-pool", ("connect", PoolTimeout("QueuePool limit of size 5 overflow 10")))
    record = made.perform()
    assert record["outcome"] == Outcome.FAILED
    assert record["attempts"] == 1
    assert made.error() == "----- PoolTimeout"
    assert made.only()["instance"] == 0


def test_a_confirmed_write_stays_confirmed_when_giving_the_connection_back_fails(rig: Any) -> None:
    made = rig("resilient", ("close", disconnect()))
    record = made.perform()
    assert record["outcome"] == Outcome.OK
    assert record["attempts"] == 1


def test_a_success_is_told_once_and_pays_back_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(10, 0.25)
    made = Rig(tmp_path, find("resilient"), [("commit", disconnect()), GOOD], tokens=tokens)
    told: list[int] = []
    monkeypatch.setattr(made.work, "acknowledged", told.append)
    record = made.perform()
    assert told == [record["write_id"]]
    assert tokens.left == 10 - 1 + 0.25


@pytest.mark.parametrize("before", [[], [("commit", disconnect())]], ids=["at once", "retried"])
def test_a_confirmed_write_stays_confirmed_when_its_user_is_killed_after_it(
    rig: Any, before: Script
) -> None:
    made = rig("resilient", *before, ("close", gevent.GreenletExit()))
    with pytest.raises(gevent.GreenletExit):
        made.perform()
    record = made.only()
    assert record["outcome"] == Outcome.OK
    assert record["attempts"] == len(before) + 1
    assert len(made.errors()) == len(before)
    assert made.error() == ""


def test_a_read_records_the_newest_write_that_it_saw(rig: Any) -> None:
    made = rig("default-pool", GOOD, kind=Kind.READ)
    assert made.perform()["write_id"] == 1_000_000_000_005


def test_waiting_for_a_connection_is_recorded_over_all_attempts(rig: Any) -> None:
    made = rig("default-pool", ("connect", disconnect()), GOOD)
    record = made.perform()
    # The clock stands still but for 1 us a reading: one each for two waits.
    assert record["waited_us"] == 2
    assert record["attempts"] == 2


def test_a_read_is_never_unknown(rig: Any) -> None:
    made = rig("default-pool", ("execute", shutdown()), kind=Kind.READ)
    record = made.perform()
    assert record["outcome"] == Outcome.FAILED
    assert record["write_id"] == -1
    assert made.log().names[record["endpoint"]] == "reader"


@pytest.mark.parametrize(
    ("call", "expected"), [("execute", Outcome.FAILED), ("commit", Outcome.UNKNOWN)]
)
def test_a_killed_operation_is_recorded_before_it_goes(
    rig: Any, call: str, expected: Outcome
) -> None:
    made = rig("resilient", (call, gevent.GreenletExit()))
    with pytest.raises(gevent.GreenletExit):
        made.perform()
    assert made.only()["outcome"] == expected
    assert made.error() == "----- Stopped"
    assert made.engine.calls[-1] == "close"


def test_a_kill_during_the_wait_for_the_next_attempt_keeps_the_first(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig("resilient", ("commit", disconnect()))

    def killed(_duration_s: float) -> None:
        raise gevent.GreenletExit

    monkeypatch.setattr(made.clock, "sleep", killed)
    with pytest.raises(gevent.GreenletExit):
        made.perform()
    assert made.only()["outcome"] == Outcome.UNKNOWN
    assert made.error() == "----- Stopped"
    assert made.errors() == ["----- ServerClosedConnection"]


def test_a_defect_of_ours_is_recorded_and_goes_on_up(rig: Any) -> None:
    made = rig("resilient", ("execute", ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError):
        made.perform()
    assert made.error() == "----- ZeroDivisionError"
    assert made.engine.attempts == 1


def test_a_deadline_ends_an_attempt_that_gets_no_answer(tmp_path: Path) -> None:
    """The one test with a real timer, a short one: the loop must be able to break the wait."""
    arm = Arm(
        name="impatient",
        description="gives up soon, once",
        retry=find("default-pool").retry,
        deadline_s=0.02,
    )
    made = Rig(tmp_path, arm, [GOOD])
    made.engine.commit = lambda: gevent.sleep(5)  # type: ignore[method-assign]
    record = made.perform()
    assert record["outcome"] == Outcome.UNKNOWN
    assert made.error() == "----- DeadlineExceeded"
    assert made.engine.calls[-1] == "close"


def test_one_operations_failures_do_not_leak_into_the_next(rig: Any) -> None:
    made = rig("default-pool", ("commit", disconnect()), GOOD)
    made.client.perform(made.clock.ns)
    made.client.perform(made.clock.ns)
    assert made.log().operations["attempts"].tolist() == [2, 1]
    assert made.log().operations["write_id"].tolist() == [1_000_000_000_001, 1_000_000_000_002]
    assert made.log().attempts["operation"].tolist() == [0]
