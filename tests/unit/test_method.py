"""Steps after, beside and within each other, on a clock that makes threads repeatable."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fix_rds import FakeRds
from fix_threads import ThreadClock

from chaos.definition.experiment import Experiment
from chaos.errors import GuardRefused, RunAborted, RunInterrupted
from chaos.model.record import Event, read_events
from chaos.run.journal import Journal
from chaos.run.method import Method
from chaos.run.restore import replay

Lived = dict[str, tuple[float, float]]
"""From the request to the return of the members, in seconds, by `fault place`."""


class Trial:
    """A method on a cluster in memory."""

    def __init__(self, folder: Path, rds: FakeRds, clock: ThreadClock) -> None:
        self.rds = rds
        self.clock = clock
        self.journal = Journal(folder / "journal.jsonl", clock, lambda _: None)
        self.path = folder / "journal.jsonl"
        self.told: list[str] = []

    def do(self, *steps: dict[str, Any], seed: int = 0) -> None:
        experiment = Experiment.model_validate(
            {
                "version": 1,
                "name": "drill",
                "claim": "c",
                "method": steps,
                "objectives": [{"check": "restored"}],
            }
        )
        Method(
            steps=experiment.method,
            run="run",
            first=self.rds.state,
            context=self.rds.context,
            restorer=self.rds,
            journal=self.journal,
            clock=self.clock,
            tell=self.told.append,
            seed=seed,
        ).carry_out()

    @property
    def events(self) -> list[Event]:
        return read_events(self.path)

    def at(self, verb: str, state: str, fault_id: int = 1) -> float:
        """The instant of a verb of an injection, in seconds."""
        return next(
            e.at_ns / 1e9
            for e in self.events
            if (e.type, e.data.get("verb"), e.data.get("state"), e.data.get("fault_id"))
            == ("fault", verb, state, fault_id)
        )

    @property
    def places(self) -> list[tuple[int, str, str, int]]:
        """(step, fault, place, repeat) of each injection, in order."""
        return [
            (e.data["step"], e.data["fault"], e.data["place"], e.data["repeat"])
            for e in self.events
            if e.data.get("verb") == "inject"
            and e.data["state"] == "started"
            and not e.data.get("again")
        ]


@pytest.fixture
def trial(tmp_path: Path, shared_rds: FakeRds, threads: ThreadClock) -> Trial:
    return Trial(tmp_path, shared_rds, threads)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Any:
    """Whatever happens, no thread of a step outlives the method."""
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("step ")] == []


def step(fault: str, **fields: Any) -> dict[str, Any]:
    return {"fault": fault, "settle_s": 0, **fields}


def test_steps_are_done_one_after_the_other_and_numbered_depth_first(trial: Trial) -> None:
    trial.do(
        step("noop", repeat=2),
        {"do": "sequence", "repeat": 2, "steps": [step("reboot-instance"), step("noop")]},
        step("failover-cluster"),
    )
    assert trial.places == [
        (1, "noop", "", 1),
        (1, "noop", "", 2),
        (2, "reboot-instance", "1 of sequence 1", 1),
        (3, "noop", "2 of sequence 1", 1),
        (2, "reboot-instance", "1 of sequence 1", 2),
        (3, "noop", "2 of sequence 1", 2),
        (4, "failover-cluster", "", 1),
    ]


def test_parallel_steps_are_under_way_at_once_and_both_recover(trial: Trial) -> None:
    before = {m.id for m in trial.rds.state.members}
    trial.do(
        {
            "do": "parallel",
            "steps": [step("delete-reader", hold_s=30), step("reboot-instance", hold_s=5)],
        },
        step("noop"),
    )
    assert abs(trial.at("inject", "started", 1) - trial.at("inject", "started", 2)) < 0.1
    assert trial.at("recover", "started", 2) < trial.at("recover", "started", 1)
    assert trial.at("inject", "started", 3) > trial.at("recovered", "ended", 1)
    assert {m.id for m in trial.rds.state.members} == before
    assert trial.journal.open_undo == {}


def test_recovery_waits_for_what_another_step_took_away(trial: Trial) -> None:
    """The deleted reader stays away longer than the reboot's time for recovery."""
    reboot = step("reboot-instance", recovery_timeout_s=10)
    trial.do({"do": "parallel", "steps": [step("delete-reader", hold_s=60), reboot]})
    assert trial.at("recovered", "ended", 2) > 60


def test_a_step_that_goes_wrong_ends_the_others_at_once(trial: Trial) -> None:
    trial.rds.ignores = {"create_instance"}
    gone = step("delete-reader", recovery_timeout_s=5)
    with pytest.raises(RunAborted, match="create-instance: waited 5 s"):
        trial.do({"do": "parallel", "steps": [gone, step("noop", hold_s=500)]})
    assert trial.at("hold", "ended", 2) < 15
    assert list(trial.journal.open_undo) == ["u1"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (lambda: RunInterrupted("signal"), RunInterrupted),
        (lambda: RunAborted("error-ratio"), RunAborted),
    ],
)
def test_a_signal_and_a_stop_condition_reach_every_step(
    trial: Trial, error: Callable[[], Exception], raised: type[Exception]
) -> None:
    trial.clock.after(10, lambda: trial.clock.stop(error))
    with pytest.raises(raised, match=r"signal|error-ratio"):
        trial.do(
            {
                "do": "parallel",
                "steps": [
                    step("delete-reader", hold_s=60),
                    {
                        "do": "nested",
                        "when": "recovering",
                        "outer": step("delete-reader", target="i3"),
                        "steps": [step("noop", hold_s=60)],
                    },
                ],
            }
        )
    trial.clock.stopped = None
    assert replay(trial.journal, trial.rds, trial.clock, "c1") == []
    assert {m.id for m in trial.rds.state.members} == {"i1", "i2", "i3"}


def test_what_nobody_can_target_is_refused_at_first_and_aborts_later(trial: Trial) -> None:
    with pytest.raises(GuardRefused, match="matches target"):
        trial.do(step("reboot-instance", target="nobody"))
    with pytest.raises(RunAborted, match="step 2 had no target any more"):
        trial.do(step("noop"), step("reboot-instance", target="nobody"))


def test_two_selectors_of_one_instance_are_refused_before_anything(trial: Trial) -> None:
    with pytest.raises(GuardRefused, match="both concern instance i1"):
        trial.do(
            {
                "do": "parallel",
                "steps": [
                    step("reboot-instance", target="writer"),
                    step("reboot-instance", target="i1"),
                ],
            }
        )
    assert trial.rds.calls == []
    assert trial.events == []


def test_a_second_failure_comes_while_the_first_one_recovers(trial: Trial) -> None:
    """The new reader is being created when the writer restarts."""
    trial.rds.delay_s = 20
    trial.do(
        {
            "do": "nested",
            "when": "recovering",
            "outer": step("delete-reader"),
            "steps": [step("failover-cluster", target="i3")],
        }
    )
    begun, ended = trial.at("recover", "started", 1), trial.at("recovered", "ended", 1)
    assert begun < trial.at("inject", "started", 2) < begun + 1
    assert trial.at("effect", "ended", 2) < ended
    assert trial.at("recovered", "ended", 2) <= ended
    assert trial.places == [
        (1, "delete-reader", "outer of nested 1", 1),
        (2, "failover-cluster", "1 of nested 1, while delete-reader recovers", 1),
    ]
    assert trial.rds.state.writer is not None
    assert trial.rds.state.writer.id == "i3"


def test_a_second_failure_that_goes_wrong_ends_the_recovery_of_the_first(trial: Trial) -> None:
    trial.rds.delay_s = 50
    with pytest.raises(RunAborted, match="no target any more"):
        trial.do(
            {
                "do": "nested",
                "when": "recovering",
                "outer": step("delete-reader"),
                "steps": [step("reboot-instance", target="i9")],
            }
        )
    assert trial.at("recover", "ended", 1) < trial.at("recover", "started", 1) + 5
    assert list(trial.journal.open_undo) == ["u1"]


def test_steps_within_a_fault_in_force_find_the_cluster_as_it_left_it(trial: Trial) -> None:
    trial.do(
        {
            "do": "nested",
            "outer": step("delete-reader", hold_s=5),
            "steps": [step("reboot-instance", recovery_timeout_s=10), step("noop")],
        }
    )
    assert trial.at("effect", "ended", 1) <= trial.at("inject", "started", 2)
    assert trial.at("recovered", "ended", 3) <= trial.at("hold", "started", 1)
    assert trial.at("recover", "started", 1) >= trial.at("hold", "started", 1) + 5
    assert {m.id for m in trial.rds.state.members} == {"i1", "i2", "i3"}


def drawn(trial: Trial) -> list[tuple[str, float]]:
    event = next(e for e in trial.events if e.type == "drawn")
    return [(one["place"], one["after_s"]) for one in event.data["steps"]]


RANDOM = {
    "do": "random",
    "within_s": 100,
    "times": 3,
    "steps": [step("reboot-instance"), step("noop", hold_s=3)],
}


def test_random_steps_begin_at_the_instants_that_the_journal_tells(trial: Trial) -> None:
    trial.do(RANDOM, seed=1)
    told = drawn(trial)
    assert [place for _, _, place, _ in trial.places] == [place for place, _ in told]
    assert sorted(after_s for _, after_s in told) == [after_s for _, after_s in told]
    begun = [trial.at("inject", "started", number) for number in range(1, 7)]
    assert all(at > after_s - 0.001 for at, (_, after_s) in zip(begun, told, strict=True))
    assert max(after_s for _, after_s in told) <= 100


def test_the_same_seed_draws_the_same_instants(
    tmp_path: Path, threads: ThreadClock, shared_rds: FakeRds
) -> None:
    found = {}
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        (tmp_path / name).mkdir()
        trial = Trial(tmp_path / name, shared_rds, threads)
        trial.do(RANDOM, seed=seed)
        found[name] = drawn(trial)
    assert found["one"] == found["again"] != found["other"]
    assert found["one"][0] == ("2 of random 1", 0.912)  # On every Python, in every process.


def test_random_steps_wait_for_each_other_unless_they_may_overlap(trial: Trial) -> None:
    steps = [step("noop", hold_s=400), step("reboot-instance", hold_s=400)]
    trial.do({"do": "random", "within_s": 10, "steps": steps})
    assert trial.at("inject", "started", 2) >= trial.at("recovered", "ended", 1)
    trial.do({"do": "random", "within_s": 10, "overlap": True, "steps": steps})
    again = [e for e in trial.events if e.data.get("verb") == "inject"][4:]
    assert (again[-1].at_ns - again[0].at_ns) / 1e9 < 15


def test_repeats_of_composites_count_on(trial: Trial) -> None:
    trial.do(
        {"do": "parallel", "repeat": 2, "steps": [step("noop", repeat=2), step("reboot-instance")]}
    )
    assert sorted(trial.places) == [
        (1, "noop", "1 of parallel 1", 1),
        (1, "noop", "1 of parallel 1", 2),
        (1, "noop", "1 of parallel 1", 3),
        (1, "noop", "1 of parallel 1", 4),
        (2, "reboot-instance", "2 of parallel 1", 1),
        (2, "reboot-instance", "2 of parallel 1", 2),
    ]
