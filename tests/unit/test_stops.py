"""Stop conditions: each tells when it holds and is silent when it does not."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from chaos.clock import NS
from chaos.errors import HostError, RunAborted
from chaos.model.ledger import LostSoFar
from chaos.model.operation import Kind, OperationWriter, Outcome
from chaos.model.record import read_events
from chaos.run.interrupt import InterruptibleClock
from chaos.run.journal import Journal
from chaos.run.live import Tail
from chaos.run.stopping import STOP_FILE, Stopping
from chaos.safety.stops import (
    STOPS,
    Alarm,
    AllOf,
    AnyOf,
    Condition,
    Deadline,
    ErrorRatio,
    LostWrites,
    NoSuccess,
    Recent,
    Stop,
    StopFile,
    every,
)
from chaos.wait import wait_until

NOW_NS = 1000 * NS


@dataclass
class Shown:
    """A view that shows what a test wants."""

    method_since_ns: int = NOW_NS - 100 * NS
    asked_since_ns: int = NOW_NS - 100 * NS
    stream: Recent = field(
        default_factory=lambda: Recent(operations=100, failed=0, last_success_ns=NOW_NS)
    )
    ledger: LostSoFar | None = None
    states: dict[str, str] = field(default_factory=dict)
    silent: float = 0.0

    def recent(self, arm: str, endpoint: str, operation: str, over_s: float) -> Recent:
        return self.stream

    def lost_so_far(self) -> LostSoFar | None:
        return self.ledger

    def alarm(self, name: str) -> str | None:
        return self.states.get(name)

    def silent_s(self, source: str) -> float:
        return self.silent


def stream(operations: int, failed: int, last_success_s_ago: float | None = 0) -> Shown:
    ago = last_success_s_ago
    last = None if ago is None else NOW_NS - int(ago * NS)
    return Shown(stream=Recent(operations=operations, failed=failed, last_success_ns=last))


RATIO = ErrorRatio(arm="a", ratio_above=0.5)
SILENCE = NoSuccess(arm="a", longer_than_s=10)
LOST = LostWrites()
ALARM = Alarm(alarm="hot")
LATE = Deadline(after_s=60)
EARLY = Deadline(after_s=600)

CASES: list[tuple[Stop, Shown, str | None]] = [
    (RATIO, stream(100, 51), "51 of 100 a writes on cluster failed in 5 s: 51%, above 50%"),
    (RATIO, stream(100, 50), None),
    (RATIO, stream(19, 19), None),
    (SILENCE, stream(0, 0, 10.5), "no success among a writes on cluster for 10.5 s"),
    (SILENCE, stream(0, 0, 9.5), None),
    (SILENCE, stream(0, 0, None), "for 100.0 s"),
    (LOST, Shown(ledger=LostSoFar(checked=50, lost=1)), "1 of 50 acknowledged writes"),
    (LOST, Shown(ledger=LostSoFar(checked=50, lost=0)), None),
    (LOST, Shown(), None),
    (ALARM, Shown(states={"hot": "ALARM"}), "hot is in ALARM"),
    (ALARM, Shown(states={"hot": "missing"}), "hot is not there"),
    (ALARM, Shown(states={"hot": "OK"}), None),
    (ALARM, Shown(states={"hot": "INSUFFICIENT_DATA"}), None),
    (ALARM, Shown(states={"hot": "OK"}, silent=61), "has not told the state of hot for 61 s"),
    (LATE, Shown(), "longer than 60 s"),
    (EARLY, Shown(), None),
    (AnyOf(of=(EARLY, LATE)), Shown(), "longer than 60 s"),
    (AnyOf(of=(EARLY,)), Shown(), None),
    (AllOf(of=(LATE, RATIO)), stream(100, 51), "longer than 60 s and 51 of 100"),
    (AllOf(of=(LATE, RATIO)), stream(100, 0), None),
]


@pytest.mark.parametrize(("condition", "shown", "why"), CASES)
def test_a_condition_tells_why_it_holds(condition: Stop, shown: Shown, why: str | None) -> None:
    told = condition.why(shown, NOW_NS)
    assert told is None if why is None else told is not None and why in told


def test_every_condition_has_a_case_that_holds_and_one_that_does_not() -> None:
    held = {type(c) for c, _, why in CASES if why}
    let_be = {type(c) for c, _, why in CASES if not why}
    assert held == let_be == set(STOPS) - {StopFile}


def test_a_stop_file_says_its_reason(tmp_path: Path) -> None:
    condition = StopFile(path=str(tmp_path / "halt"))
    assert condition.why(Shown(), NOW_NS) is None
    (tmp_path / "halt").write_text("pager is ringing\nmore", encoding="utf-8")
    assert condition.why(Shown(), NOW_NS) == "stopped by halt: pager is ringing"


def test_conditions_are_data_and_nest() -> None:
    (any_of,) = TypeAdapter(tuple[Condition]).validate_python(
        [
            {
                "stop": "any",
                "of": [
                    {"stop": "deadline", "after_s": 5},
                    {"stop": "all", "of": [{"stop": "lost-writes"}]},
                ],
            }
        ]
    )
    assert [type(one) for one in every((any_of,))] == [Deadline, LostWrites]


def operations(folder: Path, *ended: tuple[float, Outcome]) -> None:
    with OperationWriter(folder, "a") as writer:
        for ended_s, outcome in ended:
            at_ns = int(ended_s * NS)
            writer.operation(
                kind=Kind.WRITE,
                endpoint="cluster",
                intended_ns=at_ns,
                started_ns=at_ns,
                ended_ns=at_ns,
                outcome=outcome,
            )


def test_the_tail_reads_on_and_counts_what_ended_lately(tmp_path: Path) -> None:
    tail = Tail(tmp_path)
    tail.read_on("a", 10 * NS)
    assert tail.recent("a", "cluster", Kind.WRITE, 0).last_success_ns is None
    operations(tmp_path, (1, Outcome.OK), (8, Outcome.OK), (9, Outcome.FAILED))
    tail.read_on("a", 10 * NS)
    assert tail.recent("a", "cluster", Kind.WRITE, 8 * NS) == Recent(
        operations=2, failed=1, last_success_ns=8 * NS
    )
    operations(tmp_path, (10, Outcome.UNKNOWN))
    tail.read_on("a", 11 * NS)
    assert tail.recent("a", "cluster", Kind.WRITE, 8 * NS) == Recent(
        operations=3, failed=2, last_success_ns=8 * NS
    )
    assert tail.recent("a", "reader", Kind.READ, 0).operations == 0


@pytest.fixture
def stopping(tmp_path: Path) -> Any:
    """Watch conditions of a run in `tmp_path`; returns the watcher, its clock and its journal."""

    def watched(*conditions: Stop, **sources: Any) -> tuple[Stopping, InterruptibleClock, Journal]:
        clock = InterruptibleClock()
        journal = Journal(tmp_path / "journal.jsonl", clock, lambda _: None)
        answers = {"ledger": lambda: LostSoFar(checked=1, lost=0), "alarms": lambda _: {}}
        return (
            Stopping(conditions, tmp_path, journal, clock, **{**answers, **sources}),
            clock,
            journal,
        )

    return watched


def test_a_stop_file_ends_what_waits_and_is_journaled(stopping: Any, tmp_path: Path) -> None:
    watcher, clock, _ = stopping()
    (tmp_path / STOP_FILE).write_text("enough\n", encoding="utf-8")
    with watcher, pytest.raises(RunAborted, match="stopped on request: enough"):
        clock.sleep(60)
    (event,) = read_events(tmp_path / "journal.jsonl")
    assert (event.type, event.data["condition"]) == ("stop", "stop-file")


def test_while_the_cluster_is_restored_nothing_is_stopped(stopping: Any, tmp_path: Path) -> None:
    watcher, clock, _ = stopping(Deadline(after_s=0.001))
    with watcher:
        wait_until(lambda: read_events(tmp_path / "journal.jsonl"), "the stop", timeout_s=60)
        with clock.shielded():
            clock.sleep(0.01)
        with pytest.raises(RunAborted, match="longer than 0"):
            clock.sleep(60)


@pytest.mark.parametrize(
    ("condition", "sources", "why"),
    [
        (LostWrites(), {"ledger": lambda: LostSoFar(checked=9, lost=2)}, "2 of 9"),
        (ALARM, {"alarms": lambda names: dict.fromkeys(names, "ALARM")}, "hot is in ALARM"),
        (ALARM, {"alarms": lambda _: {}}, "hot is not there"),
    ],
)
def test_what_is_asked_meanwhile_stops_the_run(
    stopping: Any, condition: Stop, sources: dict[str, Any], why: str
) -> None:
    watcher, clock, _ = stopping(condition, **sources)
    with watcher, pytest.raises(RunAborted, match=why):
        clock.sleep(60)


def test_a_question_that_hangs_does_not_delay_the_other_conditions(stopping: Any) -> None:
    answer = threading.Event()

    def hangs() -> LostSoFar:
        answer.wait(60)
        return LostSoFar(checked=0, lost=0)

    watcher, clock, _ = stopping(LostWrites(), Deadline(after_s=0.2), ledger=hangs)
    with watcher:
        with pytest.raises(RunAborted, match="longer than"):
            clock.sleep(60)
        answer.set()


def test_conditions_that_cannot_be_evaluated_end_the_run(stopping: Any) -> None:
    def broken() -> LostSoFar:
        raise KeyError("planted")

    watcher, clock, _ = stopping(LostWrites(), ledger=broken)
    clock.on_slice = watcher.check
    with watcher, pytest.raises(HostError, match="nothing guarded it"):
        clock.sleep(60)


@pytest.mark.parametrize("kind", STOPS, ids=lambda kind: kind.model_fields["stop"].default)
def test_every_condition_and_parameter_is_in_the_language_s_reference(kind: type[Stop]) -> None:
    reference = (Path(__file__).parents[2] / "experiments" / "README.md").read_text("utf-8")
    table = reference.partition("## `stop_when`")[2].partition("## `objectives`")[0]
    assert f"`{kind.model_fields['stop'].default}`" in table
    for name in set(kind.model_fields) - {"stop"}:
        assert f"`{name}`" in table, name
