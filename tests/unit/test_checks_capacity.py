"""Capacity against what was felt: histories by hand whose capacity is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_builder import RunBuilder, to_ns
from simulated_clients import Shape

from chaos.checks.capacity_felt import by_capacity, resumes
from chaos.checks.capacity_reached import CapacityReached
from chaos.checks.capacity_series import levels
from chaos.checks.judge import judge
from chaos.checks.no_disconnects import NoDisconnects
from chaos.checks.recording import Recording
from chaos.checks.serverless import serverless
from chaos.model.gone import GONE_BY_NAME, GONE_IF_OPEN
from chaos.model.operation import Failure, Kind, OperationWriter, Outcome
from chaos.model.verdict import Finding, Verdict

WRITER, READER = "gameday-instance-1", "gameday-instance-2"
LOST = "57P01 AdminShutdown"


class Scaled(RunBuilder):
    """Writes 20 a second for 40 s; new bounds of 8 to 16 ACU are asked for at 10 s, till 30 s."""

    def __init__(self, folder: Path, fault: str = "scale-capacity", **parameters: object) -> None:
        super().__init__(folder / "run")
        self.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=40.0, latency_s=0.01)
        self.observe(0.1, "capacity", self.cluster, "0.5-8")
        about = {"fault_id": 1, "fault": fault, "step": 1, "repeat": 1}
        told = parameters or {"min_acu": 8, "max_acu": 16}
        self.event(10.0, "fault", **about, verb="inject", state="started", parameters=told,
                   requested_target=WRITER)  # fmt: skip
        self.event(10.1, "fault", **about, verb="inject", state="ended", actual_target=WRITER)
        self.event(30.0, "fault", **about, verb="recover", state="started")
        self.event(31.0, "fault", **about, verb="recovered", state="ended")

    def acu(self, instance: str, *points: tuple[float, float], each_s: float = 1.0) -> None:
        """Tell of an instance's capacity: datapoints of `each_s` that begin at an instant."""
        for at_s, acu in points:
            self.observe(
                at_s + each_s, "acu", instance, f"{acu:g}", width_s=2 * each_s, resolution_s=each_s
            )

    def failed(self, at_s: float, instance: str, error: str = LOST) -> None:
        """Add a write whose first attempt met an error."""

        def append(operations: OperationWriter) -> None:
            at_ns = to_ns(at_s)
            failure = Failure(
                started_ns=at_ns, ended_ns=at_ns + 1000, error=error, instance=instance
            )
            operations.operation(
                kind=Kind.WRITE, endpoint="cluster", intended_ns=at_ns, started_ns=at_ns,
                ended_ns=at_ns + 5000, outcome=Outcome.OK, attempts=2, instance=instance,
                write_id=10**8 + at_ns % 10**7, failures=[failure],
            )  # fmt: skip

        self.operation("arm", append)


def reached(run: RunBuilder, within_s: float) -> Finding:
    (finding,) = CapacityReached(within_s=within_s).judge(Recording(run.write()))
    return finding


class TestReached:
    def test_it_lies_between_the_datapoints_around_it(self, tmp_path: Path) -> None:
        """At 2 until 14 s, the datapoint of 14 to 15 s shows 6, that of 15 to 16 s shows 8."""
        run = Scaled(tmp_path)
        run.acu(WRITER, (5.0, 2.0), (14.0, 6.0), (15.0, 8.0), (35.0, 8.0))
        history = run.write()
        for within_s, verdict in ((6.0, Verdict.PASS), (5.0, Verdict.UNKNOWN), (3.9, Verdict.FAIL)):
            (finding,) = CapacityReached(within_s=within_s).judge(Recording(history))
            assert finding.verdict is verdict
            assert finding.measured == pytest.approx(6.0)
            assert finding.uncertainty_s == pytest.approx(2.0)
            assert (finding.from_s, finding.to_s) == (10.0, 16.0)
            assert "from 2 ACU to 8 ACU" in finding.why

    def test_a_datapoint_a_minute_says_little_and_not_more(self, tmp_path: Path) -> None:
        run = Scaled(tmp_path)
        run.acu(WRITER, (-55.0, 2.0), (5.0, 8.0), each_s=60.0)
        finding = reached(run, 30.0)
        assert finding.verdict is Verdict.UNKNOWN
        assert (finding.measured, finding.uncertainty_s) == (55.0, 55.0)

    def test_one_that_never_came_fails_as_far_as_was_told(self, tmp_path: Path) -> None:
        run = Scaled(tmp_path)
        run.acu(WRITER, (5.0, 2.0), (14.0, 6.0), (26.0, 6.0))
        history = run.write()
        for within_s, verdict in ((16.0, Verdict.FAIL), (18.0, Verdict.UNKNOWN)):
            (finding,) = CapacityReached(within_s=within_s).judge(Recording(history))
            assert (finding.verdict, finding.measured) == (verdict, None)
            assert "not reached in the 17.0 s that datapoints tell of" in finding.why

    def test_what_was_there_already_took_no_time(self, tmp_path: Path) -> None:
        run = Scaled(tmp_path)
        run.acu(WRITER, (5.0, 9.0), (35.0, 9.0))
        finding = reached(run, 1.0)
        assert (finding.verdict, finding.measured, finding.uncertainty_s) == (Verdict.PASS, 0, 0)

    def test_a_forced_rise_counts_from_what_was_before(self, tmp_path: Path) -> None:
        run = Scaled(tmp_path, "force-scale-up", rise_acu=2)
        run.acu(WRITER, (5.0, 2.0), (12.0, 3.5), (13.0, 4.0), (35.0, 4.0))
        run.acu(READER, (5.0, 2.0), (35.0, 2.0))
        finding = reached(run, 10.0)
        assert (finding.verdict, finding.endpoint) == (Verdict.PASS, WRITER)
        assert finding.measured == pytest.approx(4.0)

    def test_a_forced_rise_from_nobody_knows_what_is_unknown(self, tmp_path: Path) -> None:
        run = Scaled(tmp_path, "force-scale-up", rise_acu=1)
        run.acu(WRITER, (12.0, 4.0), (13.0, 4.0), (35.0, 4.0))
        finding = reached(run, 30.0)
        assert (finding.verdict, finding.measured) == (Verdict.UNKNOWN, None)

    @pytest.mark.parametrize(
        ("within_s", "verdict"),
        [(3.0, Verdict.PASS), (1.5, Verdict.UNKNOWN), (1.0, Verdict.UNKNOWN)],
    )
    def test_what_the_first_datapoint_shows_may_have_been_there_already(
        self, tmp_path: Path, within_s: float, verdict: Verdict
    ) -> None:
        run = Scaled(tmp_path)
        run.acu(WRITER, (12.0, 9.0), (35.0, 9.0))
        finding = reached(run, within_s)
        assert (finding.verdict, finding.measured, finding.uncertainty_s) == (verdict, 3.0, 3.0)

    @pytest.mark.parametrize(
        ("points", "verdict", "measured_s"),
        [
            (((5, 5), (14, 1.5), (48, 1.5)), Verdict.FAIL, None),
            (((5, 0.5), (14, 1.5), (27, 1.5), (28, 6), (48, 6)), Verdict.PASS, 3.0),
            (((5, 0.5), (14, 1.5), (27, 1.5), (31, 6), (48, 6)), Verdict.UNKNOWN, 6.0),
            (((5, 0.5), (14, 5), (48, 5)), Verdict.PASS, 0.0),
        ],
    )
    def test_the_last_bounds_of_a_storm_count_from_their_own_request(
        self,
        tmp_path: Path,
        points: tuple[tuple[float, float], ...],
        verdict: Verdict,
        measured_s: float | None,
    ) -> None:
        """1 to 2 ACU are asked for at 10 s, 4 to 8 ACU at 26 s, and again at 27 s."""
        run = Scaled(tmp_path)
        run.events.clear()
        run.traffic("arm", "reader", Kind.READ, per_s=5, until_s=60.0)
        about = {"fault_id": 1, "fault": "scale-storm", "step": 1, "repeat": 1}
        gusts = [{"min_acu": 1, "max_acu": 2}, {"min_acu": 4, "max_acu": 8}]
        for at_s, gust in zip((10.0, 26.0), gusts, strict=True):
            told = {**about, "parameters": {"series": [gust]}}
            run.event(at_s, "fault", **told, verb="inject", state="started")
            run.event(at_s + 0.1, "fault", **told, verb="inject", state="ended")
            run.event(at_s + 1.5, "fault", **told, verb="effect", state="ended", effect="taken")
        run.event(27.0, "fault", **told, verb="inject", state="started", again=True)
        told = {**about, "parameters": {"series": gusts}}
        run.event(50.0, "fault", **told, verb="recover", state="started")
        run.event(51.0, "fault", **told, verb="recovered", state="ended")
        run.acu(WRITER, *points)
        finding = reached(run, 5.0)
        assert finding.verdict is verdict, finding.why
        assert finding.from_s == 26.0
        assert finding.measured == measured_s

    def test_without_datapoints_it_is_unknown_and_says_why(self, tmp_path: Path) -> None:
        run = Scaled(tmp_path)
        run.observe(3.0, "acu", "", "AccessDenied: cloudwatch:GetMetricData")
        finding = reached(run, 10.0)
        assert finding.verdict is Verdict.UNKNOWN
        assert "AccessDenied" in finding.why

    def test_the_capacity_that_served_a_step_of_the_load(self, tmp_path: Path) -> None:
        """It lags behind the load by so much as it takes to its highest."""
        run = Scaled(tmp_path, "noop", none=1)
        run.experiment = {"workload": {"shape": {"step": [{"at_s": 5.0, "factor": 3.0}]}}}
        run.event(6.0, "load", state="shaped")
        run.acu(WRITER, (5.0, 2.0), (13.0, 3.0), (17.0, 4.5), (25.0, 3.0), (35.0, 3.0))
        finding = reached(run, 7.0)
        assert finding.from_s == 11.0
        assert finding.measured == pytest.approx(7.0)
        assert "4.5 ACU or more after load times 3" in finding.why


class TestDisconnects:
    def judged(self, run: RunBuilder, **fields: int) -> Finding:
        (finding,) = NoDisconnects(**fields).judge(Recording(run.write()))  # type: ignore[arg-type]
        return finding

    def scaled(self, tmp_path: Path) -> Scaled:
        run = Scaled(tmp_path)
        run.acu(WRITER, (5.0, 2.0), (14.0, 8.0), (35.0, 8.0))
        return run

    def test_a_capacity_that_changes_under_connections_passes(self, tmp_path: Path) -> None:
        finding = self.judged(self.scaled(tmp_path))
        assert (finding.verdict, finding.measured) == (Verdict.PASS, 0)

    @pytest.mark.parametrize("error", [LOST, *GONE_BY_NAME, *GONE_IF_OPEN])
    def test_a_connection_that_breaks_meanwhile_fails(self, tmp_path: Path, error: str) -> None:
        run = self.scaled(tmp_path)
        run.failed(14.2, WRITER, error)
        finding = self.judged(run)
        assert (finding.verdict, finding.measured) == (Verdict.FAIL, 1)
        assert finding.from_s == pytest.approx(14.2, abs=0.001)
        run = self.scaled(tmp_path / "allowed")
        run.failed(14.2, WRITER)
        assert self.judged(run, disconnects_max=1).verdict is Verdict.PASS

    @pytest.mark.parametrize(
        ("at_s", "instance", "error"),
        [(20.0, WRITER, LOST), (14.2, READER, LOST), (14.2, WRITER, "40001 SerializationFailure")],
        ids=["at another time", "another instance", "no broken connection"],
    )
    def test_other_errors_are_not_counted(
        self, tmp_path: Path, at_s: float, instance: str, error: str
    ) -> None:
        run = self.scaled(tmp_path)
        run.failed(at_s, instance, error)
        assert self.judged(run).verdict is Verdict.PASS

    @pytest.mark.parametrize(("count", "verdict"), [(9, Verdict.UNKNOWN), (10, Verdict.PASS)])
    def test_a_few_operations_show_nothing(
        self, tmp_path: Path, count: int, verdict: Verdict
    ) -> None:
        """From 13 to 15 s, in which the capacity changes; many more come before and after."""
        run = self.scaled(tmp_path)
        run.streams.clear()
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=4.0)
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, from_s=16.0, until_s=40.0)

        def few(operations: OperationWriter) -> None:
            for number in range(count):
                at_ns = to_ns(14.1 + number / 100)
                operations.operation(
                    kind=Kind.WRITE, endpoint="cluster", intended_ns=at_ns, started_ns=at_ns,
                    ended_ns=at_ns + 5000, outcome=Outcome.OK, instance=WRITER,
                    write_id=10**8 + number,
                )  # fmt: skip

        run.operation("arm", few)
        finding = self.judged(run)
        assert (finding.verdict, finding.measured) == (verdict, 0)
        assert str(count) in finding.why

    def test_without_a_change_nothing_is_shown(self, tmp_path: Path) -> None:
        run = Scaled(tmp_path)
        run.acu(WRITER, (5.0, 2.0), (35.0, 2.0))
        assert self.judged(run).verdict is Verdict.UNKNOWN


def test_operations_stand_at_the_capacity_of_who_answered(tmp_path: Path) -> None:
    run = Scaled(tmp_path)
    run.acu(WRITER, (5.0, 2.0), (20.0, 8.0), (35.0, 8.0))
    run.outage("cluster", 24.0, 25.0, Shape.REFUSE)
    rows = {row["acu"]: row for row in by_capacity(Recording(run.write()))}
    assert set(rows) == {None, 2.0, 8.0}, "nothing is told before 5 s and after 36 s"
    assert rows[2.0]["operations"] == pytest.approx(300, abs=2)
    assert rows[8.0]["operations"] == pytest.approx(320, abs=2)
    assert (rows[2.0]["failed"], rows[8.0]["failed"]) == (0, pytest.approx(20, abs=2))
    assert 5 <= rows[2.0]["latency_ms_p50"] <= rows[2.0]["latency_ms_p99"] <= 15.1


def test_of_a_hundred_operations_the_slowest_is_beyond_the_99th_percentile(tmp_path: Path) -> None:
    run = Scaled(tmp_path)
    run.acu(WRITER, (5.0, 2.0), (35.0, 2.0))
    run.streams.clear()

    def append(operations: OperationWriter) -> None:
        for number in range(100):
            at_ns = to_ns(10 + number / 10)
            operations.operation(
                kind=Kind.WRITE, endpoint="cluster", intended_ns=at_ns, started_ns=at_ns,
                ended_ns=at_ns + (1 + number) * 10**6, outcome=Outcome.OK, instance=WRITER,
                write_id=number + 1,
            )  # fmt: skip

    run.operation("arm", append)
    (row,) = by_capacity(Recording(run.write()))
    told = row["operations"], row["latency_ms_p50"], row["latency_ms_p99"]
    assert told == (100, 50, 99)


def test_the_first_operation_after_a_pause_waits_until_it_is_answered(tmp_path: Path) -> None:
    run = Scaled(tmp_path, "pause-and-resume", pause_after_s=300)
    run.acu(WRITER, (5.0, 2.0), (16.0, 0.0), (22.0, 2.0), (35.0, 2.0))
    run.event(12.0, "load", state="pausing")
    run.event(20.0, "load", state="resumed")
    run.streams.clear()
    run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=12.0)
    run.traffic("arm", "cluster", Kind.WRITE, per_s=20, from_s=20.0, until_s=40.0, jitter=0.0)
    run.outage("cluster", 19.0, 22.5, Shape.FREEZE)
    (row,) = resumes(Recording(run.write()))
    assert row["paused"] == [WRITER]
    assert row["asked_s"] == pytest.approx(20.025)
    assert row["waited_s"] == pytest.approx(2.475, abs=0.01)
    assert row["served_s"] - row["asked_s"] == pytest.approx(row["waited_s"])
    assert row["failed_before"] == 0


def test_a_series_says_until_when_each_capacity_is_told(tmp_path: Path) -> None:
    run = Scaled(tmp_path)
    run.acu(WRITER, (5.0, 2.0), (14.0, 2.0), (20.0, 8.0))
    (low, high) = levels(Recording(run.write()))[WRITER]
    assert (low.acu, low.shown_ns, low.to_ns) == (2.0, to_ns(5), to_ns(20))
    assert (high.acu, high.changed_ns, high.from_ns) == (8.0, to_ns(19), to_ns(21))


def test_other_clusters_have_no_capacity_to_tell_of(tmp_path: Path) -> None:
    run = Scaled(tmp_path)
    run.observations.clear()
    recording = Recording(run.write())
    assert serverless(recording) is None


def test_verdict_json_tells_it(tmp_path: Path) -> None:
    run = Scaled(tmp_path)
    run.acu(WRITER, (5.0, 2.0), (14.0, 8.0), (35.0, 8.0))
    told = judge(run.write(), []).as_json()["serverless"]
    assert told["series"][WRITER] == {"points": [[5.0, 2.0], [14.0, 8.0]], "to_s": 36.0}
    (step,) = told["steps"]
    assert (step["cause"], step["measured_s"]) == ("scale-capacity 1", pytest.approx(5.0))
    assert told["disconnects"][0]["broken"] == 0
    assert (told["why"], told["resolution_s"]) == ("", 1.0)
