"""The sections on windows, brown-outs, availability, retries and differences, on page and terminal."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fix_history import ORIGIN_NS, RunBuilder, Shape, failover_run
from fix_report import write_verdict
from rich.console import Console

from chaos.clock import NS
from chaos.model.operation import ConnectionEvent, Kind, OperationWriter
from reports import availability, differences, html, naming, retries, tables, text, windows
from reports.read import Report, load
from reports.words import MISSING, share

TIMES = "\N{MULTIPLICATION SIGN}"


def said(report: Report) -> str:
    """Return the page's words, without its tags."""
    body = html.page(report).partition("<main>")[2].partition("<script")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def plain(folder: Path) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(text.summary(folder))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def flapping(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A failover after which writes fail once more, and reads are slow for a while."""
    run = failover_run(tmp_path_factory.mktemp("service") / "run")
    run.outage("cluster", 20.0, 21.2, Shape.REFUSE)
    run.outage("reader", 22.0, 22.8, Shape.FREEZE)

    def connections(operations: OperationWriter) -> None:
        for at_s, error in ((1.0, ""), (10.5, "----- ConnectionRefused"), (12.0, "")):
            at_ns = ORIGIN_NS + round(at_s * NS)
            operations.connection(
                event=ConnectionEvent.FAILED if error else ConnectionEvent.OPENED,
                began_ns=at_ns, at_ns=at_ns + NS // 100, endpoint="cluster", address=error,
            )  # fmt: skip
        operations.connection(
            event=ConnectionEvent.OPENED, began_ns=ORIGIN_NS + NS, at_ns=ORIGIN_NS + NS + 1,
            endpoint="reader",
        )  # fmt: skip

    run.operation("resilient", connections)
    return load(write_verdict(run.write()))


class TestWindows:
    """Every stretch is told by itself."""

    def test_each_window_has_its_line_with_both_successes(self, flapping: Report) -> None:
        rows = [
            r
            for r in windows.windows(flapping)
            if (r.arm, r.stream) == ("resilient", "write cluster")
        ]
        assert len(rows) == 2
        for row in rows:
            assert row.fault == "failover-cluster 1"
            assert row.measured.startswith("at most 1.")
            assert row.errors.startswith(f"late {TIMES}")
            assert row.first_success.startswith("+")
        assert "Every window" in said(flapping)

    def test_the_arms_come_first_in_the_experiment_s_order(self, flapping: Report) -> None:
        arms = list(dict.fromkeys(row.arm for row in windows.windows(flapping)))
        assert arms == ["default-pool", "resilient", "probes"]

    def test_a_page_holds_the_longest_of_very_many(self, flapping: Report) -> None:
        told = flapping.judgement.told
        few = told["windows"]["list"]
        many = [{**few[0], "measured": n / 100, "to": None if n == 7 else 1.0} for n in range(300)]
        changed = {**told, "windows": {"list": many, "left_out": 5}}
        report = replace(flapping, judgement=replace(flapping.judgement, told=changed))
        assert len(windows.windows(report)) == 200
        assert any(row.open_ended for row in windows.windows(report))
        assert windows.left_out(report) == 105

    def test_what_did_not_end_has_no_end(self, stuck_pool_folder: Path) -> None:
        report = load(stuck_pool_folder)
        row = next(r for r in windows.windows(report) if r.open_ended)
        assert (row.arm, row.to, row.stable_success) == ("default-pool", "not seen", "not seen")
        assert row.measured.startswith("≥ ")

    def test_brownouts_stand_beside_and_say_how_slow(self, flapping: Report) -> None:
        (row,) = [r for r in windows.brownouts(flapping) if r.arm == "resilient"]
        assert row.stream == "read reader"
        assert row.errors.startswith("slowest 0.7")
        assert "later than 0.250 s after their intended start" in said(flapping)

    def test_who_had_no_need_to_connect_is_not_measured(self, flapping: Report) -> None:
        rows = {
            (r.arm, r.endpoint): r
            for r in tables.interruptions(flapping)
            if r.operation == "connect"
        }
        assert rows["resilient", "reader"].measured == tables.NOT_MEASURED
        assert rows["resilient", "reader"].at_least == ""
        assert rows["resilient", "cluster"].measured.startswith("at most 11.0")
        folder = flapping.history.folder
        assert "not measured" not in plain(folder)
        assert "connect cluster" in plain(folder)
        assert re.search(r"^ *resilient +connect cluster", plain(folder), re.MULTILINE)

    def test_repeats_have_an_interval_with_its_confidence(self, repeated_folder: Path) -> None:
        report = load(repeated_folder)
        rows = [r for r in windows.over_repeats(report) if r.arm == "resilient"]
        writes = next(r for r in rows if r.stream == "write cluster")
        assert (writes.n, writes.confidence) == (3, "0.75")
        assert writes.median.startswith("1.4")
        assert "the worst of n bounds no other" in said(report)
        assert {r.left_out for r in rows} == {MISSING}

    def test_repeats_that_do_not_count_are_told_with_why(self, repeated_folder: Path) -> None:
        report = load(repeated_folder)
        for row in report.judgement.told["statistics"]["interruption"]:
            row.update(without_effect=2, shared=1)
        assert {r.left_out for r in windows.over_repeats(report)} == {
            "2 without effect, 1 within one before"
        }
        assert "2 without effect" in said(report)

    def test_a_quantile_that_was_asked_for_is_called_one(self, tmp_path: Path) -> None:
        run = failover_run(tmp_path / "run", repeats=3)
        asked = {**run.experiment["objectives"][0], "over_repeats": "median"}
        run.experiment = {**run.experiment, "objectives": [asked]}
        report = load(write_verdict(run.write()))
        (row,) = [r for r in tables.interruptions(report) if r.limit != MISSING]
        assert row.measured.startswith("median at most 1.4")
        assert (row.verdict, row.from_) == ("unknown", MISSING)
        assert "5 are needed to know the median" in row.why

    def test_one_run_has_no_statistics(self, flapping: Report) -> None:
        assert windows.over_repeats(flapping) == ()
        assert "Over the repeats" not in said(flapping)
        assert "one measurement, not a distribution" in said(flapping)

    def test_a_repeat_that_did_not_end_leaves_no_median_in_the_table(self, tmp_path: Path) -> None:
        run = failover_run(tmp_path / "run", repeats=2)
        run.outage("cluster", 27.0, 99.0, Shape.REFUSE)
        report = load(write_verdict(run.write()))
        row = next(r for r in tables.interruptions(report) if r.arm == "resilient")
        assert row.repeats == "worst of 2, 1 not recovered"


class TestAvailability:
    """Shares are cut off, never rounded up to more than was served."""

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            (None, MISSING), (0.0, "0 %"), (1.0, "100 %"), (0.9, "90.00 %"), (0.57, "57.00 %"),
            (0.99996, "99.996 %"), (0.9999999, "99.99999 %"), (0.123456, "12.34 %"),
        ],
    )  # fmt: skip
    def test_a_share_is_never_more_than_it_is(self, value: float | None, told: str) -> None:
        assert share(value) == told

    def test_a_row_adds_up_and_names_the_worst_fault(self, flapping: Report) -> None:
        rows = {(r.arm, r.stream): r for r in availability.rows(flapping)}
        row = rows["default-pool", "write cluster"]
        assert row.bad
        assert row.why.endswith(" failed")
        assert row.worst_fault.endswith("failover-cluster 1")
        assert not rows["resilient", "read reader"].bad
        assert rows["resilient", "read reader"].ratio == "100 %"


class TestRetriesAndDifferences:
    """The client section and the terminal's lines."""

    def test_the_ledger_tells_cost_and_what_users_saw(self, flapping: Report) -> None:
        rows = {(r.arm, r.stream): r for r in retries.rows(flapping, over="run")}
        prepared, plain_pool = (
            rows["resilient", "write cluster"],
            rows["default-pool", "write cluster"],
        )
        assert f"after ConnectionRefused {TIMES}" in dict(prepared.details)["retries"]
        assert "more attempts" in dict(prepared.details)["retries"]
        assert (prepared.failed, plain_pool.absorbed) == ("0", "0")
        assert plain_pool.bad
        assert "25006 ReadOnlySqlTransaction" in dict(plain_pool.details)["users saw"]
        over = {row.over for row in retries.rows(flapping, over="fault")}
        assert over == {"failover-cluster 1"}

    def test_page_and_terminal_hold_the_arms_against_the_first(self, flapping: Report) -> None:
        rows = {(row.name, row.about): row for row in differences.rows(flapping)}
        first, second = rows["Longest interruption", "write cluster"].cells
        assert (first.against, second.against) == ("", "better")
        page = said(flapping)
        assert (
            "Against default-pool, under the same fault: one run, one fault, no distribution"
            in page
        )
        assert page.index("What each arm costs and saves") < page.index("The retry ledger")
        told = plain(flapping.history.folder)
        assert "resilient against default-pool: better in longest interruption (write cluster)" in (
            re.sub(r"\s+", " ", told)
        )
        assert "operations failed for users" in told

    def test_one_arm_alone_is_compared_with_nothing(self, tmp_path: Path) -> None:
        run = RunBuilder(tmp_path / "run", experiment={"objectives": [], "name": "alone"})
        run.traffic("alone", "cluster", Kind.WRITE, per_s=50, until_s=20)
        run.fault("noop", 5.0)
        history = run.write()
        (history.folder / "verdict.json").write_text(json.dumps({"verdict": "pass"}))
        assert "What each arm costs and saves" not in said(load(history.folder))

    def test_a_verdict_from_before_there_was_a_ledger_says_how_to_get_one(
        self, tmp_path: Path
    ) -> None:
        folder = write_verdict(failover_run(tmp_path / "run").write())
        told = json.loads((folder / "verdict.json").read_text())
        for key in ("arms", "windows", "brownouts", "availability", "retries"):
            told[key] = None
        (folder / "verdict.json").write_text(json.dumps(told))
        assert "The retry ledger is not in verdict.json: gameday judge writes it." in said(
            load(folder)
        )
        assert "operations failed for users" not in plain(folder)

    def test_errors_beyond_a_few_are_summed_up(self) -> None:
        counted = {f"4000{n} Error{n}": 10 - n for n in range(6)}
        told = naming.errors(counted, at_most=2)
        assert told == f"40000 Error0 {TIMES}10, 40001 Error1 {TIMES}9, others {TIMES}26"
        assert naming.errors({}) == ""
