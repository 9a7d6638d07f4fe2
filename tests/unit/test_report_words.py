"""Numbers, instants and the journal read the same everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fix_history import RunBuilder

from chaos.model.history import load_history
from reports import attempts, settings, story, words
from reports.read import load


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, words.MISSING),
        (0.0, "0 s"),
        (0.0004, "0.4 ms"),
        (0.0095, "9.5 ms"),
        (0.0254, "25 ms"),
        (0.0999, "0.100 s"),
        (1.6444, "1.644 s"),
        (39.694, "39.69 s"),
        (3600.0, "3600.0 s"),
    ],
)
def test_a_duration_has_about_four_digits(value: float | None, said: str) -> None:
    assert words.duration(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(1.9561, "+1.956 s"), (-0.05, "\u22120.050 s"), (-0.0001, "+0.000 s")]
)
def test_an_instant_has_a_sign(value: float, said: str) -> None:
    assert words.instant(value) == said


def test_counts_are_grouped_and_limits_are_as_written() -> None:
    assert words.count(1234567) == "1\u202f234\u202f567"
    assert words.limit(10.0, "s") == "10 s"
    assert words.limit(0, "lost writes") == "0 lost writes"
    assert words.quantity(0.9990, "ratio") == "0.999"
    assert words.limit(None, "s") == words.MISSING


def test_control_characters_are_shown_as_replaced() -> None:
    assert words.clean("a\x00b\x1b[31m\ud800\tc\n") == "a\ufffdb\ufffd[31m\ufffd\tc\n"


def test_the_journal_tells_of_a_fault_in_order(failover_folder: Path) -> None:
    said = [s.text for s in story.tell(load_history(failover_folder))]
    expected = [
        "The run began",
        "Injected failover-cluster on writer",
        "failover-cluster: the request was accepted, after 40 ms; target gameday-instance-1",
        "failover-cluster took effect, after 1.860 s",
        "failover-cluster: the cluster has recovered, after 3.100 s",
        "The run ended: completed, after 25.50 s",
    ]
    assert [text for text in said if text in expected] == expected


def test_what_went_wrong_is_marked(run_builder: RunBuilder) -> None:
    run_builder.event(1.0, "guard", guard="not-production", refused=True, why="tag missing")
    run_builder.event(
        2.0, "fault", fault_id="f", fault="noop", verb="effect", state="ended", effect="none"
    )
    run_builder.event(3.0, "steady", probe="w", when="after", ok=False, measured=0.5, why="low")
    run_builder.event(4.0, "call", operation="FailoverDBCluster", error_code="AccessDenied")
    run_builder.event(5.0, "something-new", field="value")
    told = {s.text: s for s in story.tell(run_builder.write())}
    assert told["Guard refused: not-production"].weight == "bad"
    assert told["Guard refused: not-production"].detail == "tag missing"
    assert told["noop had no effect"].weight == "bad"
    assert told["Steady state after: w did not hold"].weight == "bad"
    assert told["API call FailoverDBCluster was answered AccessDenied"].weight == "bad"
    assert "field value" in told


def test_errors_are_counted_by_sqlstate_with_their_first_and_last_instant(
    failover_folder: Path,
) -> None:
    report = load(failover_folder)
    kinds = attempts.errors(
        report.history.arms["default-pool"], report.history.origin_ns, merge_s=0.5
    )
    read_only = next(kind for kind in kinds if kind.sqlstate == "25006")
    assert read_only.name == "ReadOnlySqlTransaction"
    assert read_only.attempts == read_only.operations > 20
    assert 11.4 < read_only.first_s < 11.7
    assert 15.7 < read_only.last_s < 16.1
    assert read_only.instances == (("gameday-instance-1", read_only.attempts),)
    assert read_only.spans[0][0] == pytest.approx(read_only.first_s)


def test_guards_that_agreed_are_one_sentence_and_a_phase_is_told_once(
    run_builder: RunBuilder,
) -> None:
    for guard in ("opted-in", "engine", "healthy"):
        run_builder.event(1.0, "guard", guard=guard, refused=False, why=None)
    for _ in range(2):
        run_builder.event(2.0, "phase", phase="stopping traffic", state="started")
    said = [s.text for s in story.tell(run_builder.write())]
    assert "Guards agreed: opted-in, engine, healthy" in said
    assert said.count("Stopping traffic") == 1


def test_settings_stand_side_by_side_and_differences_come_first(failover_folder: Path) -> None:
    report = load(failover_folder)
    told = {
        "default-pool": {"description": "as it comes", "settings": {"pool": {}, "users": 20}},
        "resilient": {"description": "prepared", "settings": {"pool": {"size": 5.0}, "users": 20}},
    }
    history = replace(report.history, environment={**report.history.environment, "arms": told})
    report = replace(report, history=history)
    assert settings.arms(report) == [("default-pool", "as it comes"), ("resilient", "prepared")]
    first, second = settings.of_arms(report)
    assert (first.name, first.values, first.differs) == ("pool.size", (words.MISSING, "5"), True)
    assert (second.name, second.values, second.differs) == ("users", ("20", "20"), False)


def test_the_environment_is_told_in_rows(failover_folder: Path) -> None:
    report = load(failover_folder)
    members = {"i-1": {"role": "writer", "tier": 1}, "i-2": {"role": "reader", "tier": 2}}
    history = replace(
        report.history, environment={"members": members, "anchor": {}, "git": {"dirty": True}}
    )
    told = dict(settings.environment(replace(report, history=history)))
    assert told == {
        "members i-1": "role writer, tier 1",
        "members i-2": "role reader, tier 2",
        "git": "dirty yes",
    }
