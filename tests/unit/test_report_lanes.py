"""Lanes tell what was seen, where it was in doubt, and where nobody looked."""

from __future__ import annotations

from itertools import pairwise

import pytest
from fix_history import RunBuilder

from chaos.model.history import History
from reports import lanes
from reports.lanes import Segment


def role_segments(history: History, *, end_s: float = 20.0) -> list[tuple[str, float, float]]:
    seen = [o for o in history.of_kind("role") if o.subject == "gameday-instance-1"]
    found = lanes.segments(seen, history, start_s=0.0, end_s=end_s)
    return [(s.text, round(s.from_s, 3), round(s.to_s, 3)) for s in found]


def test_a_change_lies_between_the_last_old_and_the_first_new_sample(
    run_builder: RunBuilder,
) -> None:
    run_builder.observe(0.0, "role", "gameday-instance-1", "writer")
    run_builder.observe(10.5, "role", "gameday-instance-1", "reader", width_s=0.5)
    assert role_segments(run_builder.write()) == [
        ("writer", 0.0, 10.0),
        (lanes.CHANGING, 10.0, 10.5),
        ("reader", 10.5, 20.0),
    ]


def test_what_came_before_the_first_sample_is_not_guessed(run_builder: RunBuilder) -> None:
    run_builder.observe(3.0, "role", "gameday-instance-1", "writer")
    assert role_segments(run_builder.write())[0] == (lanes.UNSEEN, 0.0, 3.0)


def test_a_stretch_in_which_no_observer_spoke_is_not_observed(run_builder: RunBuilder) -> None:
    run_builder.observe(0.0, "role", "gameday-instance-1", "writer")
    for second in (0, 1, 2, 3, 12, 13):
        run_builder.observe(float(second), "alive", "probes", str(second))
    assert role_segments(run_builder.write(), end_s=13.0) == [
        ("writer", 0.0, 3.0),
        (lanes.UNSEEN, 3.0, 12.0),
        ("writer", 12.0, 13.0),
    ]


def test_the_segments_of_a_lane_leave_no_hole(failover_history: History) -> None:
    for kind in ("role", "dns", "writer", "status"):
        for subject in lanes.subjects(failover_history, kind):
            seen = [o for o in failover_history.of_kind(kind) if o.subject == subject]
            found = lanes.segments(seen, failover_history, start_s=0.0, end_s=25.0)
            assert found[0].from_s == 0.0
            assert found[-1].to_s == 25.0
            for before, after in pairwise(found):
                assert after.from_s - before.to_s == pytest.approx(0, abs=0.006)


def test_a_lane_without_observations_is_one_unseen_stretch(failover_history: History) -> None:
    (only,) = lanes.segments([], failover_history, start_s=1.0, end_s=2.0)
    assert only == Segment(from_s=1.0, to_s=2.0, text=lanes.UNSEEN, style="unseen")


def test_an_endpoint_that_answers_in_turn_becomes_one_row_an_answer() -> None:
    found = [
        Segment(from_s=float(n), to_s=n + 1.0, text=f"instance-{n % 2}", style="value")
        for n in range(40)
    ]
    assert lanes.flaps(found)
    first, second = lanes.rows(found, merge_s=0.5)
    assert (first.text, len(first.spans)) == ("instance-0", 20)
    assert second.spans[0] == (1.0, 2.0)
    (merged, _) = lanes.rows(found, merge_s=1.5)
    assert merged.spans == ((0.0, 39.0),)


def test_a_failover_s_few_answers_stay_segments(failover_history: History) -> None:
    seen = [o for o in failover_history.of_kind("dns") if o.subject == "cluster"]
    assert not lanes.flaps(lanes.segments(seen, failover_history, start_s=0.0, end_s=25.0))


def test_the_verbs_of_a_fault_are_segments(failover_history: History) -> None:
    (life,) = lanes.fault_segments(failover_history, 25.0)
    assert (life.fault, life.place) == ("failover-cluster", "")
    assert [v.text for v in life.verbs] == ["inject", "effect", "hold", "recover", "recovered"]


def test_a_verb_that_never_ended_reaches_to_the_end(run_builder: RunBuilder) -> None:
    run_builder.event(
        5.0, "fault", fault_id="f", fault="reboot-instance", verb="effect", state="started"
    )
    (life,) = lanes.fault_segments(run_builder.write(), 9.0)
    (verb,) = life.verbs
    assert (verb.from_s, verb.to_s) == (5.0, 9.0)
    assert "had not ended" in verb.note


def test_a_request_that_was_sent_again_lies_upon_the_wait_for_the_effect(
    run_builder: RunBuilder,
) -> None:
    for at_s, verb, state, more in (
        (5.0, "effect", "started", {}),
        (6.0, "inject", "started", {"again": True}),
        (6.5, "inject", "ended", {"again": True}),
        (8.0, "effect", "ended", {}),
    ):
        fields = {"fault_id": "f", "fault": "reboot-instance", "verb": verb, "state": state}
        run_builder.event(at_s, "fault", **fields, **more)
    (life,) = lanes.fault_segments(run_builder.write(), 9.0)
    assert [(v.text, v.from_s) for v in life.verbs] == [("effect", 5.0), ("inject again", 6.0)]
    assert life.span == (5.0, 8.0)


def test_what_overlaps_lies_in_rows_of_its_own() -> None:
    assert lanes.apart([(0, 10), (1, 4), (4, 6), (10, 12)]) == [[0, 3], [1, 2]]
    assert lanes.apart([]) == []


def test_bands_are_the_time_in_which_anything_was_under_way() -> None:
    assert list(lanes.merged([(4, 6), (0, 3), (1, 2), (6, 7)])) == [(0, 3), (4, 7)]
