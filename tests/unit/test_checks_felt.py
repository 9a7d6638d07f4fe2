"""What is told of several windows, and of none, is never below what clients certainly felt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fix_history import RunBuilder, Shape
from run_builder import to_ns

from chaos.checks import information
from chaos.checks.availability import Availability, served
from chaos.checks.differences import difference_table
from chaos.checks.information import Felt, inform
from chaos.checks.interruption import Interruption
from chaos.checks.judge import judge
from chaos.checks.recording import Recording
from chaos.checks.repeats import over_repeats, repeats
from chaos.model.operation import PROBE_ARM, Kind, OperationWriter, Outcome
from chaos.model.verdict import Finding, Verdict
from reports import tables
from reports.read import load
from reports.words import MISSING

WRITES = {"arm": "arm", "endpoint": "cluster", "operation": "write"}


def recorded(run: RunBuilder) -> Recording:
    return Recording(run.write())


def felt(recording: Recording) -> list[Felt]:
    """Return what writes of the arms felt."""
    return [
        one
        for one in information.felt(recording)
        if one.kind is Kind.WRITE and one.arm != PROBE_ARM
    ]


def judged(recording: Recording, **fields: Any) -> Finding:
    (finding,) = Interruption(arm="arm", **fields).judge(recording)
    return finding


def compared(recording: Recording) -> dict[str, dict[str, Any]]:
    """Return what each arm has of the longest interruption of writes."""
    measures = difference_table(recording)["measures"]
    (told,) = [
        m["arms"] for m in measures if (m["measure"], m["operation"]) == ("interruption", "write")
    ]
    return {arm["arm"]: arm for arm in told}


class TestSeveralWindows:
    """The worst of all windows is the verdict, whichever ends last or is the longest."""

    def long_outage(self, folder: Path, *, late: bool) -> RunBuilder:
        """Refused for 15 s, and with `late` for 0.1 s more, 1 s before the recording ends."""
        run = RunBuilder(folder / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=40)
        run.outage("cluster", 10.1, 25.1, Shape.REFUSE)
        if late:
            run.outage("cluster", 38.9, 39.0, Shape.REFUSE)
        run.fault("failover-cluster", 10.0)
        run.fill(until_s=40)
        return run

    @pytest.mark.parametrize("late", [False, True])
    def test_a_certain_outage_fails_though_a_later_one_has_no_end(
        self,
        tmp_path: Path,
        late: bool,  # noqa: FBT001 - a column of the table
    ) -> None:
        run = self.long_outage(tmp_path, late=late)
        finding = judged(recorded(run), interruption_s_max=10)
        assert finding.verdict is Verdict.FAIL
        assert finding.measured == pytest.approx(15.05, abs=0.06)
        assert ("another had not ended when the recording did" in finding.why) is late
        told = judge(run.write(), [Interruption(arm="arm", interruption_s_max=10)])
        assert told.verdict is Verdict.FAIL

    def test_it_is_told_everywhere_and_an_open_one_leaves_no_upper_bound(
        self, tmp_path: Path
    ) -> None:
        recording = recorded(self.long_outage(tmp_path, late=True))
        all_felt = felt(recording)
        (window,) = repeats(recording, all_felt)[0]["windows"]
        assert window["measured"] == pytest.approx(15.05, abs=0.06)
        assert window["measured"] - window["uncertainty_s"] <= 15.0
        assert (window["open"], window["to"]) == (True, pytest.approx(25.1, abs=0.1))
        arm = compared(recording)["arm"]
        assert arm["value"] == pytest.approx(15.05, abs=0.06)
        assert arm["low"] == pytest.approx(14.95, abs=0.06)
        assert arm["high"] is None
        (shown,) = inform(recording, [], all_felt)
        assert shown.measured == pytest.approx(15.05, abs=0.06)
        assert "another had not ended" in shown.why

    @pytest.mark.parametrize(("limit_s", "verdict"), [(10.0, "fail"), (11.5, "unknown")])
    def test_a_longer_window_that_proves_nothing_hides_none_that_does(
        self, tmp_path: Path, limit_s: float, verdict: str
    ) -> None:
        """For 12 s the client's own queue was full, for 11 s the cluster refused."""
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=10)
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, from_s=22, until_s=50)

        def refused_by_the_queue(operations: OperationWriter) -> None:
            for number in range(240):
                at_ns = to_ns(10 + number * 0.05)
                operations.operation(
                    kind=Kind.WRITE, endpoint="cluster", intended_ns=at_ns, started_ns=at_ns,
                    ended_ns=at_ns, outcome=Outcome.FAILED, error="----- QueueFull", attempts=0,
                )  # fmt: skip

        run.operation("arm", refused_by_the_queue)
        run.outage("cluster", 30.0, 41.0, Shape.REFUSE)
        run.fault("failover-cluster", 9.5, effect_s=9.9)
        run.fill(until_s=50)
        recording = recorded(run)
        finding = judged(recording, interruption_s_max=limit_s)
        assert finding.verdict is Verdict(verdict)
        assert finding.measured is not None
        if finding.verdict is Verdict.FAIL:
            assert finding.measured == pytest.approx(11.05, abs=0.06)
            assert "the worst of 2 windows" in finding.why
        else:
            assert finding.measured == pytest.approx(12.05, abs=0.06)
            assert "the longest of 2 windows" in finding.why
        arm = compared(recording)["arm"]
        assert (arm["low"], arm["high"]) == (
            pytest.approx(10.95, abs=0.06), pytest.approx(12.05, abs=0.06),
        )  # fmt: skip

    def test_several_windows_within_the_limit_pass(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=40)
        run.outage("cluster", 10.1, 15.1, Shape.REFUSE)
        run.outage("cluster", 30.0, 31.0, Shape.REFUSE)
        run.fault("failover-cluster", 10.0)
        finding = judged(recorded(run), interruption_s_max=10)
        assert finding.verdict is Verdict.PASS
        assert finding.measured == pytest.approx(5.05, abs=0.06)
        assert "the longest of 2 windows" in finding.why


class TestNoWindow:
    """Nothing failed: an interruption was at most as long as nothing was served."""

    def silent(
        self, folder: Path, shape: Shape, from_s: float, to_s: float, per_s: float
    ) -> RunBuilder:
        run = RunBuilder(folder / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=per_s, until_s=20, jitter=0)
        run.outage("cluster", from_s, to_s, shape)
        run.fault("failover-cluster", 10.0)
        run.fill(until_s=20)
        return run

    @pytest.mark.parametrize(
        ("shape", "from_s", "to_s", "per_s", "limit_s"),
        [(Shape.FREEZE, 10.1, 11.0, 50, 0.3), (Shape.REFUSE, 10.5, 11.3, 1.1, 0.1)],
        ids=["clients that waited", "between two operations"],
    )
    def test_a_silence_longer_than_the_limit_is_no_pass(
        self, tmp_path: Path, shape: Shape, from_s: float, to_s: float, per_s: float, limit_s: float
    ) -> None:
        run = self.silent(tmp_path, shape, from_s, to_s, per_s)
        recording = recorded(run)
        assert not recording.windows("arm", "cluster", Kind.WRITE)
        finding = judged(recording, interruption_s_max=limit_s)
        assert finding.verdict is Verdict.UNKNOWN
        assert finding.measured is not None
        assert to_s - from_s <= finding.measured < 1.0
        assert finding.uncertainty_s == finding.measured
        assert finding.from_s is not None
        assert finding.to_s is not None
        assert finding.to_s - finding.from_s == pytest.approx(finding.measured)
        assert judge(
            run.write(), [Interruption(arm="arm", interruption_s_max=limit_s)]
        ).verdict is (Verdict.UNKNOWN)
        for enough_s in (0.0, 1.0):  # 0 asks for no window at all
            passed = judged(recording, interruption_s_max=enough_s)
            assert (passed.verdict, passed.measured) == (Verdict.PASS, 0.0)

    def test_a_report_tells_it_between_its_instants(self, tmp_path: Path) -> None:
        run = self.silent(tmp_path, Shape.FREEZE, 10.1, 11.0, 50)
        history = run.write()
        told = judge(history, [Interruption(arm="arm", interruption_s_max=0.3)]).as_json()
        (history.folder / "verdict.json").write_text(json.dumps(told), encoding="utf-8")
        (row,) = [r for r in tables.interruptions(load(history.folder)) if r.limit != MISSING]
        assert (row.verdict, row.at_least) == ("unknown", "at least 0 s")
        assert row.measured.startswith("at most 0.9")
        assert (row.from_, row.to) != (MISSING, MISSING)
        assert "but nothing was served for 0.9" in row.why

    def test_a_steady_stream_passes_a_limit_that_it_can_show(self, tmp_path: Path) -> None:
        run = self.silent(tmp_path, Shape.REFUSE, 99, 100, 50)
        finding = judged(recorded(run), interruption_s_max=0.3)
        assert (finding.verdict, finding.measured, finding.uncertainty_s) == (Verdict.PASS, 0, 0)

    def test_a_pass_tells_the_silence_in_which_more_would_have_gone_unseen(
        self, tmp_path: Path
    ) -> None:
        recording = recorded(self.silent(tmp_path, Shape.REFUSE, 99, 100, 0.5))
        finding = judged(recording, interruption_s_max=5)
        assert finding.verdict is Verdict.PASS
        assert finding.measured == finding.uncertainty_s == pytest.approx(2.0, abs=0.1)
        all_felt = felt(recording)
        (window,) = repeats(recording, all_felt)[0]["windows"]
        assert window["measured"] == window["uncertainty_s"] == finding.measured
        assert (window["from"], window["to"]) == (finding.from_s, finding.to_s)
        (shown,) = inform(recording, [], all_felt)
        assert shown.measured == shown.uncertainty_s == finding.measured
        assert "but nothing was served for 2.0" in shown.why

    def two_arms(self, folder: Path, outages: int) -> RunBuilder:
        """Outages of 0.8 s, which nothing of the second arm falls into."""
        until_s = 12.0 * outages + 10
        run = RunBuilder(folder / "run")
        run.traffic("often", "cluster", Kind.WRITE, per_s=50, until_s=until_s, jitter=0)
        run.traffic("seldom", "cluster", Kind.WRITE, per_s=0.5, until_s=until_s, jitter=0)
        for number in range(outages):
            at_s = 10.0 + 12 * number
            run.outage("cluster", at_s + 0.1, at_s + 0.9, Shape.REFUSE)
            run.fault(
                "failover-cluster", at_s, fault_id=number + 1, repeat=number + 1,
                effect_s=at_s + 1.0, ended_s=at_s + 2.0,
            )  # fmt: skip
        run.fill(until_s=until_s)
        return run

    def test_an_arm_that_asked_nothing_is_not_better(self, tmp_path: Path) -> None:
        told = compared(recorded(self.two_arms(tmp_path, 1)))
        assert told["seldom"]["low"] == 0.0
        assert told["seldom"]["high"] == told["seldom"]["value"] == pytest.approx(2.0, abs=0.1)
        assert told["seldom"]["against_baseline"] == "no difference shown"
        assert told["often"]["low"] <= 0.8 <= told["often"]["high"] <= 0.9

    def test_an_arm_that_asked_and_felt_nothing_is_better(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic(
            "felt", "cluster", Kind.WRITE, per_s=50, until_s=20, read_only=(10.1, 11.9, 1.0)
        )
        run.traffic("spared", "cluster", Kind.WRITE, per_s=50, until_s=20)
        run.fault("failover-cluster", 10.0)
        told = compared(recorded(run))
        assert told["felt"]["low"] == pytest.approx(1.75, abs=0.06)
        assert 0.0 < told["spared"]["high"] < 0.1
        assert told["spared"]["against_baseline"] == "better"

    def test_statistics_hold_the_outages_that_nothing_fell_into(self, tmp_path: Path) -> None:
        told = {row["arm"]: row for row in over_repeats(felt(recorded(self.two_arms(tmp_path, 6))))}
        seldom = told["seldom"]
        assert (seldom["n"], seldom["median_min"], seldom["interval"]["low"]) == (6, 0.0, 0.0)
        for bound in (seldom["median"], seldom["interval"]["high"], seldom["worst"]):
            assert bound == pytest.approx(2.0, abs=0.1)
        assert told["often"]["median_min"] <= 0.8 <= told["often"]["median"] <= 0.9


class TestWithoutEffect:
    """A repeat that disturbed nothing says nothing of what its fault does."""

    def repeated(
        self, folder: Path, taken: int, none: int, fault: str = "failover-cluster"
    ) -> Recording:
        run = RunBuilder(folder / "run")
        until_s = 10.0 * (taken + none) + 10
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=until_s)
        for number in range(taken + none):
            at_s = 5.0 + 10 * number
            if number < taken:
                run.outage("cluster", at_s + 0.1, at_s + 3.1, Shape.REFUSE)
            run.fault(
                fault, at_s, fault_id=number + 1, repeat=number + 1,
                effect="taken" if number < taken else "none",
            )  # fmt: skip
        return recorded(run)

    def test_repeats_without_effect_do_not_make_a_median(self, tmp_path: Path) -> None:
        finding = judged(self.repeated(tmp_path, 1, 5), interruption_s_max=5, over_repeats="median")
        assert finding.verdict is Verdict.UNKNOWN
        assert finding.why.startswith(
            "1 of 1 repeats of failover-cluster were within 5 s, 0 were longer, 5 without effect left"
        )
        assert finding.measured == pytest.approx(3.05, abs=0.06)

    def test_statistics_are_of_those_that_had_one(self, tmp_path: Path) -> None:
        (told,) = over_repeats(felt(self.repeated(tmp_path, 2, 4)))
        assert (told["n"], told["shared"], told["without_effect"]) == (2, 0, 4)
        assert told["median_min"] == pytest.approx(2.95, abs=0.06)

    def test_none_with_an_effect_is_unknown(self, tmp_path: Path) -> None:
        recording = self.repeated(tmp_path, 0, 6)
        finding = judged(recording, interruption_s_max=5, over_repeats="median")
        assert (finding.verdict, finding.over) == (Verdict.UNKNOWN, "median")
        assert "none of the 6 repeats" in finding.why
        assert over_repeats(felt(recording)) == []

    def test_of_a_noop_no_effect_is_expected(self, tmp_path: Path) -> None:
        recording = self.repeated(tmp_path, 0, 6, "noop")
        finding = judged(recording, interruption_s_max=5, over_repeats="median")
        assert finding.verdict is Verdict.PASS
        (told,) = over_repeats(felt(recording))
        assert (told["n"], told["without_effect"]) == (6, 0)


class TestTime:
    """The share of the time counts what nobody can have seen as not shown."""

    def seldom(self, folder: Path, per_s: float) -> Recording:
        """Ten outages of 2.2 s, between two of the writes of a stream of one in 3 s."""
        run = RunBuilder(folder / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=per_s, until_s=90, jitter=0)
        for number in range(10):
            run.outage("cluster", 2.0 + 9 * number, 4.2 + 9 * number, Shape.REFUSE)
        run.fault("failover-cluster", 10.0)
        return recorded(run)

    def test_what_fell_between_two_operations_is_not_certainly_available(
        self, tmp_path: Path
    ) -> None:
        recording = self.seldom(tmp_path, 1 / 3)
        assert not recording.windows("arm", "cluster", Kind.WRITE)
        (finding,) = Availability(arm="arm", availability_min=0.999, by="time").judge(recording)
        assert finding.verdict is Verdict.UNKNOWN
        assert "in which nothing failed or was served" in finding.why
        told = served(
            recording, ("arm", "cluster", Kind.WRITE), recording.since_ns, recording.until_ns
        )
        assert told is not None
        assert told.interrupted_s_min <= 22.0 <= told.interrupted_s <= told.seconds
        (exact,) = Availability(arm="arm", availability_min=0.999).judge(recording)
        assert (exact.verdict, exact.measured) == (Verdict.PASS, 1.0)

    def test_a_stream_that_would_have_seen_it_has_nothing_silent(self, tmp_path: Path) -> None:
        recording = self.seldom(tmp_path, 20)
        told = served(
            recording, ("arm", "cluster", Kind.WRITE), recording.since_ns, recording.until_ns
        )
        assert told is not None
        assert told.silent_s == 0.0
        assert told.interrupted_s_min <= 22.0 <= told.interrupted_s <= 23.5

    def test_the_crowd_after_an_outage_is_no_silence(self, tmp_path: Path) -> None:
        """What waited is served in turn, each of it later than an operation may take."""
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=30, users=3, latency_s=0.1)
        run.outage("cluster", 10.1, 13.1, Shape.FREEZE)
        recording = recorded(run)
        (window,) = recording.windows("arm", "cluster", Kind.WRITE)
        told = served(
            recording, ("arm", "cluster", Kind.WRITE), recording.since_ns, recording.until_ns
        )
        assert told is not None
        assert (told.silent_s, told.interrupted_s) == (0.0, window.measured_s)

    def test_an_instance_that_joins_later_lacked_no_service_before(self, tmp_path: Path) -> None:
        """Its probes begin when it is there: nobody was to be served by it until then."""
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=30)
        run.traffic(PROBE_ARM, "late", Kind.READ, per_s=20, from_s=15, until_s=30)
        run.traffic("other", "late", Kind.READ, per_s=20, from_s=15, until_s=30)
        run.fault("add-reader", 10.0)
        recording = recorded(run)
        seen = {one.arm: one for one in information.felt(recording) if one.endpoint == "late"}
        assert (seen[PROBE_ARM].measured_s, seen["other"].measured_s) == (
            0.0, pytest.approx(5.0, abs=0.1),
        )  # fmt: skip
        told = served(
            recording, (PROBE_ARM, "late", Kind.READ), recording.since_ns, recording.until_ns
        )
        assert told is not None
        assert told.interrupted_s == 0.0
