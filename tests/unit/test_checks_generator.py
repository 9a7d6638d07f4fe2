"""A generator that was the bottleneck is named, and one that was not is never blamed."""

from __future__ import annotations

import heapq
import tempfile
from pathlib import Path
from typing import Any

import pytest
from fix_history import RunBuilder, Shape, outage_run
from hypothesis import given, settings
from hypothesis import strategies as st
from run_builder import to_ns

from chaos.checks.assumptions import PREFIX, judge_assumptions
from chaos.checks.generator import generator_was_slow
from chaos.checks.interruption import Interruption
from chaos.checks.judge import judge
from chaos.checks.recording import Recording
from chaos.model.history import load_history
from chaos.model.operation import Kind, OperationWriter, Outcome
from chaos.model.verdict import Finding, Verdict

WRITES = Interruption(arm="arm", interruption_s_max=5.0)


def found(run: RunBuilder, name: str) -> Finding:
    told = judge_assumptions(Recording(run.write()), [WRITES])
    return next(f for f in told if f.check == f"{PREFIX}{name}")


def blamed(run: RunBuilder, from_s: float, to_s: float) -> str | None:
    return generator_was_slow(Recording(run.write()), "arm", to_ns(from_s), to_ns(to_s))


def crowded_run(folder: Path, *, users: int, latency_s: float, told: bool = True) -> RunBuilder:
    """50 writes a second, each of which keeps one of some users busy for a while."""
    run = RunBuilder(folder / "run")
    run.traffic(
        "arm", "cluster", Kind.WRITE, per_s=50, until_s=20, users=users, latency_s=latency_s,
        queue_max=100,
    )  # fmt: skip
    if told:
        run.settings = {"arm": {"users": users}}
    run.fault("noop", 8.0, effect="")
    run.fill(until_s=20)
    return run


class TestUsers:
    def test_too_few_users_are_named(self, tmp_path: Path) -> None:
        run = crowded_run(tmp_path, users=5, latency_s=0.2)
        finding = found(run, "generator-users")
        assert finding.verdict is Verdict.UNKNOWN
        assert "all 5 users were busy while cluster answered as usual" in finding.why
        assert "raise users" in finding.why

    def test_what_they_made_late_is_not_the_cluster_s(self, tmp_path: Path) -> None:
        why = blamed(crowded_run(tmp_path, users=5, latency_s=0.2), 8.0, 15.0)
        assert why is not None
        assert "too small" in why

    def test_enough_users_are_no_bottleneck(self, tmp_path: Path) -> None:
        run = crowded_run(tmp_path, users=20, latency_s=0.2)
        assert found(run, "generator-users").verdict is Verdict.PASS

    def test_without_the_number_of_users_nobody_is_blamed(self, tmp_path: Path) -> None:
        run = crowded_run(tmp_path, users=5, latency_s=0.2, told=False)
        assert blamed(run, 8.0, 15.0) is None

    def test_users_who_think_are_busy(self, tmp_path: Path) -> None:
        """Answers take 10 ms, but who thinks for 0.2 s after each is not there for the next."""
        run = outage_run(tmp_path)

        def append(operations: OperationWriter) -> None:
            free_s = [0.0] * 5
            for turn in range(600):
                due_s = turn / 50
                started_s = max(due_s, heapq.heappop(free_s))
                heapq.heappush(free_s, started_s + 0.21)
                operations.operation(
                    kind=Kind.WRITE, endpoint="cluster", intended_ns=to_ns(due_s),
                    started_ns=to_ns(started_s), ended_ns=to_ns(started_s + 0.01),
                    outcome=Outcome.OK,
                )  # fmt: skip

        run.operation("thinking", append)
        run.settings = {"thinking": {"users": 5, "think_time_s": 0.2}}
        assert "all 5 users were busy" in found(run, "generator-users").why

    def test_a_cluster_that_became_slow_by_the_fault_is_not_the_generator_s_doing(
        self, tmp_path: Path
    ) -> None:
        """Its answers are as usual soon, measured at those since the fault; so those before count."""
        run = RunBuilder(tmp_path / "run")
        for from_s, until_s, latency_s in ((0.0, 10.0, 0.01), (10.0, 30.0, 0.4)):
            run.traffic(
                "arm", "cluster", Kind.WRITE, per_s=50, from_s=from_s, until_s=until_s,
                latency_s=latency_s, users=8,
            )  # fmt: skip
        run.settings = {"arm": {"users": 8}}
        run.fault("latency", 9.9, effect_s=10.0)
        run.fill(until_s=30)
        assert found(run, "generator-users").verdict is Verdict.PASS


@settings(max_examples=25)
@given(st.sampled_from(list(Shape)), st.floats(0.3, 6.0), st.integers(2, 30), st.integers(0, 2**16))
def test_the_crowd_that_an_outage_leaves_is_the_outage_s(
    shape: Shape, length_s: float, users: int, seed: int
) -> None:
    """A generator with twice the users that its rate needs is never blamed, however long it waited."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunBuilder(Path(folder) / "run", seed=seed)
        run.traffic(
            "arm", "cluster", Kind.WRITE, per_s=20, until_s=16, users=users, queue_max=40,
            latency_s=users / 2 / 20 / 4,
        )  # fmt: skip
        run.settings = {"arm": {"users": users}}
        run.outage("cluster", 5.1, 5.1 + length_s, shape)
        run.fault("failover-cluster", 5.0)
        run.alive(until_s=16)
        recording = Recording(run.write())
    assert generator_was_slow(recording, "arm", to_ns(5.0), to_ns(16.0)) is None
    told = judge_assumptions(recording, [WRITES])
    assert next(f for f in told if f.check == f"{PREFIX}generator-users").verdict is Verdict.PASS


class TestLag:
    def test_a_process_that_stood_still_is_named(self, tmp_path: Path) -> None:
        """As when it is stopped for 2 s: it wakes up so late, and what was due meanwhile waited."""
        run = outage_run(tmp_path)
        run.observe(7.2, "lag", "arm", "2010.0", width_s=2.3)
        finding = found(run, "generator-lag")
        assert finding.verdict is Verdict.UNKNOWN
        assert "2.010 s behind" in finding.why

    @pytest.mark.parametrize(
        ("lags", "from_s", "to_s", "why"),
        [
            ({6.5: 900.0}, 5.1, 6.8, "itself fell 0.900 s behind"),
            ({6.5: 600.0}, 5.1, 6.8, ""),
            ({6.5: 600.0, 5.5: 600.0}, 5.1, 6.8, "itself fell 1.200 s behind"),
            ({6.5: 900.0}, 8.0, 8.5, ""),
            ({6.5: 90.0}, 5.1, 15.0, ""),
        ],
        ids=["half of it", "less", "in sum", "elsewhere", "a jitter"],
    )
    def test_lag_counts_where_it_was(
        self, tmp_path: Path, lags: dict[float, float], from_s: float, to_s: float, why: str
    ) -> None:
        run = outage_run(tmp_path)
        run.observations = [o for o in run.observations if o.kind != "lag"]
        for at_s, lag_ms in sorted(lags.items()):
            run.observe(at_s, "lag", "arm", str(lag_ms), width_s=1.0)
        told = blamed(run, from_s, to_s) or ""
        assert why in told
        assert bool(why) == bool(told)

    def test_the_lags_of_several_workers_do_not_add_up(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        for worker in range(5):
            run.observe(6.5, "lag", "arm", "400.0", width_s=1.0, worker=worker)
        assert blamed(run, 5.1, 6.8) is None

    def test_a_stall_before_anything_was_disturbed_is_nobody_s_outage(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=40)
        run.fault("noop", 30.0, effect="")
        run.fill(until_s=40)
        run.observe(10.0, "lag", "arm", "3000.0", width_s=1.0)
        assert found(run, "generator-lag").verdict is Verdict.PASS


class TestProcessor:
    def busy_run(self, folder: Path, *, lag_ms: float, seconds: int, share: float) -> RunBuilder:
        run = outage_run(folder)
        run.observations = [o for o in run.observations if o.kind != "lag"]
        for second in range(21):
            busy = 6 <= second < 6 + seconds
            detail: dict[str, Any] = {"cpu_share": share if busy else 0.2}
            value = str(lag_ms if busy else 1.0)
            run.observe(float(second), "lag", "arm", value, width_s=1.0, **detail)
        return run

    def test_a_generator_at_the_limit_of_its_processor_is_named(self, tmp_path: Path) -> None:
        run = self.busy_run(tmp_path, lag_ms=300, seconds=6, share=0.99)
        finding = found(run, "generator-cpu")
        assert finding.verdict is Verdict.UNKNOWN
        assert (
            "used a whole processor and fell behind from 5.0 s after the run began" in finding.why
        )
        why = generator_was_slow(
            Recording(load_history(run.folder)), "arm", to_ns(6.0), to_ns(10.0)
        )
        assert why is not None
        assert "wanted a whole processor for 4.0 s of it and had 99% of one" in why

    def test_a_generator_that_others_left_no_processor_is_not_the_cluster(
        self, tmp_path: Path
    ) -> None:
        """It used little, and would have used all: what it felt was its own machine's doing."""
        run = outage_run(tmp_path)
        run.observations = [o for o in run.observations if o.kind != "lag"]
        for second in range(21):
            run.observe(
                float(second), "lag", "arm", "90.0", width_s=1.0, cpu_share=0.12,
                queued_share=0.86 if second >= 6 else 0.4,
            )  # fmt: skip
        recording = Recording(run.write())
        why = generator_was_slow(recording, "arm", to_ns(6.0), to_ns(12.0)) or ""
        assert "wanted a whole processor for 6.0 s of it and had 12% of one" in why
        assert generator_was_slow(recording, "arm", to_ns(1.0), to_ns(6.0)) is None

    @pytest.mark.parametrize(
        ("lag_ms", "seconds", "share"),
        [(5.0, 10, 0.99), (300.0, 2, 0.99), (300.0, 10, 0.7)],
        ids=["in time", "for a moment", "with room left"],
    )
    def test_a_busy_generator_that_keeps_up_is_no_bottleneck(
        self, tmp_path: Path, lag_ms: float, seconds: int, share: float
    ) -> None:
        run = self.busy_run(tmp_path, lag_ms=lag_ms, seconds=seconds, share=share)
        finding = found(run, "generator-cpu")
        assert finding.verdict is Verdict.PASS
        assert f"{share:.0%} of a processor" in finding.why


class TestDesign:
    def slowed_run(self, folder: Path, shape: Any) -> RunBuilder:
        """50 a second until second 6, then one in 2 s; the method, and the shape, begin at second 2."""
        run = RunBuilder(folder / "run")
        for endpoint, kind in (("cluster", Kind.WRITE), ("reader", Kind.READ)):
            run.traffic("arm", endpoint, kind, per_s=50, until_s=6)
            run.traffic("arm", endpoint, kind, per_s=0.5, from_s=6, until_s=60)
        run.settings = {"arm": {"streams": {"cluster write": 50.0, "reader read": 50.0}}}
        run.experiment = {"workload": {"arms": [{"arm": "arm"}], "shape": shape}}
        run.event(2.0, "load", state="shaped")
        run.fault("noop", 20.0, effect="")
        run.fill(until_s=60)
        return run

    def test_a_rate_that_is_low_by_design_is_no_hole(self, tmp_path: Path) -> None:
        judgement = judge(
            self.slowed_run(tmp_path, {"step": [{"at_s": 4.0, "factor": 0.01}]}).write(), [WRITES]
        )
        doubtful = [f.why for f in judgement.findings if f.verdict not in {None, Verdict.PASS}]
        assert doubtful == []

    def test_an_arm_with_a_name_of_its_own_is_looked_for_by_it(self, tmp_path: Path) -> None:
        run = self.slowed_run(tmp_path, {"step": [{"at_s": 4.0, "factor": 0.01}]})
        workload = run.experiment["workload"]
        run.experiment = {"workload": {**workload, "arms": [{"arm": "resilient", "name": "arm"}]}}
        assert found(run, "recording").verdict is Verdict.PASS

    def test_the_same_silence_at_a_constant_rate_is_one(self, tmp_path: Path) -> None:
        run = self.slowed_run(tmp_path, "constant")
        run.streams = [s for s in run.streams if s.arm != "arm" or s.per_s > 1]
        assert "no writes of arm on cluster were recorded" in found(run, "recording").why
