"""Each check on synthetic runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fix_history import Retry, RunBuilder, Shape, failover_run, outage_run
from run_builder import to_ns

from chaos.checks import CATALOGUE
from chaos.checks.acknowledged_writes import AcknowledgedWrites
from chaos.checks.base import Check
from chaos.checks.interruption import Interruption
from chaos.checks.recording import Recording
from chaos.checks.restored import Restored
from chaos.checks.success_ratio import SuccessRatio
from chaos.model.history import History
from chaos.model.ledger import ArmLedger, Ledger, ReaderLedger
from chaos.model.operation import Kind
from chaos.model.verdict import Finding, Verdict

WRITES = Interruption(arm="arm", interruption_s_max=5.0)


def one(check: Check, history: History) -> Finding:
    (finding,) = check.judge(Recording(history))
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

    @pytest.mark.parametrize(("until_s", "verdict"), [(7.9, Verdict.UNKNOWN), (8.1, Verdict.PASS)])
    @pytest.mark.parametrize("fault", ["delete-reader", "noop"])
    def test_nothing_felt_is_no_pass_before_service_could_prove_stable(
        self, tmp_path: Path, fault: str, until_s: float, verdict: Verdict
    ) -> None:
        """The effect shows at 6 s: a recording that ends at once proves nothing."""
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=until_s)
        run.fault(fault, 5.0, accepted_s=5.0, effect_s=6.0)
        finding = one(WRITES, run.write())
        assert finding.verdict is verdict
        assert ("only 1.900 s were recorded" in finding.why) is (verdict is Verdict.UNKNOWN)

    def test_an_early_window_is_no_pass_before_service_could_prove_stable(
        self, tmp_path: Path
    ) -> None:
        """What disturbs late may disturb after the recording; a window before it excuses nothing."""
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=11.0)
        run.outage("cluster", 5.1, 6.1, Shape.REFUSE)
        run.fault("delete-reader", 5.0, effect_s=9.5)
        finding = one(WRITES, run.write())
        assert finding.verdict is Verdict.UNKNOWN
        assert finding.to_s == pytest.approx(6.1, abs=0.1)

    def test_every_repeat_needs_its_own_stable_stretch(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20.0)
        for repeat, at_s in enumerate((5.0, 7.5), 1):
            run.fault(
                "noop",
                at_s,
                effect_s=at_s + 1.0,
                ended_s=at_s + 1.5,
                fault_id=repeat,
                repeat=repeat,
            )
        found = WRITES.judge(Recording(run.write()))
        assert [f.verdict for f in found] == [Verdict.UNKNOWN, Verdict.PASS]

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

    @pytest.mark.parametrize("arm", [None, "arm"])
    def test_an_arm_that_the_ledger_lacks_is_unknown(self, tmp_path: Path, arm: str | None) -> None:
        run = outage_run(tmp_path)
        run.ledger = Ledger(arms={"other": ArmLedger(acknowledged=900)}, complete=True)
        finding = one(AcknowledgedWrites(arm=arm), run.write())
        assert (finding.verdict, finding.arm) == (Verdict.UNKNOWN, "arm")
        assert "does not tell of this arm" in finding.why

    def test_a_declared_arm_that_left_nothing_is_unknown_beside_the_others(
        self, tmp_path: Path
    ) -> None:
        run = outage_run(tmp_path)
        run.experiment = {"workload": {"arms": [{"arm": "arm"}, {"arm": "gone"}]}}
        run.ledger = self.ledger()
        found = AcknowledgedWrites().judge(Recording(run.write()))
        assert [(f.arm, f.verdict) for f in found] == [
            ("arm", Verdict.PASS),
            ("gone", Verdict.UNKNOWN),
        ]

    def test_too_few_writes_after_the_fault_prove_nothing(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=5.05)
        run.ledger = self.ledger()
        findings = self.CHECK.judge(Recording(run.write()))
        assert {f.verdict for f in findings} == {Verdict.UNKNOWN}

    @pytest.mark.parametrize(
        ("refused_until_s", "verdict"), [(30.0, Verdict.UNKNOWN), (11.5, Verdict.PASS)]
    )
    def test_writes_between_the_request_and_its_effect_are_not_from_after(
        self, tmp_path: Path, refused_until_s: float, verdict: Verdict
    ) -> None:
        """Requested at 10 s, its effect seen at 10.9 s; every write is refused from 10.5 s on."""
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=30)
        run.outage("cluster", 10.5, refused_until_s, Shape.REFUSE)
        run.fault("failover-cluster", 10.0, effect_s=10.9)
        run.everything_applied = True
        for finding in self.CHECK.judge(Recording(run.write())):
            assert finding.verdict is verdict
            doubted = "and 0 after the effect of injection 1" in finding.why
            assert doubted is (verdict is Verdict.UNKNOWN)


SILENT = "gameday-instance-3"
READ: dict[str, Any] = {"complete": True, "read_at_ns": to_ns(26.0)}


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

    @pytest.mark.parametrize(
        ("told", "verdict"),
        [
            (Ledger(readers={SILENT: ReaderLedger(**READ)}), Verdict.PASS),
            (Ledger(readers={SILENT: ReaderLedger(**READ, is_writer=True)}), Verdict.FAIL),
            (Ledger(readers={SILENT: ReaderLedger(why="no answer")}), Verdict.FAIL),
            (Ledger(read_from=SILENT, **READ), Verdict.FAIL),
        ],
    )
    def test_who_is_silent_at_the_end_may_answer_when_the_ledger_is_read(
        self, tmp_path: Path, told: Ledger, verdict: Verdict
    ) -> None:
        run = failover_run(tmp_path / "run")
        run.observe(24.9, "role", SILENT, "unreachable")
        run.ledger = told
        assert one(Restored(), run.write()).verdict is verdict

    def test_a_change_that_was_undone_is_no_difference(self, tmp_path: Path) -> None:
        away = ("settings", "gameday-instance-3", "db.r6g.large in eu-west-1a, tier 1")
        back = ("settings", "gameday-instance-3", "db.serverless in eu-west-1a, tier 1")
        assert self.judge(tmp_path, away, back).verdict is Verdict.PASS

    @pytest.mark.parametrize(
        ("settings", "verdict"),
        [
            ("db.serverless in eu-west-1a, tier 1", Verdict.PASS),
            ("db.serverless in eu-west-1c, tier 1", Verdict.FAIL),
        ],
    )
    def test_a_member_that_was_made_again_must_be_as_it_was(
        self, tmp_path: Path, settings: str, verdict: Verdict
    ) -> None:
        finding = self.judge(
            tmp_path,
            ("status", "gameday-instance-3", "deleted"),
            ("status", "gameday-instance-3", "available"),
            ("settings", "gameday-instance-3", settings),
        )
        assert finding.verdict is verdict

    def test_unknown_when_settings_were_never_seen(self, tmp_path: Path) -> None:
        run = failover_run(tmp_path / "run")
        run.observations = [
            o for o in run.observations if (o.kind, o.subject) != ("settings", "gameday-instance-3")
        ]
        finding = one(Restored(), run.write())
        assert finding.verdict is Verdict.UNKNOWN
        assert "settings of gameday-instance-3" in finding.why

    def test_a_writer_that_the_rollback_put_back_is_restored(self, tmp_path: Path) -> None:
        """Nobody asks the instances any more, once traffic has stopped."""
        run = failover_run(tmp_path / "run")
        run.observe(27.0, "writer", "gameday", "gameday-instance-1")
        assert one(Restored(), run.write()).verdict is Verdict.PASS

    @pytest.mark.parametrize("counted", [False, True])
    def test_unknown_when_only_the_probes_looked_afterwards(
        self, tmp_path: Path, *, counted: bool
    ) -> None:
        """An API that no longer answers shows nothing, though its observer goes on asking."""
        run = failover_run(tmp_path / "run")
        cut_ns = to_ns(14.5)  # The fault is over at 15 s.
        run.observations = [
            o if o.at_ns < cut_ns else replace(o, value="700")
            for o in run.observations
            if o.at_ns < cut_ns or o.subject != "api" or counted
        ]
        finding = one(Restored(), run.write())
        assert finding.verdict is Verdict.UNKNOWN
        assert "not observed" in finding.why

    def test_unknown_when_nobody_looked_afterwards(self, tmp_path: Path) -> None:
        run = failover_run(tmp_path / "run")
        run.observations = [o for o in run.observations if o.at_ns < 1_010 * 10**9]
        assert one(Restored(), run.write()).verdict is Verdict.UNKNOWN


class TestSuccessRatio:
    def test_over_each_part(self, tmp_path: Path) -> None:
        history = outage_run(tmp_path).write()
        for over, expected, when in (
            ("all", 0.9, "in the whole recording"),
            ("recovered", 1.0, "after the cluster had recovered"),
        ):
            check = SuccessRatio(arm="arm", over=over, success_ratio_min=0.95)  # type: ignore[arg-type]
            finding = one(check, history)
            assert finding.measured == pytest.approx(expected, abs=0.01)
            assert finding.why.endswith(f" operations succeeded {when}")
            assert finding.verdict is (Verdict.PASS if expected > 0.95 else Verdict.FAIL)

    def test_too_few_operations_are_unknown(self, tmp_path: Path) -> None:
        history = outage_run(tmp_path).write()
        check = SuccessRatio(arm="arm", operation="read", success_ratio_min=0.5)
        finding = one(check, history)
        assert finding.verdict is Verdict.UNKNOWN
        assert finding.why == "no operation of this kind was recorded"


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
