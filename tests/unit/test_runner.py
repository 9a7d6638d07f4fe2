"""How a run ends when something is wrong before or in it: status, errors, nothing left undone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fix_rds import FakeRds, VirtualClock, topology

from chaos.clock import Anchor
from chaos.definition.experiment import Experiment
from chaos.errors import ExitCode, GuardRefused, HostError, RecoveryFailed
from chaos.model.access import DatabaseAccess
from chaos.model.ledger import Ledger, LostSoFar
from chaos.model.record import read_events
from chaos.run import runner
from chaos.run.interrupt import InterruptibleClock
from chaos.run.rig import Rig
from chaos.run.runner import Run, Status
from chaos.safety.limits import SafetyFile

EXPERIMENT = Experiment.model_validate(
    {
        "version": 1,
        "name": "drill",
        "claim": "Nothing happens.",
        "method": [{"fault": "delete-reader", "settle_s": 0}],
        "objectives": [{"check": "restored"}],
    }
)


class Clock(InterruptibleClock):
    """Interruptible, but time is virtual."""

    def __init__(self) -> None:
        super().__init__()
        self.virtual = VirtualClock()

    def now_ns(self) -> int:
        return self.virtual.now_ns()

    def sleep(self, duration_s: float) -> None:
        self.check()
        self.virtual.sleep(max(duration_s, 0.01))


class Rds(FakeRds):
    cluster = "c1"
    region = "eu-west-1"
    endpoint_url = "http://127.0.0.1:9"

    def on_change(self, listener: Callable[[Mapping[str, Any]], object]) -> None:
        self.listener = listener

    def events(self, since: Any) -> list[Any]:
        return []

    def reads(self) -> Mapping[str, int]:
        return {"DescribeDBClusters": 1}


class Idle:
    """A workload that does nothing, or fails where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.done: list[str] = []

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what == self.fails:
            raise HostError(f"planted in {what}")

    def settings(self) -> Mapping[str, Any]:
        return {}

    def prepare(self, access: DatabaseAccess, run: str) -> None:
        self._do("prepare")

    def workers(self, access: DatabaseAccess, folder: Path) -> Sequence[Any]:
        return (self,)

    def start(self, timeout_s: float) -> None:
        self._do("start")

    def shape(self, at_ns: int, timeout_s: float) -> None:
        self._do("shape")
        self.shaped_ns = at_ns

    def check(self) -> None:
        if self.fails == "check":
            raise HostError("planted in check")

    def stop(self, timeout_s: float) -> None:
        self._do("stop")

    def watched(self, access: DatabaseAccess, folder: Path) -> Callable[[], LostSoFar]:
        return lambda: LostSoFar(checked=0, lost=0)

    def reconcile(self, access: DatabaseAccess, folder: Path, run: str) -> Ledger:
        self._do("reconcile")
        return Ledger(complete=True)

    def drop(self, access: DatabaseAccess, run: str) -> None:
        self._do("drop")


ACCESS = DatabaseAccess(
    endpoints={"cluster": "127.0.0.1", "reader": "127.0.0.1"},
    port=9,
    user="nobody",
    password="hush",
    database="none",
)


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Carry the drill out on a cluster in memory whose endpoints answer."""

    def run(
        workload: Idle,
        rds: Rds,
        clock: Clock,
        *,
        reachable: bool = True,
        experiment: Experiment = EXPERIMENT,
    ) -> Any:
        if reachable:
            monkeypatch.setattr(runner, "Sessions", lambda _: rds)
        rig = Rig(
            rds=rds,  # type: ignore[arg-type]
            control=None,
            cluster_kind="test",
            connect=lambda _: ACCESS,
            workload=workload,
            check_cluster=lambda: None,
            alarms=lambda _: {},
            undo_timeout_s=30,
            safety=SafetyFile(),
            clock=clock,
            tell=lambda _: None,
            seed=0,
        )
        ended = Run(experiment, rig, rds.topology(), tmp_path, Anchor.take()).execute()
        (end,) = (
            e
            for e in read_events(tmp_path / "journal.jsonl")
            if e.type == "run" and e.data["state"] == "ended"
        )
        assert end.data["status"] == ended.status.value
        return ended

    return run


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rds(clock: Clock) -> Rds:
    return Rds(clock.virtual)


def test_a_whole_run_restores_the_cluster_and_drops_its_tables(
    execute: Callable[..., Any], rds: Rds, clock: Clock, tmp_path: Path
) -> None:
    workload = Idle()
    ended = execute(workload, rds, clock)
    assert (ended.status, ended.errors) == (Status.COMPLETED, ())
    assert workload.done == ["prepare", "start", "stop", "reconcile", "drop"]
    assert {m.id for m in rds.state.members} == {"i1", "i2", "i3"}
    assert json.loads((tmp_path / "ledger.json").read_text(encoding="utf-8"))["complete"]


def test_a_shape_begins_with_the_method(
    execute: Callable[..., Any], rds: Rds, clock: Clock, tmp_path: Path
) -> None:
    """Whatever the warm-up and the wait for the steady state took, second 0 is the method's first."""
    workload = Idle()
    shaped = {"workload": {"shape": {"ramp": {"to_s": 10, "to_factor": 2}}}}
    experiment = Experiment.model_validate(EXPERIMENT.resolved() | shaped)
    assert execute(workload, rds, clock, experiment=experiment).status is Status.COMPLETED
    assert workload.done == ["prepare", "start", "shape", "stop", "reconcile", "drop"]
    events = list(read_events(tmp_path / "journal.jsonl"))
    (told,) = (e.at_ns for e in events if (e.type, e.data.get("state")) == ("load", "shaped"))
    (began, ended) = (e.at_ns for e in events if e.data.get("phase") == "method")
    assert workload.shaped_ns == told
    assert began <= told < ended


@pytest.mark.parametrize("fails", ["prepare", "start", "check", "stop", "reconcile"])
def test_whatever_fails_the_cluster_is_restored_and_the_first_error_is_told(
    execute: Callable[..., Any], rds: Rds, clock: Clock, fails: str
) -> None:
    workload = Idle(fails)
    ended = execute(workload, rds, clock)
    clock.virtual.sleep(5)
    assert ended.status is Status.FAILED
    assert f"planted in {fails}" in str(ended.errors[0])
    assert workload.done[-1] == "drop"
    assert rds.state.all_available()
    assert {m.id for m in rds.state.members} == {"i1", "i2", "i3"}


def test_a_stopped_run_rolls_back_before_the_ledger_asks_every_instance(
    execute: Callable[..., Any], rds: Rds, clock: Clock
) -> None:
    """The cluster does not stay disturbed for as long as a ledger waits for who is disturbed."""
    members: list[set[str]] = []

    class Asking(Idle):
        def reconcile(self, access: DatabaseAccess, folder: Path, run: str) -> Ledger:
            members.append({m.id for m in rds.state.members if m.status == "available"})
            return super().reconcile(access, folder, run)

    held = {"method": [{"fault": "delete-reader", "hold_s": 600}]}
    experiment = Experiment.model_validate(EXPERIMENT.resolved() | held)
    clock.virtual.after(60, lambda: clock.stop("enough"))
    workload = Asking()
    ended = execute(workload, rds, clock, experiment=experiment)
    assert ended.status is Status.ABORTED
    assert members == [{"i1", "i2", "i3"}]
    assert workload.done == ["prepare", "start", "stop", "reconcile", "drop"]


def test_what_could_not_be_undone_outranks_everything_else(
    execute: Callable[..., Any], rds: Rds, clock: Clock
) -> None:
    rds.ignores = {"create_instance"}
    clock.virtual.after(6, clock.interrupt)
    ended = execute(Idle("drop"), rds, clock)
    assert isinstance(ended.errors[0], RecoveryFailed)
    assert "gameday recover" in str(ended.errors[0])
    assert ended.errors[0].exit_code is ExitCode.INTERNAL


def test_an_endpoint_that_cannot_be_reached_is_refused(
    execute: Callable[..., Any], rds: Rds, clock: Clock
) -> None:
    ended = execute(Idle(), rds, clock, reachable=False)
    assert ended.status is Status.REFUSED
    assert isinstance(ended.errors[0], GuardRefused)
    assert "127.0.0.1:9" in str(ended.errors[0])
    assert rds.calls == []


def test_a_cluster_without_the_tag_is_refused(
    execute: Callable[..., Any], rds: Rds, clock: Clock
) -> None:
    rds.state = topology(tags={})
    ended = execute(Idle(), rds, clock)
    assert ended.status is Status.REFUSED
    assert rds.calls == []


def test_a_bug_of_ours_is_a_line_and_a_trace_in_the_folder(
    execute: Callable[..., Any], rds: Rds, clock: Clock, tmp_path: Path
) -> None:
    def bug(instance: str) -> None:
        raise KeyError("planted")

    rds.delete_instance = bug  # type: ignore[method-assign, assignment]
    ended = execute(Idle(), rds, clock)
    assert ended.status is Status.FAILED
    assert "KeyError" in str(ended.errors[0])
    assert "planted" in (tmp_path / "crash.log").read_text(encoding="utf-8")
    assert rds.state.all_available()


def test_a_stop_in_the_last_moment_is_no_completion(
    execute: Callable[..., Any], rds: Rds, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = runner.Stopping.__exit__

    def late(stopping: Any, *error: object) -> None:
        leave(stopping, *error)
        clock.stop("a condition held")

    monkeypatch.setattr(runner.Stopping, "__exit__", late)
    ended = execute(Idle(), rds, clock)
    assert ended.status is Status.ABORTED
    assert "a condition held" in str(ended.errors[0])
    assert {m.id for m in rds.state.members} == {"i1", "i2", "i3"}
