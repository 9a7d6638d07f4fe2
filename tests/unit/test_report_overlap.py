"""Faults that were under way at once, and requests sent again, in page and terminal."""

from __future__ import annotations

import io

import pytest
from fix_report import write_verdict
from rich.console import Console
from run_builder import RunBuilder
from simulated_clients import Shape

from chaos.model.operation import Kind
from reports import story, tables, timeline
from reports.html import page
from reports.read import Report, load
from reports.text import summary

END_S = 30.0


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two faults in parallel, one of them requested twice, and one by itself after them."""
    run = RunBuilder(tmp_path_factory.mktemp("overlap") / "run")
    run.experiment = {
        "version": 1,
        "name": "overlap",
        "claim": "c",
        "method": [{"fault": "noop"}],
        "objectives": [{"check": "restored"}],
    }
    run.traffic("arm", "cluster", Kind.WRITE, per_s=20, until_s=END_S)
    run.outage("cluster", 6.0, 8.0, Shape.REFUSE)
    run.fault("delete-reader", 5.0, ended_s=15.0, fault_id=1, place="1 of parallel 1")
    run.fault("reboot-instance", 5.1, ended_s=9.0, fault_id=2, step=2, place="2 of parallel 1")
    run.fault("delete-reader", 20.0, ended_s=22.0, fault_id=3, step=3)
    common = {"fault_id": 2, "fault": "reboot-instance", "verb": "inject", "again": True}
    run.event(5.8, "fault", **common, place="2 of parallel 1", state="started")
    run.event(5.9, "fault", **common, place="2 of parallel 1", state="ended")
    for event in run.events:
        if event.data.get("fault_id") == 2 and event.data.get("effect"):
            event.data["requests"] = 2  # type: ignore[index]
    run.event(
        4.0,
        "drawn",
        name="random 1",
        seed=7,
        within_s=60,
        steps=[{"place": "1 of random 1", "after_s": 12.5}],
    )
    run.fill(until_s=END_S)
    return load(write_verdict(run.write()))


def test_each_step_has_a_lane_and_the_bands_are_what_they_cover(report: Report) -> None:
    drawn = timeline.build(report, {})
    found = [(lane.title, lane.unit) for lane in drawn.groups[0].lanes if lane.kind == "segments"]
    assert found == [
        ("delete-reader", "1 of parallel 1"),
        ("reboot-instance", "2 of parallel 1"),
        ("delete-reader", ""),
    ]
    assert [band.text for band in drawn.bands] == [
        "delete-reader, reboot-instance",
        "delete-reader",
    ]
    assert [band.b - band.a for band in drawn.bands] == [10_000, 2_000]
    marks = [lane for lane in drawn.groups[0].lanes if lane.kind == "marks"]
    assert [len(lane.marks) > 2 for lane in marks] == [True, True]
    assert "reboot-instance (2 of parallel 1)" in marks[1].full_title
    assert len({lane.key for lane in drawn.groups[0].lanes}) == len(drawn.groups[0].lanes)


def test_page_and_terminal_say_where_a_step_stood_and_how_often_it_was_requested(
    report: Report,
) -> None:
    html = page(report)
    assert "2 of parallel 1; 2 of 3" in html
    assert "It was requested twice." in html
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary(report.history.folder))
    assert "reboot-instance (2 of parallel 1): asked for" in console.export_text()


def test_a_window_that_several_faults_share_is_drawn_and_counted_once(report: Report) -> None:
    findings = [
        f
        for f in report.judgement.findings
        if (f.check, f.arm, f.endpoint) == ("interruption", "arm", "cluster")
    ]
    assert [bool(f.measured) for f in findings] == [True, True, False]
    lanes = [
        lane
        for group in timeline.build(report, {}).groups
        if group.key == "arm-arm"
        for lane in group.lanes
        if lane.title.startswith("write")
    ]
    assert [len(lane.windows) for lane in lanes] == [1] * len(lanes)
    row = next(r for r in tables.interruptions(report) if (r.arm, r.endpoint) == ("arm", "cluster"))
    assert row.repeats.startswith("worst of 2, ")
    assert len(row.repeat_shares) == 2


def test_the_journal_tells_of_second_requests_and_of_drawn_instants(report: Report) -> None:
    told = [sentence.text for sentence in story.tell(report.history)]
    assert "Requested reboot-instance (2 of parallel 1) again: nothing had come of it" in told
    assert any("took effect, requested 2 times" in text for text in told)
    assert "Drew the instants of random 1 from seed 7: 1 of random 1 at +12.5 s" in told
