"""The retry ledger, what each arm costs and saves, and what connecting alone went through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fix_history import ORIGIN_NS, RunBuilder, Shape, failover_run, outage_run

from chaos.checks.differences import counting, difference_table
from chaos.checks.information import felt
from chaos.checks.interruption import Interruption
from chaos.checks.judge import judge
from chaos.checks.recording import Recording
from chaos.checks.repeats import over_repeats
from chaos.checks.retries import retry_table
from chaos.checks.window_table import window_table
from chaos.clock import NS
from chaos.model.ledger import ArmLedger, Ledger
from chaos.model.operation import ConnectionEvent, Failure, Kind, OperationWriter, Outcome
from chaos.model.verdict import Finding, Verdict, distinct
from reports import tables
from reports.read import load
from reports.words import MISSING

REFUSED = "----- ConnectionRefused"


def at(second: float) -> int:
    return ORIGIN_NS + round(second * NS)


def operation(
    second: float,
    lasts_s: float,
    outcome: Outcome = Outcome.OK,
    *,
    failed_at: tuple[float, ...] = (),
    waited_s: float = 0.0,
) -> Callable[[OperationWriter], None]:
    """Return what appends a write; each failed attempt takes 10 ms from its start."""
    error = "" if outcome is Outcome.OK else "57P01 AdminShutdown"
    last = 0 if outcome is Outcome.OK else -1

    def append(operations: OperationWriter) -> None:
        operations.operation(
            kind=Kind.WRITE,
            endpoint="cluster",
            intended_ns=at(second),
            started_ns=at(second),
            ended_ns=at(second + lasts_s),
            outcome=outcome,
            attempts=len(failed_at) + 1 + last,
            error=error,
            waited_us=round(waited_s * 1e6),
            failures=[
                Failure(started_ns=at(s), ended_ns=at(s + 0.01), error=error or REFUSED)
                for s in failed_at
            ],
        )

    return append


def planted(folder: Path) -> RunBuilder:
    """A run of 10 s to put operations of `arm` into."""
    run = RunBuilder(folder / "run")
    run.traffic("other", "cluster", Kind.WRITE, per_s=5, until_s=10)
    return run


def row(history_of: RunBuilder, *, over: str = "run") -> dict[str, Any]:
    told = retry_table(Recording(history_of.write()))
    (found,) = [r for r in told["list"] if (r["arm"], r["over"]) == ("arm", over)]
    return dict(found)


class TestRetries:
    """Planted operations are counted where they belong."""

    def test_each_operation_is_counted_once(self, tmp_path: Path) -> None:
        run = planted(tmp_path)
        for append in (
            operation(1.0, 0.002),
            operation(2.0, 0.302, failed_at=(2.0, 2.1)),
            operation(3.0, 0.11, Outcome.FAILED, failed_at=(3.0, 3.1)),
            operation(4.0, 0.01, Outcome.UNKNOWN, failed_at=(4.0,)),
        ):
            run.operation("arm", append)
        told = row(run)
        assert told["operations"] == 4
        assert told["attempts"] == 1 + 3 + 2 + 1
        assert told["amplification"] == pytest.approx(7 / 4)
        assert told["first_attempt"] == 1
        absorbed = told["absorbed"]
        assert (absorbed["operations"], absorbed["attempts"]) == (1, 2)
        assert absorbed["errors"] == {REFUSED: 2}
        assert absorbed["extra_s_min"] == pytest.approx(0.11)
        assert absorbed["extra_s"] == absorbed["extra_s_max"] == pytest.approx(0.302)
        assert told["seen"] == {
            "failed": 1, "unknown": 1, "after_retries": 1, "errors": {"57P01 AdminShutdown": 2},
        }  # fmt: skip

    def test_the_run_is_the_sum_of_its_parts(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=30.0, repeats=2)
        told = retry_table(Recording(run.write()))["list"]
        writes = [r for r in told if (r["arm"], r["operation"]) == ("arm", "write")]
        assert [r["fault_id"] for r in writes] == [None, "1", "2"]
        whole, first, second = writes
        assert whole["seen"]["failed"] == first["seen"]["failed"] + second["seen"]["failed"] > 0
        assert first["seen"]["failed"] == pytest.approx(100, abs=2)

    def test_what_waited_for_a_connection_is_told(self, tmp_path: Path) -> None:
        run = planted(tmp_path)
        run.operation("arm", operation(1.0, 0.05, waited_s=0.04))
        run.operation("arm", operation(2.0, 0.5, waited_s=0.02))
        run.operation("arm", operation(3.0, 0.002, waited_s=0.0019))
        waited = row(run)["waited"]
        assert waited["sum_s"] == pytest.approx(0.0619)
        assert waited["max_s"] == pytest.approx(0.04)
        assert waited["p99_s"] <= waited["max_s"]
        assert (waited["over"], waited["longest_part"]) == (2, 1)

    def test_what_was_never_sent_is_no_attempt(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20, users=2, queue_max=5)
        run.outage("cluster", 5.1, 8.1, Shape.FREEZE)
        told = row(run)
        assert told["unsent"] > 100
        assert told["attempts"] == told["operations"] - told["unsent"]
        seen = told["seen"]
        assert sum(seen["errors"].values()) == seen["failed"] + seen["unknown"]
        assert told["amplification"] == 1.0

    def test_writes_applied_twice_come_from_a_complete_ledger_alone(self, tmp_path: Path) -> None:
        for complete, expected in ((True, 3), (False, None)):
            run = outage_run(tmp_path / str(complete))
            arms = {"arm": ArmLedger(acknowledged=900, duplicated=3)}
            run.ledger = Ledger(arms=arms, complete=complete)
            assert retry_table(Recording(run.write()))["applied_twice"] == {"arm": expected}


class TestDifferences:
    """Better or worse is said only where the intervals do not overlap."""

    def told(self, run: RunBuilder) -> dict[tuple[str, str], dict[str, Any]]:
        table = difference_table(Recording(run.write()))
        assert table["baseline"] == "default-pool"
        return {
            (m["measure"], m["operation"]): {a["arm"]: a for a in m["arms"]}["resilient"]
            for m in table["measures"]
        }

    def test_an_arm_that_recovers_sooner_is_better_and_pays_in_attempts(
        self, tmp_path: Path
    ) -> None:
        told = self.told(failover_run(tmp_path / "run"))
        interruption = told["interruption", "write"]
        assert interruption["against_baseline"] == "better"
        assert interruption["low"] <= 1.4 <= interruption["high"]
        assert told["failed", ""]["against_baseline"] == "better"
        assert told["retries", ""]["against_baseline"] == "worse"
        assert told["interruption", "read"]["against_baseline"] == "no difference shown"
        assert told["lost", ""]["against_baseline"] == "no difference shown"
        assert told["latency_p50", "write"]["against_baseline"] == "no difference shown"

    def test_equal_arms_show_no_difference_though_their_figures_differ(
        self, tmp_path: Path
    ) -> None:
        for seed in range(3):
            run = failover_run(tmp_path / str(seed), seed=seed)
            run.streams = [s for s in run.streams if s.arm != "resilient"]
            for stream in [s for s in run.streams if s.arm == "default-pool"]:
                run.traffic(
                    "resilient", stream.endpoint, stream.kind, per_s=50, until_s=25.0,
                    read_only=stream.read_only,
                )  # fmt: skip
            told = self.told(run)
            for measure, mine in told.items():
                if measure[0] != "interruption":  # at other instants: bounds of a few ms
                    assert mine["against_baseline"] == "no difference shown", measure

    def test_a_slower_arm_is_worse_in_latency(self, tmp_path: Path) -> None:
        run = failover_run(tmp_path / "run")
        run.streams = [s for s in run.streams if (s.arm, s.endpoint) != ("resilient", "cluster")]
        run.traffic("resilient", "cluster", Kind.WRITE, per_s=50, until_s=25.0, latency_s=0.02)
        told = self.told(run)
        assert told["latency_p50", "write"]["against_baseline"] == "worse"
        assert told["latency_p50", "read"]["against_baseline"] == "no difference shown"

    def test_an_arm_that_never_recovers_has_no_upper_bound(self, tmp_path: Path) -> None:
        run = failover_run(tmp_path / "run")
        run.streams = [s for s in run.streams if (s.arm, s.kind) != ("resilient", Kind.WRITE)]
        run.traffic(
            "resilient", "cluster", Kind.WRITE, per_s=50, until_s=25.0, read_only=(11.5, 99.0, 1.0)
        )
        mine = self.told(run)["interruption", "write"]
        assert mine["high"] is None
        assert mine["against_baseline"] == "worse"

    def test_what_one_arm_did_not_record_is_not_known(self, tmp_path: Path) -> None:
        run = failover_run(tmp_path / "run")
        run.streams = [s for s in run.streams if (s.arm, s.kind) != ("resilient", Kind.READ)]
        mine = self.told(run)["interruption", "read"]
        assert (mine["value"], mine["against_baseline"]) == (None, "not known")

    @pytest.mark.parametrize(
        ("count", "low", "high"), [(0, 0.0, 3.69), (1, 0.03, 5.57), (10, 4.80, 18.39)]
    )
    def test_byar_is_near_the_exact_poisson_interval(
        self, count: int, low: float, high: float
    ) -> None:
        told = counting(count, 1000)
        assert told.low == pytest.approx(low, abs=0.05)
        assert told.high == pytest.approx(high, abs=0.05)


class TestConnecting:
    """The windows of connecting come from the connections that clients tried to open."""

    def run(
        self, folder: Path, tries: list[tuple[float, str]], *, lasts_s: float = 0.02
    ) -> RunBuilder:
        run = outage_run(folder)

        def append(operations: OperationWriter) -> None:
            for second, error in tries:
                operations.connection(
                    event=ConnectionEvent.FAILED if error else ConnectionEvent.OPENED,
                    began_ns=at(second), at_ns=at(second + lasts_s), endpoint="cluster",
                    address=error or "127.0.0.2", backend_pid=0 if error else 100,
                )  # fmt: skip

        run.operation("arm", append)
        return run

    def judged(self, run: RunBuilder, limit_s: float = 3.0) -> Finding:
        check = Interruption(arm="arm", operation="connect", interruption_s_max=limit_s)
        (finding,) = check.judge(Recording(run.write()))
        return finding

    def test_many_tries_have_narrow_bounds(self, tmp_path: Path) -> None:
        tries = [(t / 10, REFUSED if 51 <= t < 71 else "") for t in range(10, 190)]
        finding = self.judged(self.run(tmp_path, tries))
        assert finding.verdict is Verdict.PASS
        assert finding.from_s == pytest.approx(5.0)
        assert finding.to_s == pytest.approx(7.12)
        assert finding.uncertainty_s == pytest.approx(0.22, abs=0.05)

    def test_few_tries_have_wide_ones_and_say_so(self, tmp_path: Path) -> None:
        finding = self.judged(self.run(tmp_path, [(0.5, ""), (5.2, REFUSED), (9.0, "")]))
        assert finding.verdict is Verdict.UNKNOWN
        assert "lies between the bounds" in finding.why
        assert finding.measured == pytest.approx(8.52)
        assert finding.uncertainty_s == pytest.approx(8.5, abs=0.05)

    def test_nobody_who_connects_shows_nothing(self, tmp_path: Path) -> None:
        run = self.run(tmp_path, [(0.5, ""), (18.0, "")])
        recording = Recording(run.write())
        (one,) = [f for f in felt(recording) if f.kind is Kind.CONNECT]
        assert one.window is None
        assert one.at_most_s == pytest.approx(13.02)
        finding = self.judged(self.run(tmp_path / "again", [(0.5, ""), (18.0, "")]))
        assert finding.verdict is Verdict.UNKNOWN
        assert "no connection was opened for 13.0" in finding.why

    def test_a_slow_connect_is_no_success_in_time(self, tmp_path: Path) -> None:
        tries = [(t / 10, "") for t in range(10, 190)]
        run = self.run(tmp_path, tries)
        run.operation(
            "arm",
            lambda operations: operations.connection(
                event=ConnectionEvent.OPENED, began_ns=at(6.05), at_ns=at(8.0), endpoint="cluster"
            ),
        )
        told = window_table(Recording(run.write()))["list"]
        (window,) = [w for w in told if w["operation"] == "connect"]
        assert window["errors"] == {"late": 1}

    def test_an_objective_on_connecting_needs_no_connection_just_before_the_fault(
        self, tmp_path: Path
    ) -> None:
        """The bounds of the window tell that nobody connected for long."""
        run = self.run(tmp_path, [(0.5, ""), (5.2, REFUSED), (9.0, "")])
        check = Interruption(arm="arm", operation="connect", interruption_s_max=10.0)
        assert judge(run.write(), [check]).verdict is Verdict.PASS

    def test_streams_of_operations_are_as_they_were(self, tmp_path: Path) -> None:
        recording = Recording(self.run(tmp_path, [(0.5, "")]).write())
        assert ("arm", "cluster", Kind.CONNECT) not in recording.streams
        assert set(recording.connecting) == {("arm", "cluster", Kind.CONNECT)}


class TestOverRepeats:
    """A quantile of the repeats is judged by how many of them passed or failed."""

    def judged(self, folder: Path, lengths: list[float], over: str, limit_s: float) -> Finding:
        run = RunBuilder(folder / "run")
        until_s = 6.0 * len(lengths) + 4.0
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=until_s)
        for number, length_s in enumerate(lengths):
            at_s = 3.0 + 6.0 * number
            run.outage("cluster", at_s + 0.1, at_s + 0.1 + length_s, Shape.REFUSE)
            run.fault(
                "failover-cluster", at_s, fault_id=number + 1, repeat=number + 1,
                effect_s=at_s + 0.5, ended_s=at_s + 1.0,
            )  # fmt: skip
        check = Interruption.model_validate(
            {"check": "interruption", "arm": "arm", "interruption_s_max": limit_s}
            | {"over_repeats": over}
        )
        (finding,) = check.judge(Recording(run.write()))
        return finding

    @pytest.mark.parametrize(
        ("lengths", "over", "verdict", "told"),
        [
            ([1.0] * 7 + [2.5], "median", "pass", "the median is within the limit with 95%"),
            ([1.0] * 6 + [2.5] * 2, "median", "unknown", "7 within it would show"),
            ([2.5] * 7 + [1.0], "median", "fail", "the median is longer than the limit"),
            ([1.0] * 4, "median", "unknown", "5 are needed to know the median"),
            ([1.0] * 8, "p90", "unknown", "29 are needed to know the p90"),
            ([2.5] * 4 + [1.0], "p90", "fail", "the p90 is longer than the limit"),
        ],
    )  # fmt: skip
    def test_by_how_many_were_within_the_limit(
        self, tmp_path: Path, lengths: list[float], over: str, verdict: str, told: str
    ) -> None:
        finding = self.judged(tmp_path, lengths, over, 2.0)
        assert finding.verdict is Verdict(verdict), finding.why
        assert told in finding.why

    def test_p90_of_29_good_repeats_passes(self, tmp_path: Path) -> None:
        finding = self.judged(tmp_path, [1.0] * 29, "p90", 2.0)
        assert finding.verdict is Verdict.PASS
        assert finding.measured is not None
        assert finding.uncertainty_s is not None
        assert 1.0 <= finding.measured <= 1.2
        assert finding.measured - finding.uncertainty_s <= 1.0

    def test_the_worst_is_judged_one_by_one(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=30.0, repeats=2)
        check = Interruption(arm="arm", interruption_s_max=3.0)
        assert check.over_repeats == "worst"
        assert len(check.judge(Recording(run.write()))) == 2

    def test_repeats_that_fall_into_one_interruption_are_one(self, tmp_path: Path) -> None:
        """The second is requested 1 s after service was back from the first."""
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=30.0)
        for number, at_s in enumerate((3.0, 6.0, 20.0), 1):
            run.outage("cluster", at_s + 0.1, at_s + 2.0, Shape.REFUSE)
            run.fault(
                "failover-cluster", at_s, fault_id=number, repeat=number,
                effect_s=at_s + 0.5, ended_s=at_s + 1.0,
            )  # fmt: skip
        recording = Recording(run.write())
        (told,) = over_repeats(felt(recording))
        assert (told["n"], told["shared"]) == (2, 1)
        assert told["worst"] == pytest.approx(5.0, abs=0.1)
        assert told["interval"]["confidence"] == pytest.approx(0.5)
        first, second, third = Interruption(arm="arm", interruption_s_max=9).judge(recording)
        for finding in (first, second):
            assert "it reaches over 2 injections, a longer settle_s parts them" in finding.why
        assert "settle_s" not in third.why

    def test_of_an_interruption_that_is_told_twice_the_worst_stays(self, tmp_path: Path) -> None:
        """The second of three repeats is cut short by the third: of it nothing is known."""
        run = RunBuilder(tmp_path / "run")
        run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=30.0)
        run.outage("cluster", 3.1, 8.0, Shape.REFUSE)
        for number, at_s in enumerate((3.0, 6.0, 7.0), 1):
            run.fault(
                "failover-cluster", at_s, fault_id=number, repeat=number,
                effect_s=at_s + 0.2, ended_s=at_s + 0.4,
            )  # fmt: skip
        history = run.write()
        check = Interruption(arm="arm", interruption_s_max=9)
        found = check.judge(Recording(history))
        assert [f.verdict for f in found] == [Verdict.PASS, Verdict.UNKNOWN, Verdict.PASS]
        (kept,) = distinct(found)
        assert kept is found[1]
        (median,) = check.model_copy(update={"over_repeats": "median"}).judge(Recording(history))
        assert median.why.startswith("0 of 1 repeats of failover-cluster were within 9 s")
        judged = json.dumps(judge(history, [check]).as_json())
        (history.folder / "verdict.json").write_text(judged, encoding="utf-8")
        (row,) = [row for row in tables.interruptions(load(history.folder)) if row.limit != MISSING]
        assert (row.verdict, row.repeats) == ("unknown", "")
        assert row.why == kept.why

    def test_an_interruption_without_an_end_leaves_the_median_without_a_bound(
        self, tmp_path: Path
    ) -> None:
        run = outage_run(tmp_path, until_s=30.0, repeats=2)
        run.outage("cluster", 17.0, 99.0, Shape.REFUSE)
        (told,) = [r for r in over_repeats(felt(Recording(run.write()))) if r["arm"] == "arm"
                   and r["operation"] == "write"]  # fmt: skip
        assert (told["n"], told["open"]) == (2, 1)
        assert told["median"] is None
        assert told["interval"]["high"] is None
        assert told["worst"] == pytest.approx(15.0, abs=0.1)
