"""A report shows and tells the stretch in which traffic and probes stood still."""

from __future__ import annotations

import pytest
from fix_history import RunBuilder

from chaos.model.history import History
from reports import lanes, story


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
