"""A report shows and tells the stretch in which traffic and probes stood still."""

from __future__ import annotations

from pathlib import Path

import pytest
from fix_history import RunBuilder, failover_run
from fix_report import write_verdict

from chaos.model.history import History
from reports import lanes, story
from reports.html import page
from reports.read import load


@pytest.fixture
def paused(run_builder: RunBuilder) -> History:
    """A run whose load stands still from 5 to 12 s."""
    for at_s, state in ((5.0, "pausing"), (5.4, "paused"), (12.0, "resumed")):
        run_builder.event(at_s, "load", state=state)
    return run_builder.write()


def test_the_timeline_has_the_stretch(paused: History) -> None:
    (segment,) = lanes.quiet_segments(paused, 20.0)
    assert (segment.from_s, segment.to_s) == (pytest.approx(5.0), pytest.approx(12.0))
    assert "silence shows nothing" in segment.note


def test_a_run_whose_load_never_stood_still_has_none(run_builder: RunBuilder) -> None:
    assert lanes.quiet_segments(run_builder.write(), 20.0) == ()


def test_the_story_tells_it(paused: History) -> None:
    told = [sentence.text for sentence in story.tell(paused) if "raffic" in sentence.text]
    assert told == [
        "Traffic and probes finish what is under way, and stand still",
        "Traffic and probes stand still, without a session",
        "Traffic and probes go on",
    ]


def test_the_page_shows_it_only_where_there_is_one(tmp_path: Path) -> None:
    for name in ("paused", "not"):
        run = failover_run(tmp_path / name)
        if name == "paused":
            for at_s, state in ((2.0, "pausing"), (2.4, "paused"), (4.0, "resumed")):
                run.event(at_s, "load", state=state)
        shown = "silence shows nothing" in page(load(write_verdict(run.write())))
        assert shown is (name == "paused")
