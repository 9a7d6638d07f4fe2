"""Availability and error budgets of runs whose outage is known; every window told by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fix_history import ORIGIN_NS, Retry, RunBuilder, Shape, outage_run
from pydantic import ValidationError

from chaos.checks.availability import Availability, availability_table
from chaos.checks.brownouts import brownout_table
from chaos.checks.recording import Recording
from chaos.checks.success_ratio import SuccessRatio
from chaos.checks.window_table import LATE, window_table
from chaos.clock import NS
from chaos.model.history import load_history
from chaos.model.operation import Kind, OperationWriter, Outcome
from chaos.model.shares import SHARE, path_of
from chaos.model.verdict import Finding, Verdict

BUDGET = {"availability_min": 0.9995, "budget_window_days": 30, "over": "fault"}


def judged(run: RunBuilder, **fields: Any) -> Finding:
    check = Availability(arm="arm", endpoint="cluster", operation="write", **fields)
    (finding,) = check.judge(Recording(run.write()))
    return finding


class TestObjective:
    """2 s of 20 s are refused, at 50 operations a second."""

    @pytest.mark.parametrize(("least", "verdict"), [(0.89, "pass"), (0.91, "fail")])
    def test_the_share_of_operations_is_exact(
        self, tmp_path: Path, least: float, verdict: str
    ) -> None:
        finding = judged(outage_run(tmp_path), availability_min=least)
        assert finding.verdict is Verdict(verdict)
        assert finding.measured == pytest.approx(0.9, abs=0.002)
        assert "of 1000 operations were not served in time in the run" in finding.why
        assert (finding.from_s, finding.to_s) == (0.0, 20.0)

    @pytest.mark.parametrize(
        ("least", "verdict"), [(0.89, "pass"), (0.9, "unknown"), (0.91, "fail")]
    )
    def test_the_share_of_time_has_bounds(self, tmp_path: Path, least: float, verdict: str) -> None:
        finding = judged(outage_run(tmp_path), availability_min=least, by="time")
        assert finding.verdict is Verdict(verdict)
        assert ("between the bounds" in finding.why) is (verdict == "unknown")

    @pytest.mark.parametrize(("most", "verdict"), [(0.002, "pass"), (0.001, "fail")])
    def test_a_fault_uses_a_share_of_the_budget_whatever_the_run_s_length(
        self, tmp_path: Path, most: float, verdict: str
    ) -> None:
        """2 s of the 1296 s that 99.95 % over 30 days allows are 0.15 %."""
        for until_s in (20.0, 40.0):
            run = outage_run(tmp_path / str(until_s), until_s=until_s)
            finding = judged(run, **BUDGET, budget_share_max=most)
            assert finding.verdict is Verdict(verdict)
            assert finding.measured == pytest.approx(2 / 1296, rel=0.02)
            assert "0.15% of the 1296 s that 0.9995 over 30 days allows" in finding.why

    def test_the_budget_is_told_beside_the_share_where_it_is_not_judged(
        self, tmp_path: Path
    ) -> None:
        finding = judged(outage_run(tmp_path), availability_min=0.8, budget_window_days=30)
        assert finding.verdict is Verdict.PASS
        assert finding.measured == pytest.approx(0.9, abs=0.002)
        assert "of the 518400 s that 0.8 over 30 days allows" in finding.why

    def test_what_was_never_sent_was_not_served(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20, users=2, queue_max=5)
        run.outage("cluster", 5.1, 8.1, Shape.FREEZE)
        run.fault("hang-instance", 5.0)
        recording = Recording(run.write())
        whole = availability_table(recording)[0]
        assert whole["unsent"] > 100
        assert whole["served"] + whole["unsent"] + whole["late"] == whole["operations"]

    def test_too_few_operations_or_none_show_nothing(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "few")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=1, until_s=15)
        assert judged(run, availability_min=0.5).verdict is Verdict.UNKNOWN
        run = outage_run(tmp_path / "other")
        run.streams = [s for s in run.streams if s.arm != "arm"]
        assert judged(run, availability_min=0.5).verdict is Verdict.UNKNOWN
        quiet = RunBuilder(tmp_path / "quiet")
        quiet.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=15)
        finding = judged(quiet, availability_min=0.5, over="fault")
        assert (finding.verdict, finding.why) == (Verdict.UNKNOWN, "no fault was injected")

    def test_a_share_of_a_budget_needs_its_window(self) -> None:
        with pytest.raises(ValidationError, match="needs budget_window_days"):
            Availability(arm="arm", availability_min=0.99, budget_share_max=0.5)


class TestWindows:
    """Every window of a run is told by itself, with the fault that it belongs to."""

    def told(self, run: RunBuilder, arm: str = "arm") -> list[dict[str, Any]]:
        return [w for w in window_table(Recording(run.write()))["list"] if w["arm"] == arm]

    def test_each_belongs_to_its_fault_or_to_none(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=30.0, repeats=2)
        run.outage("cluster", 2.0, 2.6, Shape.REFUSE)
        early, first, second = self.told(run)
        assert [w["faults"] for w in (early, first, second)] == [[], ["1"], ["2"]]
        assert early["from"] <= 2.0
        assert early["to"] >= 2.6
        for window in (early, first, second):
            assert window["measured"] == pytest.approx(window["to"] - window["from"])
            assert window["errors"] == {"----- ConnectionRefused": window["operations"]}

    def test_two_windows_after_one_fault_are_both_told(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=25.0)
        run.outage("cluster", 12.0, 12.5, Shape.REFUSE)
        assert [w["faults"] for w in self.told(run)] == [["1"], ["1"]]

    def test_an_operation_in_flight_when_the_fault_came_belongs_to_it(self, tmp_path: Path) -> None:
        """It was due before the request, and nothing shows that it was in trouble by then."""
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20, latency_s=0.3)
        run.outage("cluster", 5.1, 7.1, Shape.REFUSE)
        run.fault("failover-cluster", 5.0)
        (window,) = self.told(run)
        assert window["from"] < 5.0
        assert window["faults"] == ["1"]

    def test_first_success_and_stable_success_are_apart_in_a_flapping_service(
        self, tmp_path: Path
    ) -> None:
        run = outage_run(tmp_path)
        run.outage("cluster", 7.8, 8.3, Shape.REFUSE)
        (window,) = self.told(run)
        first, stable = window["first_success"], window["stable_success"]
        assert first["at_s"] - first["uncertainty_s"] <= 7.13
        assert first["at_s"] == pytest.approx(7.1, abs=0.05)
        assert stable["at_s"] == window["to"] == pytest.approx(8.3, abs=0.05)

    def test_a_retried_success_was_served_after_its_last_failed_attempt(
        self, tmp_path: Path
    ) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20, retry=Retry())
        run.outage("cluster", 5.1, 7.1, Shape.REFUSE)
        run.fault("failover-cluster", 5.0)
        (window,) = self.told(run)
        assert window["errors"] == {LATE: window["operations"]}
        first = window["first_success"]
        assert first["at_s"] - first["uncertainty_s"] <= first["at_s"]
        assert first["uncertainty_s"] < 0.12

    def test_what_never_ended_has_no_stable_success(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.outage("cluster", 7.0, 99.0, Shape.REFUSE)
        (window,) = self.told(run)
        assert window["to"] is None
        assert window["first_success"] is None
        assert window["stable_success"] is None

    def test_a_generator_that_lagged_is_named(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        (window,) = self.told(run)
        assert window["generator"] is None
        run = outage_run(tmp_path / "lagging")
        run.observe(6.0, "lag", "arm", "1400.0", width_s=1.0)
        (window,) = self.told(run)
        assert "generator itself fell" in window["generator"]

    def test_of_too_many_windows_the_longest_are_told(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=10, until_s=800, jitter=0.0)

        def fail(operations: OperationWriter) -> None:
            for number in range(250):
                at_ns = ORIGIN_NS + NS * 3 * number + NS // 50
                operations.operation(
                    kind=Kind.WRITE, endpoint="cluster", intended_ns=at_ns, started_ns=at_ns,
                    ended_ns=at_ns + NS // 100, outcome=Outcome.FAILED, error="XX000 Internal",
                )  # fmt: skip

        run.operation("arm", fail)
        told = window_table(Recording(run.write()))
        assert len(told["list"]) == 200
        assert told["left_out"] == 50


class TestBrownouts:
    """Slow service is told where nobody was interrupted, and only there."""

    def test_a_slow_stretch_has_two_instants_and_its_fault(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20)
        run.outage("cluster", 6.0, 6.7, Shape.FREEZE)
        run.fault("hang-instance", 5.9)
        told = brownout_table(Recording(run.write()))
        (one,) = told["list"]
        assert one["from"] <= 6.0
        assert one["to"] >= 6.7
        assert one["measured"] - one["uncertainty_s"] <= 0.7 <= one["measured"]
        assert one["faults"] == ["1"]
        assert told["scattered"] == []
        assert told["latency_s_above"] == 0.25

    def test_a_healthy_stream_and_an_outage_have_none(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        told = brownout_table(Recording(run.write()))
        assert (told["list"], told["scattered"]) == ([], [])

    def test_few_slow_operations_are_scattered(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)

        def slow(operations: OperationWriter) -> None:
            for at_s in (1.0, 15.0):
                at_ns = ORIGIN_NS + round(at_s * NS)
                operations.operation(
                    kind=Kind.WRITE, endpoint="cluster", intended_ns=at_ns, started_ns=at_ns,
                    ended_ns=at_ns + NS // 2, outcome=Outcome.OK,
                )  # fmt: skip

        run.operation("arm", slow)
        told = brownout_table(Recording(run.write()))
        assert told["list"] == []
        assert told["scattered"] == [
            {"arm": "arm", "endpoint": "cluster", "operation": "write", "operations": 2}
        ]

    def test_the_error_of_another_machine_s_clock_widens_it(self, tmp_path: Path) -> None:
        told = []
        for error_ns in (0, 5_000_000):
            run = RunBuilder(tmp_path / str(error_ns))
            run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20)
            run.outage("cluster", 6.0, 6.7, Shape.FREEZE)
            count = len(run.write().arms["arm"].operations)
            if error_ns:
                shares = SHARE.pack(0, count, 0, error_ns, 1)
                path_of(run.folder / "operations", "arm").write_bytes(shares)
            told += brownout_table(Recording(load_history(run.folder)))["list"]
        exact, blurred = told
        assert blurred["measured"] == pytest.approx(exact["measured"] + 0.01)
        assert blurred["uncertainty_s"] == pytest.approx(exact["uncertainty_s"] + 0.02)


class TestTurnsOfProbes:
    """100 turns a second for 60 s, 15 sessions; answers take `latency_s` or to 25 s from 20 s on."""

    def recording(self, folder: Path, error: str, *, latency_s: float = 5.0) -> Recording:
        run = RunBuilder(folder / "run")
        run.traffic("arm", "reader", Kind.READ, per_s=10, until_s=60)
        run.fault("failover-cluster", 20.0)
        free_ns = [0] * 15

        def turns(operations: OperationWriter) -> None:
            for number in range(6000):
                at_ns = ORIGIN_NS + NS * number // 100
                frozen = 2000 <= number < 2500
                session = min(range(15), key=free_ns.__getitem__)
                if frozen and free_ns[session] > at_ns:
                    operations.operation(
                        kind=Kind.WRITE, endpoint="cluster", intended_ns=at_ns, started_ns=at_ns,
                        ended_ns=at_ns, outcome=Outcome.FAILED, error=error,
                    )  # fmt: skip
                    continue
                thaw_ns = ORIGIN_NS + 25 * NS
                last_s = min(latency_s, (thaw_ns - at_ns) / NS) if frozen else 0.0
                free_ns[session] = at_ns + round((last_s + 0.001) * NS)
                operations.operation(
                    kind=Kind.WRITE, endpoint="cluster", intended_ns=at_ns, started_ns=at_ns,
                    ended_ns=free_ns[session], outcome=Outcome.OK,
                )  # fmt: skip

        run.operation("probe", turns)
        return Recording(run.write())

    def judged(self, recording: Recording) -> tuple[Finding, Finding, Finding]:
        run, fault = (
            Availability(arm="probe", availability_min=0.99, over=over).judge(recording)[0]
            for over in ("run", "fault")
        )
        (ratio,) = SuccessRatio(arm="probe", success_ratio_min=0.99).judge(recording)
        return run, fault, ratio

    def test_those_that_no_session_could_take_were_not_served(self, tmp_path: Path) -> None:
        """All but the last quarter of a second: asked then, they would have been served in time."""
        recording = self.recording(tmp_path, "----- MissedWaiting")
        run, fault, ratio = self.judged(recording)
        assert [f.verdict for f in (run, fault, ratio)] == [Verdict.FAIL] * 3
        assert run.measured == pytest.approx(1 - 4.75 / 60, abs=0.001)
        assert fault.measured == pytest.approx(1 - 4.75 / 40, abs=0.001)
        assert ratio.measured == pytest.approx(1 - 4.6 / 60, abs=0.001)
        (whole,) = [
            row
            for row in availability_table(recording)
            if row["arm"] == "probe" and row["over"] == "run"
        ]
        parts = [whole[name] for name in ("served", "late", "failed", "unknown", "unsent")]
        assert sum(parts) == whole["operations"]
        assert whole["unsent"] == pytest.approx(461, abs=2)

    def test_those_of_a_service_that_only_is_slower_show_nothing(self, tmp_path: Path) -> None:
        """Each of its answers comes in time, too late for the next turn of its session."""
        run, fault, ratio = self.judged(
            self.recording(tmp_path, "----- MissedWaiting", latency_s=0.2)
        )
        assert [f.measured for f in (run, fault, ratio)] == [1.0] * 3

    def test_those_that_the_probes_were_too_late_for_show_nothing(self, tmp_path: Path) -> None:
        *_, ratio = self.judged(self.recording(tmp_path, "----- Missed"))
        assert (ratio.verdict, ratio.measured) == (Verdict.PASS, 1.0)
