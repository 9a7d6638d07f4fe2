"""Injections that were under way at once: their periods, and what is judged of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_builder import RunBuilder, to_ns
from simulated_clients import Shape

from chaos.checks.assumptions import judge_assumptions
from chaos.checks.information import felt
from chaos.checks.injections import Injection, find_injections
from chaos.checks.instants import instants
from chaos.checks.interruption import Interruption
from chaos.checks.judge import judge
from chaos.checks.recording import Recording
from chaos.checks.repeats import over_repeats
from chaos.checks.restored import Restored
from chaos.checks.success_ratio import SuccessRatio
from chaos.model.operation import Kind
from chaos.model.record import Event
from chaos.model.verdict import Verdict

WRITES = Interruption(
    check="interruption", arm="arm", endpoint="cluster", operation="write", interruption_s_max=3
)
END_S = 40.0


def periods(run: RunBuilder) -> list[tuple[float, ...]]:
    """(requested, until, the group's first request, the group's end) of each injection."""
    found = find_injections(run.events, to_ns(END_S))
    return [
        tuple(
            (at - to_ns(0)) / 1e9
            for at in (i.requested_ns, i.until_ns, i.group.from_ns, i.group.until_ns)
        )
        for i in found
    ]


def faults(run: RunBuilder, *lives: tuple[float, float]) -> None:
    """Add injections that last from their request to the return of the members."""
    for number, (from_s, to_s) in enumerate(lives, 1):
        run.fault(
            "delete-reader",
            from_s,
            effect_s=from_s + 0.5,
            ended_s=to_s,
            fault_id=number,
            step=number,
        )


@pytest.mark.parametrize(
    ("lives", "told"),
    [
        ([(5, 9), (12, 15)], [(5, 12, 5, 12), (12, 40, 12, 40)]),
        ([(5, 20), (5.1, 9)], [(5, 40, 5, 40), (5.1, 40, 5, 40)]),
        ([(5, 20), (7, 9), (11, 15)], [(5, 40, 5, 40), (7, 11, 5, 40), (11, 40, 5, 40)]),
        (
            [(5, 20), (7, 9), (11, 25), (30, 33)],
            [(5, 30, 5, 30), (7, 11, 5, 30), (11, 30, 5, 30), (30, 40, 30, 40)],
        ),
        ([(5, 9), (9, 12)], [(5, 9, 5, 9), (9, 40, 9, 40)]),
    ],
    ids=["in turn", "at once", "within", "chained", "end to end"],
)
def test_a_period_ends_with_the_first_injection_after_recovery(
    tmp_path: Path, lives: list[Any], told: list[Any]
) -> None:
    run = RunBuilder(tmp_path / "run")
    faults(run, *lives)
    assert periods(run) == told


def test_one_that_was_given_up_ends_with_the_last_that_is_told_of_it(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    faults(run, (5, 9), (12, 15))
    run.events = [
        e
        for e in run.events
        if not (e.data["fault_id"] == 1 and e.data["verb"] == "recovered")
    ]  # fmt: skip
    assert periods(run)[0] == (5, 12, 5, 12)
    assert find_injections(run.events, to_ns(END_S))[0].group.over_ns is None


def test_a_request_that_was_sent_again_is_told(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    common = {"fault_id": 1, "fault": "failover-cluster", "step": 1, "repeat": 1}
    for at_s, data in (
        (5.0, {"verb": "inject", "state": "started"}),
        (5.5, {"verb": "inject", "state": "ended", "unanswered": "connection closed"}),
        (5.5, {"verb": "effect", "state": "started"}),
        (9.0, {"verb": "inject", "state": "started", "again": True}),
        (9.1, {"verb": "inject", "state": "ended", "again": True}),
        (11.0, {"verb": "effect", "state": "ended", "effect": "taken", "requests": 2}),
    ):
        run.event(at_s, "fault", **common, **data)
    (injection,) = find_injections(run.events, to_ns(END_S))
    assert (injection.requests, injection.unanswered) == (2, "connection closed")
    assert injection.accepted_ns == to_ns(9.1)
    assert injection.again_ns == (to_ns(9.0),)
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=END_S)
    recording = Recording(run.write())
    named = {i.name: i.at_s for i in instants(recording, recording.injections[0])}
    assert named["requested again"] == pytest.approx(9.0)
    assert judge(recording.history, ()).as_json()["faults"][0]["requests"] == 2


def staged(*effects: str) -> Injection:
    events = []
    for number, effect in enumerate(effects):
        for verb, state, data in (
            ("inject", "started", {}),
            ("inject", "ended", {}),
            ("effect", "ended", {"effect": effect}),
        ):
            fields = {"fault_id": 1, "fault": "scale-storm", "verb": verb, "state": state, **data}
            events.append(Event(at_ns=number, type="fault", data=fields))
    return find_injections(events, 100)[0]


def test_a_stage_without_effect_is_not_hidden_by_a_later_one() -> None:
    assert staged("taken", "taken").effect == "taken"
    assert staged("none", "taken").effect == "none"


def overlapping(tmp_path: Path) -> RunBuilder:
    """Writes are out from 11 to 13 s, while two faults are under way."""
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=END_S)
    run.outage("cluster", 11.0, 13.0, Shape.REFUSE)
    faults(run, (10, 25), (10.9, 15))
    run.fill(until_s=END_S)
    return run


def test_windows_are_told_for_each_injection_that_they_overlap(tmp_path: Path) -> None:
    recording = Recording(overlapping(tmp_path).write())
    found = WRITES.judge(recording)
    assert [f.verdict for f in found] == [Verdict.PASS, Verdict.PASS]
    assert [f.measured == pytest.approx(2.0, abs=0.2) for f in found] == [True, True]
    writes = [one for one in felt(recording) if one.arm == "arm" and one.kind is Kind.WRITE]
    assert [len(one.windows) for one in writes] == [1, 1]
    assert over_repeats(writes) == []  # Two steps are no two repeats of one.


def test_traffic_before_a_fault_is_traffic_before_all_that_were_under_way(tmp_path: Path) -> None:
    """The second fault begins in the outage that the first one caused."""
    run = overlapping(tmp_path)
    run.fault("reboot-instance", 12.9, effect_s=13.0, ended_s=16.0, fault_id=3, step=3)
    assumed = {f.check: f for f in judge_assumptions(Recording(run.write()), [WRITES])}
    assert assumed["assumption/traffic"].verdict is Verdict.PASS


def test_a_fault_after_an_outage_that_is_no_longer_its_group_still_needs_traffic(
    tmp_path: Path,
) -> None:
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=END_S)
    run.outage("cluster", 11.0, 20.0, Shape.REFUSE)
    faults(run, (10, 12), (18, 25))
    found = {f.check: f for f in judge_assumptions(Recording(run.write()), [WRITES])}
    assert "before delete-reader 2" in found["assumption/traffic"].why


def test_what_recovered_is_looked_at_once_all_that_overlapped_have(tmp_path: Path) -> None:
    check = SuccessRatio(
        check="success-ratio",
        arm="arm",
        endpoint="cluster",
        operation="write",
        over="recovered",
        success_ratio_min=1.0,
    )
    (finding,) = check.judge(Recording(overlapping(tmp_path).write()))
    assert finding.verdict is Verdict.PASS
    assert finding.from_s == pytest.approx(25.0)
    assert finding.to_s == pytest.approx(40.0)


def test_the_last_to_recover_decides_when_the_cluster_must_have_been_seen(tmp_path: Path) -> None:
    """The first of two outlasts the second, and nobody looked at the cluster after it."""
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=5, until_s=END_S)
    faults(run, (10, 35), (11, 15))
    run.topology(0.1, run.members[0])
    run.alive(until_s=30.0)
    (finding,) = Restored(check="restored").judge(Recording(run.write()))
    assert (finding.verdict, finding.why) == (
        Verdict.UNKNOWN,
        "the cluster was not observed after the last fault",
    )


@pytest.mark.parametrize("missing", [0, 1])
def test_every_injection_of_a_composite_must_have_been_made(tmp_path: Path, missing: int) -> None:
    run = overlapping(tmp_path)
    parallel = {"do": "parallel", "steps": [{"fault": "delete-reader"}] * 2}
    run.experiment = {"method": [parallel, *[{"fault": "noop"}] * missing]}
    found = [f.why for f in judge_assumptions(Recording(run.write()), [WRITES])]
    told = "only 2 of 3 declared injections were made"
    assert (told in found) == bool(missing)
