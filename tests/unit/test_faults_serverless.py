"""The Serverless faults on a cluster in memory: what counts as an effect, what is refused and undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fix_rds import FakeRds, VirtualClock, topology
from pydantic import ValidationError

from chaos.errors import GuardRefused, RunInterrupted
from chaos.faults.acu import Minute
from chaos.faults.base import Before, Context, Fault
from chaos.faults.force_scale_up import ForceScaleUp
from chaos.faults.pause_and_resume import PauseAndResume
from chaos.faults.scale_capacity import ScaleCapacity
from chaos.faults.scale_storm import ScaleStorm
from chaos.model.record import Event, read_events
from chaos.model.topology import Capacity, GlobalCluster, GlobalMember, Topology
from chaos.run.journal import Journal
from chaos.run.recovery import left_by
from chaos.run.restore import replay
from chaos.run.session import FaultSession
from chaos.safety.undo import SetCapacity, undo_from_json
from chaos.safety.undo.base import State

FIRST = Capacity(min_acu=1, max_acu=8)
STORM = ScaleStorm.model_validate(
    {
        "series": [
            {"min_acu": 2, "max_acu": 4, "hold_s": 5},
            {"min_acu": 0.5, "max_acu": 1, "hold_s": 5},
            {"min_acu": 8, "max_acu": 16},
        ],
        "settle_s": 0,
    }
)


def serverless(**changes: Any) -> Topology:
    """A cluster of three instances that all have a capacity."""
    plain = topology()
    members = tuple(replace(m, instance_class="db.serverless") for m in plain.members)
    return replace(plain, **{"members": members, "engine_version": "16.4", **changes})


@dataclass
class Scaling(FakeRds):
    """Its instances have a capacity; `minutes` holds one that does not follow the bounds."""

    state: Topology = field(default_factory=serverless)
    acu: dict[str, float] = field(default_factory=lambda: {"i1": 2.0, "i2": 2.0, "i3": 2.0})
    minutes: dict[str, Minute] = field(default_factory=dict)
    strangers: list[tuple[Any, ...]] = field(default_factory=list)

    def acu_now(self, statistic: str = "Average") -> Mapping[str, float]:
        told = {
            name: minute.lowest if statistic == "Minimum" else minute.highest
            for name, minute in self.minutes.items()
        }
        return {**self.acu, **told}

    def query(self, endpoint: str, statement: str) -> list[tuple[Any, ...]]:
        return self.strangers if "pg_stat_activity" in statement else []

    def bounds(self) -> list[Capacity]:
        """The bounds that were requested, in order."""
        return [argument for call, argument in self.calls if call == "set_capacity"]


class Standing:
    """A load that pauses the instances some time after it stands still, and wakes them again."""

    def __init__(self, rds: Scaling, after_s: float | None = 4.0) -> None:
        self.rds = rds
        self.after_s = after_s
        self.stands = False

    def pause(self) -> None:
        self.rds.calls.append(("pause", None))
        self.stands = True
        if self.after_s is not None:
            self.rds.clock.after(self.after_s, self._lie_down)

    def resume(self) -> None:
        self.rds.calls.append(("resume", None))
        self.stands = False
        self.rds.acu = dict.fromkeys(self.rds.acu, 2.0)

    def _lie_down(self) -> None:
        if self.stands:
            self.rds.acu = dict.fromkeys(self.rds.acu, 0.0)


@pytest.fixture
def rds(clock: VirtualClock) -> Scaling:
    return Scaling(clock)


@pytest.fixture
def journal(tmp_path: Path, clock: VirtualClock) -> Journal:
    return Journal(tmp_path / "journal.jsonl", clock, lambda _: None)


def inject(
    fault: Fault, rds: Scaling, journal: Journal, load: Standing | None = None
) -> list[Event]:
    FaultSession(
        fault=fault,
        fault_id=1,
        step=1,
        repeat=1,
        run="run",
        first=rds.state,
        context=Context(rds, rds, None, load=load),
        restorer=rds,
        journal=journal,
        clock=rds.clock,
    ).carry_out()
    return read_events(journal._path)


def effects(events: list[Event]) -> list[Mapping[str, Any]]:
    return [e.data for e in events if e.data.get("verb") == "effect" and "effect" in e.data]


def before(state: Topology, fault: Fault) -> Before:
    return Before(topology=state, first=state, targets=fault.resolve(state), key="k", seen={})


@pytest.mark.parametrize(
    ("minute", "old", "proves"),
    [
        (Minute(1, 6), Minute(5, 6), "down"),  # It has been down to 1 since.
        (Minute(1, 6), Minute(1, 6), ""),  # It may have been before.
        (Minute(1, 2), Minute(1, 6), "down"),  # Another minute, all of it below.
        (Minute(4, 6), Minute(4, 6), "up"),
        (Minute(3, 6), Minute(1, 2), "up"),
        (Minute(3, 3), None, "up"),
        (Minute(1, 6), None, ""),
    ],
)
def test_a_minute_that_began_before_proves_only_what_it_did_not_show(
    minute: Minute, old: Minute | None, proves: str
) -> None:
    found = {"down": minute.came_down_to(2, old), "up": minute.came_up_to(3, old)}
    assert [name for name, so in found.items() if so] == proves.split()


def test_bounds_count_once_the_capacity_has_followed(rds: Scaling, journal: Journal) -> None:
    events = inject(ScaleCapacity(min_acu=4, max_acu=6, settle_s=0), rds, journal)
    assert effects(events)[0]["effect"] == "taken"
    assert rds.bounds() == [Capacity(min_acu=4, max_acu=6), FIRST]
    assert rds.state.capacity == FIRST


def test_a_capacity_that_does_not_follow_is_no_effect_and_is_named(
    rds: Scaling, journal: Journal
) -> None:
    rds.minutes = {"i2": Minute(2, 2)}
    fault = ScaleCapacity(min_acu=4, max_acu=6, settle_s=0, effect_timeout_s=90)
    (effect,) = effects(inject(fault, rds, journal))
    assert effect["effect"] == "none"
    assert effect["error"].endswith("; CloudWatch shows i2 at 2 ACU")
    assert effect["requests"] == 1, "bounds that show are not requested again"


def test_a_forgotten_change_is_sent_again_and_told(rds: Scaling, journal: Journal) -> None:
    rds.ignores = {"set_capacity"}
    fault = ScaleCapacity(min_acu=4, max_acu=6, settle_s=0, effect_timeout_s=90)
    (effect,) = effects(inject(fault, rds, journal))
    assert (effect["effect"], effect["requests"]) == ("none", 2)
    assert effect["error"].endswith("; the API shows 1 to 8 ACU")


def test_the_idle_time_is_restored_with_the_bounds(rds: Scaling, journal: Journal) -> None:
    first = Capacity(min_acu=0, max_acu=8, pause_after_s=900)
    rds.state = serverless(capacity=first)
    fault = ScaleCapacity(min_acu=0, max_acu=8, pause_after_s=300, settle_s=0)
    inject(fault, rds, journal)
    assert rds.bounds() == [Capacity(min_acu=0, max_acu=8, pause_after_s=300), first]
    assert rds.state.capacity == first


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"min_acu": 0.7, "max_acu": 2}, "multiple of 0.5"),
        ({"min_acu": 1, "max_acu": 2.25}, "multiple of 0.5"),
        ({"min_acu": 0.5, "max_acu": 0.5}, "greater than or equal to 1"),
        ({"min_acu": 4, "max_acu": 2}, "min_acu must not be above max_acu"),
        ({"min_acu": -0.5, "max_acu": 2}, "greater than or equal to 0"),
        ({"min_acu": 1, "max_acu": 256.5}, "less than or equal to 256"),
        ({"min_acu": 1, "max_acu": 2, "pause_after_s": 300}, "needs min_acu: 0"),
        ({"min_acu": 0, "max_acu": 2, "pause_after_s": 299}, "greater than or equal to 300"),
        ({"min_acu": 0, "max_acu": 2, "pause_after_s": 86401}, "less than or equal to 86400"),
    ],
)
def test_bounds_that_aws_has_not_are_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ScaleCapacity.model_validate(fields)


def test_a_storm_must_change_something_each_time() -> None:
    same = {"min_acu": 1, "max_acu": 2}
    with pytest.raises(ValidationError, match="entry 2 of series has the bounds"):
        ScaleStorm.model_validate({"series": [same, same]})


MIXED = serverless(members=topology().members)
OLD = {"capacity": FIRST, "engine_version": "15.6"}


@pytest.mark.parametrize(
    ("fault", "state", "why"),
    [
        (ScaleCapacity(min_acu=1, max_acu=8), serverless(), "already scales between 1 and 8"),
        (ScaleCapacity(min_acu=1, max_acu=2), serverless(capacity=None), "has no Serverless v2"),
        (
            ScaleCapacity(min_acu=1, max_acu=2),
            serverless(members=topology().members[:2]),
            "no instance of cluster c1 is db.serverless; they are db.r6g.large",
        ),
        (ScaleCapacity(min_acu=0, max_acu=2), serverless(**OLD), "15.6, which cannot pause"),
        (
            ScaleCapacity(min_acu=1, max_acu=129),
            serverless(serverless_platform="1"),
            "platform 1, whose limit is 128 ACU",
        ),
        (STORM, serverless(capacity=Capacity(min_acu=2, max_acu=4)), "the first bounds of series"),
        (ForceScaleUp(target="i1"), MIXED, "i1 is db.r6g.large, not db.serverless"),
        (PauseAndResume(), MIXED, "i1, i2 of cluster c1 is provisioned"),
        (PauseAndResume(), serverless(**OLD), "15.6, which cannot pause"),
    ],
)
def test_a_cluster_that_cannot_is_refused(fault: Fault, state: Topology, why: str) -> None:
    with pytest.raises(GuardRefused, match=why):
        fault.resolve(state)


def test_a_storm_goes_through_its_series_and_back(rds: Scaling, journal: Journal) -> None:
    events = inject(STORM, rds, journal)
    wanted = [gust.wanted for gust in STORM.series]
    assert rds.bounds() == [*wanted, FIRST]
    assert [effect["effect"] for effect in effects(events)] == ["taken"] * 3
    assert {effect["fault"] for effect in effects(events)} == {"scale-storm"}
    assert events[0].type == "undo"
    assert len([e for e in events if e.type == "undo"]) == 1


@pytest.mark.parametrize("stop_at_s", [0.05, 1.0, 3.0, 9.0, 12.0, 17.0])
def test_a_storm_cut_short_anywhere_is_undone_by_its_one_record(
    rds: Scaling, journal: Journal, clock: VirtualClock, stop_at_s: float
) -> None:
    def stop() -> None:
        raise RunInterrupted("planted")

    clock.after(stop_at_s, stop)
    with pytest.raises(RunInterrupted):
        inject(STORM.model_copy(update={"hold_s": 60}), rds, journal)
    journal.close()
    after_crash = Journal(journal._path, clock, lambda _: None)
    after_crash.resume(left_by(journal._path).records)
    assert replay(after_crash, rds, clock, "c1") == []
    clock.sleep(10)
    assert rds.state.capacity == FIRST


def test_bounds_that_somebody_else_set_are_left_alone(rds: Scaling) -> None:
    (record,) = STORM.undo(before(rds.state, STORM))
    for gust in STORM.series:
        rds.state = serverless(capacity=gust.wanted)
        assert record.look(rds).state is State.NEEDED, gust
    rds.state = serverless(capacity=Capacity(min_acu=3, max_acu=5))
    assert record.look(rds).state is State.LEFT


def test_a_record_of_a_version_without_series_is_read() -> None:
    fields = {"action": "set-capacity", "min_acu": 1, "max_acu": 8}
    record = undo_from_json({**fields, "run_min_acu": 2, "run_max_acu": 4})
    assert isinstance(record, SetCapacity)
    assert record.run_later == ()


def test_load_makes_the_capacity_rise_and_ends(rds: Scaling, journal: Journal) -> None:
    rds.clock.after(5, lambda: rds.acu.update(i1=3.5))
    (effect,) = effects(inject(ForceScaleUp(rise_acu=1.5, settle_s=0), rds, journal))
    assert (effect["effect"], effect["actual_target"]) == ("taken", "i1")
    assert ("spin", ("i1", 4)) in rds.calls
    assert rds.sessions == {}


def test_load_without_a_rise_says_how_far_it_came(rds: Scaling, journal: Journal) -> None:
    rds.minutes = {"i1": Minute(2, 2.5)}
    fault = ForceScaleUp(rise_acu=1, settle_s=0, effect_timeout_s=30)
    (effect,) = effects(inject(fault, rds, journal))
    assert effect["effect"] == "none"
    assert "CloudWatch shows i1 at 2 to 2.5 ACU" in effect["error"]
    assert "4 of 4 sessions drive load" in effect["error"]
    assert rds.sessions == {}


@pytest.mark.parametrize(
    ("acu", "why"),
    [({"i1": 7.5}, "it cannot rise by 1; lower rise_acu"), ({}, "has no ServerlessDatabaseCap")],
)
def test_a_rise_that_could_not_be_told_is_refused(
    rds: Scaling, journal: Journal, acu: dict[str, float], why: str
) -> None:
    rds.acu = acu
    with pytest.raises(GuardRefused, match=why):
        inject(ForceScaleUp(), rds, journal)
    assert rds.calls == []


def test_traffic_stands_still_from_the_request_until_the_hold_is_over(
    rds: Scaling, journal: Journal
) -> None:
    events = inject(PauseAndResume(hold_s=5, settle_s=0), rds, journal, Standing(rds))
    (effect,) = effects(events)
    assert effect["effect"] == "taken"
    assert rds.calls == [
        ("set_capacity", Capacity(min_acu=0, max_acu=8, pause_after_s=300)),
        ("pause", None),
        ("resume", None),
        ("set_capacity", FIRST),
    ]
    assert rds.state.capacity == FIRST


def test_whoever_keeps_it_awake_is_named_and_traffic_goes_on(
    rds: Scaling, journal: Journal
) -> None:
    rds.strangers = [("app", "reports", "10.0.0.7", 2)]
    load = Standing(rds, after_s=None)
    fault = PauseAndResume(settle_s=0, effect_timeout_s=400)
    (effect,) = effects(inject(fault, rds, journal, load))
    assert effect["effect"] == "none"
    assert "sessions keep it awake: 2 of app (reports from 10.0.0.7) on i1" in effect["error"]
    assert not load.stands
    assert rds.state.capacity == FIRST


def test_a_pause_is_undone_though_traffic_never_goes_on(
    rds: Scaling, journal: Journal, clock: VirtualClock
) -> None:
    def stop() -> None:
        raise RunInterrupted("planted")

    load = Standing(rds)
    clock.after(20, stop)
    with pytest.raises(RunInterrupted):
        inject(PauseAndResume(hold_s=60), rds, journal, load)
    assert load.stands
    assert replay(journal, rds, clock, "c1") == []
    assert rds.state.capacity == FIRST


def test_a_cluster_that_pauses_already_is_not_changed(rds: Scaling, journal: Journal) -> None:
    rds.state = serverless(capacity=Capacity(min_acu=0, max_acu=8, pause_after_s=300))
    events = inject(PauseAndResume(settle_s=0), rds, journal, Standing(rds))
    assert effects(events)[0]["effect"] == "taken"
    assert rds.bounds() == []
    assert [e for e in events if e.type == "undo"] == []


def test_a_member_of_a_global_cluster_never_pauses(rds: Scaling, journal: Journal) -> None:
    arn = rds.state.arn
    ours = GlobalMember(arn=arn, region="eu-west-1", is_primary=True)
    rds.worldwide = GlobalCluster(id="world", status="available", members=(ours,))
    with pytest.raises(GuardRefused, match="is in global cluster world"):
        inject(PauseAndResume(), rds, journal)
    assert rds.calls == []
