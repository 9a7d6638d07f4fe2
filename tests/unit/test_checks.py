"""Checks and the judgement, on synthetic runs whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fix_history import Retry, RunBuilder, Shape, failover_run, outage_run

from chaos.checks import CATALOGUE
from chaos.checks.acknowledged_writes import AcknowledgedWrites
from chaos.checks.assumptions import PREFIX
from chaos.checks.base import Check
from chaos.checks.interruption import Interruption
from chaos.checks.judge import Judgement, judge
from chaos.checks.recording import Recording
from chaos.checks.restored import Restored
from chaos.checks.success_ratio import SuccessRatio
from chaos.model.history import History
from chaos.model.ledger import ArmLedger, Ledger
from chaos.model.operation import PROBE_ARM, Kind
from chaos.model.record import Observation
from chaos.model.verdict import Finding, Verdict

WRITES = Interruption(arm="arm", interruption_s_max=5.0)


def one(check: Check, history: History) -> Finding:
    (finding,) = check.judge(Recording(history))
    return finding


def named(judgement: Judgement, check: str) -> Finding:
    (finding,) = [f for f in judgement.findings if f.check == check]
    return finding


class TestInterruption:
    def test_passes_with_both_instants_and_the_uncertainty(self, tmp_path: Path) -> None:
        finding = one(WRITES, outage_run(tmp_path).write())
        assert finding.verdict is Verdict.PASS
        assert finding.measured == pytest.approx(2.0, abs=0.06)
        assert finding.measured >= 2.0
        assert finding.from_s is not None
        assert finding.to_s is not None
        assert finding.measured == pytest.approx(finding.to_s - finding.from_s)
        assert finding.uncertainty_s is not None
        assert finding.measured - finding.uncertainty_s <= 2.0

    def test_fails_only_when_certainly_longer(self, tmp_path: Path) -> None:
        history = outage_run(tmp_path).write()
        finding = one(WRITES.model_copy(update={"interruption_s_max": 1.5}), history)
        assert finding.verdict is Verdict.FAIL
        finding = one(WRITES.model_copy(update={"interruption_s_max": 2.0}), history)
        assert finding.verdict is Verdict.UNKNOWN
        assert "between the bounds" in finding.why

    def test_judges_every_repeat(self, tmp_path: Path) -> None:
        history = outage_run(tmp_path, until_s=30.0, repeats=2).write()
        findings = WRITES.judge(Recording(history))
        assert [f.verdict for f in findings] == [Verdict.PASS] * 2
        assert [round(f.from_s or 0) for f in findings] == [5, 15]

    def test_an_outage_that_lasts_to_the_end_has_no_end(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=9.0)
        run.outage("cluster", 5.5, 60.0, Shape.REFUSE)
        history = run.write()
        finding = one(WRITES, history)
        assert (finding.verdict, finding.to_s) == (Verdict.UNKNOWN, None)
        assert "no recovery recorded" in finding.why
        short = one(WRITES.model_copy(update={"interruption_s_max": 2.0}), history)
        assert short.verdict is Verdict.FAIL

    def test_a_recording_that_ends_too_soon_proves_no_stable_service(self, tmp_path: Path) -> None:
        finding = one(WRITES, outage_run(tmp_path, until_s=8.0).write())
        assert finding.verdict is Verdict.UNKNOWN
        assert "no 2 s of stable service followed" in finding.why
        assert finding.to_s is None

    def test_nothing_felt_passes_even_a_limit_of_zero(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.outages.clear()
        finding = one(WRITES.model_copy(update={"interruption_s_max": 0.0}), run.write())
        assert (finding.verdict, finding.measured) == (Verdict.PASS, 0.0)

    def test_silence_is_no_proof_of_service(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=6.0)
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, from_s=16.0, until_s=20.0)
        run.fault("failover-cluster", 5.0)
        finding = one(WRITES, run.write())
        assert finding.verdict is Verdict.UNKNOWN
        assert finding.measured == pytest.approx(10.0, abs=0.1)

    def test_no_such_stream_is_unknown(self, tmp_path: Path) -> None:
        history = outage_run(tmp_path).write()
        finding = one(WRITES.model_copy(update={"endpoint": "reader"}), history)
        assert finding.verdict is Verdict.UNKNOWN

    def test_a_generator_that_lagged_as_long_as_the_window_is_blamed(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.observe(6.0, "lag", "arm", "1400.0", width_s=1.0)
        finding = one(WRITES.model_copy(update={"interruption_s_max": 1.0}), run.write())
        assert finding.verdict is Verdict.UNKNOWN
        assert "generator" in finding.why

    def test_slow_s_decides_what_a_patient_client_feels(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20.0)
        run.outage("cluster", 6.0, 6.7, Shape.FREEZE)
        run.fault("failover-cluster", 5.0)
        history = run.write()
        assert one(WRITES, history).measured == 0.0
        strict = WRITES.model_copy(update={"slow_s": 0.3})
        assert one(strict, history).measured == pytest.approx(0.7, abs=0.06)


class TestAcknowledgedWrites:
    CHECK = AcknowledgedWrites(duplicated_writes_max=0)

    def judge(self, folder: Path, ledger: Ledger | None) -> list[Finding]:
        run = outage_run(folder)
        run.ledger = ledger
        return self.CHECK.judge(Recording(run.write()))

    def ledger(self, **counts: object) -> Ledger:
        arm = replace(ArmLedger(acknowledged=900, applied_once=900), **counts)
        return Ledger(arms={"arm": arm}, complete=True)

    def test_passes_when_all_are_there_once(self, tmp_path: Path) -> None:
        findings = self.judge(tmp_path, self.ledger())
        assert [(f.verdict, f.unit) for f in findings] == [
            (Verdict.PASS, "lost writes"),
            (Verdict.PASS, "duplicated writes"),
        ]

    def test_lost_and_duplicated_fail_and_name_the_ids(self, tmp_path: Path) -> None:
        ledger = self.ledger(lost=1, lost_ids=(77,), duplicated=2, duplicated_ids=(5, 6))
        lost, duplicated = self.judge(tmp_path, ledger)
        assert (lost.verdict, lost.measured) == (Verdict.FAIL, 1)
        assert "77" in lost.why
        assert (duplicated.verdict, duplicated.measured) == (Verdict.FAIL, 2)

    @pytest.mark.parametrize(
        ("ledger", "why"),
        [
            (None, "never read"),
            (Ledger(complete=False, why="connection refused"), "connection refused"),
        ],
    )
    def test_unknown_without_a_complete_ledger(
        self, tmp_path: Path, ledger: Ledger | None, why: str
    ) -> None:
        (finding,) = self.judge(tmp_path, ledger)
        assert finding.verdict is Verdict.UNKNOWN
        assert why in finding.why

    @pytest.mark.parametrize("doubt", ["failed_applied", "unexpected"])
    def test_counts_that_contradict_the_records_are_unknown(
        self, tmp_path: Path, doubt: str
    ) -> None:
        findings = self.judge(tmp_path, self.ledger(**{doubt: 1}))
        assert {f.verdict for f in findings} == {Verdict.UNKNOWN}

    def test_too_few_writes_after_the_fault_prove_nothing(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=5.05)
        run.ledger = self.ledger()
        findings = self.CHECK.judge(Recording(run.write()))
        assert {f.verdict for f in findings} == {Verdict.UNKNOWN}


class TestRestored:
    def judge(self, folder: Path, *changes: tuple[str, str, str]) -> Finding:
        run = failover_run(folder / "run")
        for kind, subject, value in changes:
            run.observe(24.0, kind, subject, value)
        return one(Restored(), run.write())

    def test_passes_with_another_writer(self, tmp_path: Path) -> None:
        assert self.judge(tmp_path).verdict is Verdict.PASS

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (("status", "gameday-instance-3", "deleted"), "gameday-instance-3 is gone"),
            (("status", "gameday", "modifying"), "gameday is modifying"),
            (("status", "gameday-instance-9", "available"), "was not there before"),
            (("writer", "gameday", ""), "no writer"),
            (("capacity", "gameday", "0.5-2"), "capacity of gameday is 0.5-2 ACU"),
            (("settings", "gameday-instance-3", "db.serverless in eu-west-1a, tier 9"), "tier 1"),
            (("role", "gameday-instance-3", "unreachable"), "is unreachable by SQL"),
            (("role", "gameday-instance-3", "writer"), "is writer by SQL"),
        ],
    )
    def test_fails_on_any_difference(
        self, tmp_path: Path, change: tuple[str, str, str], why: str
    ) -> None:
        finding = self.judge(tmp_path, change)
        assert finding.verdict is Verdict.FAIL
        assert why in finding.why

    def test_unknown_when_nobody_looked_afterwards(self, tmp_path: Path) -> None:
        run = failover_run(tmp_path / "run")
        run.observations = [o for o in run.observations if o.at_ns < 1_010 * 10**9]
        assert one(Restored(), run.write()).verdict is Verdict.UNKNOWN


class TestSuccessRatio:
    def test_over_each_part(self, tmp_path: Path) -> None:
        history = outage_run(tmp_path).write()
        for over, expected in (("all", 0.9), ("recovered", 1.0)):
            check = SuccessRatio(arm="arm", over=over, success_ratio_min=0.95)  # type: ignore[arg-type]
            finding = one(check, history)
            assert finding.measured == pytest.approx(expected, abs=0.01)
            assert finding.verdict is (Verdict.PASS if expected > 0.95 else Verdict.FAIL)

    def test_too_few_operations_are_unknown(self, tmp_path: Path) -> None:
        history = outage_run(tmp_path).write()
        check = SuccessRatio(arm="arm", operation="read", success_ratio_min=0.5)
        assert one(check, history).verdict is Verdict.UNKNOWN


class TestAssumptions:
    """Each way in which a run proves nothing keeps it from passing, and is named."""

    def judge(self, run: RunBuilder, name: str, **ending: object) -> Finding:
        judgement = judge(run.write(**ending), [WRITES])  # type: ignore[arg-type]
        finding = named(judgement, PREFIX + name)
        assert judgement.verdict is not Verdict.PASS
        return finding

    def test_a_sound_run_passes(self, tmp_path: Path) -> None:
        judgement = judge(outage_run(tmp_path).write(), [WRITES])
        assert judgement.verdict is Verdict.PASS, [
            f.why for f in judgement.findings if f.verdict is not Verdict.PASS
        ]

    def test_no_effect(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.events = [
            replace(e, data={**e.data, "effect": "none"}) if "effect" in e.data else e
            for e in run.events
        ]
        assert self.judge(run, "effect").verdict is Verdict.UNKNOWN

    def test_an_effect_never_established(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.events = [e for e in run.events if e.data.get("verb") == "inject"]
        assert "never established" in self.judge(run, "effect").why

    def test_noop_needs_no_effect(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.outages.clear()
        run.events = [
            replace(e, data={**e.data, "fault": "noop", "effect": ""}) for e in run.events
        ]
        assert judge(run.write(), [WRITES]).verdict is Verdict.PASS

    def test_no_traffic_before(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.outage("cluster", 2.5, 5.05, Shape.REFUSE)
        assert "before failover-cluster 1" in self.judge(run, "traffic").why

    def test_no_success_after(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=9.0)
        run.outage("cluster", 5.5, 60.0, Shape.REFUSE)
        assert "nothing succeeded after" in self.judge(run, "traffic").why

    def test_a_short_recording(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=20.0)
        run.traffic("short", "cluster", Kind.WRITE, per_s=50, until_s=12.0)
        assert "short end 8" in self.judge(run, "recording").why

    def test_an_observer_that_fell_silent(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.observations = [
            o for o in run.observations if o.subject != "api" or o.at_ns < 1_010 * 10**9
        ]
        assert "api fell silent 11.0 s" in self.judge(run, "observers").why

    def test_probes_that_stopped_trying(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.streams = [replace(s, until_s=12.0) if s.arm == PROBE_ARM else s for s in run.streams]
        assert "tried nothing" in self.judge(run, "probes").why

    def test_a_generator_far_behind(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        for second in range(1, 21):
            run.observe(float(second), "lag", "arm", "2500.0" if second == 10 else "1.0")
        assert "2.500 s behind" in self.judge(run, "generator-lag").why

    @pytest.mark.parametrize("status", ["", "aborted", "interrupted"])
    def test_a_run_that_did_not_complete(self, tmp_path: Path, status: str) -> None:
        finding = self.judge(outage_run(tmp_path), "run-ended", status=status)
        assert finding.verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize(
        ("when", "verdict"), [("before", Verdict.UNKNOWN), ("after", Verdict.FAIL)]
    )
    def test_no_steady_state(self, tmp_path: Path, when: str, verdict: Verdict) -> None:
        run = outage_run(tmp_path)
        run.event(19.0, "steady", probe="arm write", when=when, ok=False, why="p99 is 9 s")
        finding = named(judge(run.write(), [WRITES]), "steady-state")
        assert finding.verdict is verdict
        assert "p99 is 9 s" in finding.why


class TestJudge:
    def test_verdict_json_is_complete_and_repeatable(self, failover_history: History) -> None:
        objectives = [
            Interruption(arm="resilient", interruption_s_max=10.0),
            AcknowledgedWrites(),
            Restored(),
        ]
        told = judge(failover_history, objectives).as_json()
        assert told == judge(failover_history, objectives).as_json()
        assert json.loads(json.dumps(told, allow_nan=False))["findings"] == told["findings"]
        assert (told["verdict"], told["status"]) == ("pass", "completed")
        assert told["writes"]["acknowledged"] == 1400
        assert told["writes"]["arms"]["resilient"]["acknowledged"] == 700
        (fault,) = told["faults"]
        assert (fault["effect"], fault["actual_target"]) == ("taken", "gameday-instance-1")
        assert told["statistics"]["interruption"] == []

    def test_what_no_objective_binds_is_shown_beside(self, failover_history: History) -> None:
        judgement = judge(failover_history, [Interruption(arm="resilient", interruption_s_max=10)])
        shown = {
            (f.arm, f.endpoint): f
            for f in judgement.findings
            if f.check == "interruption" and f.verdict is None
        }
        assert shown["default-pool", "cluster"].measured == pytest.approx(5.9, abs=0.3)
        assert ("resilient", "cluster") not in shown
        assert {endpoint for arm, endpoint in shown if arm == PROBE_ARM} >= {"cluster", "reader"}
        assert judgement.verdict is Verdict.PASS

    def test_several_repeats_give_median_and_worst_with_n(self, tmp_path: Path) -> None:
        history = failover_run(tmp_path / "run", repeats=3).write()
        judgement = judge(history, [WRITES])
        (statistics,) = [
            s
            for s in judgement.statistics["interruption"]
            if (s["arm"], s["endpoint"]) == ("resilient", "cluster")
        ]
        assert statistics["n"] == 3
        assert 1.4 <= statistics["median"] <= statistics["worst"] < 1.6
        assert [r["repeat"] for r in judgement.repeats] == [1, 2, 3]

    def test_a_crashed_check_is_unknown_with_its_error(self, tmp_path: Path) -> None:
        class Broken(Check):
            """Crashes."""

            def judge(self, recording: Recording) -> list[Finding]:  # noqa: ARG002 - Check's
                raise ZeroDivisionError("1/0")

        judgement = judge(outage_run(tmp_path).write(), [Broken(check="broken"), WRITES])
        finding = named(judgement, "broken")
        assert finding.verdict is Verdict.UNKNOWN
        assert "ZeroDivisionError: 1/0" in finding.why
        assert judgement.verdict is Verdict.UNKNOWN

    def test_no_objective_is_unknown(self, tmp_path: Path) -> None:
        assert judge(outage_run(tmp_path).write(), []).verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize("phase", ["nothing", "no operations"])
    def test_a_run_that_ended_early_is_judged(self, tmp_path: Path, phase: str) -> None:
        run = RunBuilder(tmp_path / "run")
        if phase == "no operations":
            run.fault("noop", 1.0)
        history = run.write(status="refused", ended_s=3.0)
        judgement = judge(history, [WRITES, AcknowledgedWrites(), Restored()])
        assert judgement.verdict is Verdict.UNKNOWN
        assert not [f.why for f in judgement.findings if "itself failed" in f.why]


def test_every_check_documents_itself_and_its_fields() -> None:
    for check in CATALOGUE:
        assert check.__doc__
        for name, field in check.model_fields.items():
            assert name == "check" or field.description, f"{check.__name__}.{name}"


def test_retries_that_hide_an_outage_are_no_interruption(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20, retry=Retry(pause_s=0.05))
    run.outage("cluster", 6.0, 6.5, Shape.REFUSE)
    run.fault("failover-cluster", 5.0)
    assert one(WRITES, run.write()).measured == 0.0


def test_observations_of_other_kinds_do_not_disturb(failover_history: History) -> None:
    strange = Observation(at_ns=0, since_ns=None, kind="weather", subject="sky", value="grey")
    history = replace(failover_history, observations=(strange, *failover_history.observations))
    check = [Interruption(arm="resilient", interruption_s_max=10)]
    assert judge(history, check).verdict is judge(failover_history, check).verdict
