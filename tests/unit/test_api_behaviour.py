"""How the API misbehaves: rules are counted, seeded and timed by the clock they are given."""

from __future__ import annotations

import pytest
from fix_rds import VirtualClock

from chaos.testcluster.api.behaviour import (
    FINE,
    Behaviour,
    Fixed,
    Loss,
    Lost,
    Rule,
    Stale,
    Throttle,
    Treatment,
    Turn,
    treated,
)
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.past import Timeline
from chaos.testcluster.records import ApiError

THROTTLED = ApiError("Throttling", "Rate exceeded")
BROKEN = ApiError("InternalFailure", "broken")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def behaviour(clock: VirtualClock) -> Behaviour:
    return Behaviour(clock)


def refused(behaviour: Behaviour, operation: str = "DescribeDBClusters", times: int = 1) -> str:
    """`x` for each refused request, `.` for each other one."""
    found = [behaviour.treatment("rds", operation).error for _ in range(times)]
    return "".join("x" if error else "." for error in found)


def test_without_rules_everything_is_answered_as_it_should_be(behaviour: Behaviour) -> None:
    assert behaviour.treatment("rds", "DescribeDBClusters") is FINE
    assert not FINE.is_ended


@pytest.mark.parametrize(
    ("operations", "service", "met"),
    [
        (("*",), None, {"rds DescribeDBClusters", "rds FailoverDBCluster", "sts GetIt"}),
        (("Describe*",), None, {"rds DescribeDBClusters"}),
        (("describe*",), None, set()),
        (("Failover*", "Get*"), None, {"rds FailoverDBCluster", "sts GetIt"}),
        (("*",), "sts", {"sts GetIt"}),
        (("Describe*",), "sts", set()),
    ],
)
def test_a_rule_concerns_the_operations_and_the_service_that_it_names(
    behaviour: Behaviour, operations: tuple[str, ...], service: str | None, met: set[str]
) -> None:
    behaviour.add(Fixed(Treatment(error=BROKEN), operations, service=service))
    calls = ["rds DescribeDBClusters", "rds FailoverDBCluster", "sts GetIt"]
    assert {c for c in calls if behaviour.treatment(*c.split()).error} == met


def test_what_ends_a_rule_ends_that_one_alone_and_may_be_called_twice(
    behaviour: Behaviour,
) -> None:
    end_first = behaviour.add(Fixed(Treatment(delay_s=1)))
    behaviour.add(Fixed(Treatment(delay_s=2)))
    assert behaviour.treatment("rds", "X").delay_s == 3
    end_first()
    end_first()
    assert behaviour.treatment("rds", "X").delay_s == 2


def test_a_probability_decides_each_request_the_same_way_for_one_seed(clock: VirtualClock) -> None:
    def pattern(seed: int) -> str:
        behaviour = Behaviour(clock)
        behaviour.add(Fixed(Treatment(error=BROKEN), probability=0.5, seed=seed))
        return refused(behaviour, times=64)

    assert pattern(1) == pattern(1)
    assert pattern(1) != pattern(2)
    assert 16 < pattern(1).count("x") < 48


def test_requests_that_a_rule_does_not_concern_do_not_move_its_dice(clock: VirtualClock) -> None:
    alone, among_others = Behaviour(clock), Behaviour(clock)
    for behaviour in (alone, among_others):
        behaviour.add(Fixed(Treatment(error=BROKEN), ("Failover*",), probability=0.5, seed=3))
    expected = refused(alone, "FailoverDBCluster", times=32)
    seen = ""
    for _ in range(32):
        assert refused(among_others, "DescribeDBClusters") == "."
        seen += refused(among_others, "FailoverDBCluster")
    assert seen == expected


@pytest.mark.parametrize(("probability", "pattern"), [(0.0, "...."), (1.0, "xxxx")])
def test_the_ends_of_the_scale_are_certain(
    behaviour: Behaviour, probability: float, pattern: str
) -> None:
    behaviour.add(Fixed(Treatment(error=BROKEN), probability=probability))
    assert refused(behaviour, times=4) == pattern


def test_a_throttle_lets_a_burst_pass_and_then_what_its_rate_allows(
    behaviour: Behaviour, clock: VirtualClock
) -> None:
    behaviour.add(Throttle(THROTTLED, rate_per_s=2, burst=3))
    assert refused(behaviour, times=5) == "...xx"
    clock.sleep(0.5)
    assert refused(behaviour, times=2) == ".x"
    clock.sleep(0.25)
    assert refused(behaviour) == "x"
    clock.sleep(0.25)
    assert refused(behaviour) == "."
    clock.sleep(3600)
    assert refused(behaviour, times=5) == "...xx", "the bucket holds no more than the burst"


def test_a_throttle_counts_all_operations_that_it_concerns_together(behaviour: Behaviour) -> None:
    behaviour.add(Throttle(THROTTLED, rate_per_s=1, burst=1, operations=("Describe*",)))
    assert refused(behaviour, "DescribeDBClusters") == "."
    assert refused(behaviour, "DescribeDBInstances") == "x"
    assert refused(behaviour, "FailoverDBCluster") == "."


def test_the_first_rule_that_ends_a_request_decides_how(behaviour: Behaviour) -> None:
    loss = Loss(is_silent=True)
    behaviour.add(Rule())
    behaviour.add(Fixed(Treatment(delay_s=0.5)))
    behaviour.add(Fixed(Treatment(error=BROKEN)))
    behaviour.add(Fixed(Treatment(loss=loss, delay_s=1)))
    treatment = behaviour.treatment("rds", "X")
    assert (treatment.error, treatment.loss, treatment.delay_s) == (BROKEN, None, 1.5)

    other = Behaviour(VirtualClock())
    other.add(Fixed(Treatment(loss=loss)))
    other.add(Fixed(Treatment(error=BROKEN)))
    treatment = other.treatment("rds", "X")
    assert (treatment.error, treatment.loss) == (None, loss)
    assert treatment.is_ended


def test_a_stale_answer_is_asked_for_as_of_so_long_ago(
    behaviour: Behaviour, clock: VirtualClock
) -> None:
    asked: list[int] = []

    def view_at(at_ns: int) -> object:
        asked.append(at_ns)
        return same

    def same(region: Region) -> Region:
        return region

    behaviour.add(Stale(view_at, behind_s=2, operations=("Describe*",)))  # type: ignore[arg-type]
    clock.sleep(10)
    assert behaviour.treatment("rds", "DescribeDBClusters").view is same
    assert behaviour.treatment("rds", "FailoverDBCluster").view is None
    assert asked == [clock.now_ns() - 2_000_000_000]


def test_a_request_is_carried_out_as_its_treatment_says() -> None:
    waited: list[float] = []

    def carried_out(treatment: Treatment, *, closing: bool = False) -> str:
        def pause(delay_s: float) -> bool:
            waited.append(delay_s)
            return closing

        return treated(treatment, pause, lambda _: done.append("done") or "answer")

    done: list[str] = []
    assert carried_out(FINE) == "answer"
    assert carried_out(Treatment(delay_s=2)) == "answer"
    assert (waited, done) == ([2], ["done", "done"])
    with pytest.raises(ApiError, match="broken") as first:
        carried_out(Treatment(error=BROKEN))
    assert first.value is not BROKEN, "each request raises an error of its own"
    with pytest.raises(Lost):
        carried_out(Treatment(loss=Loss()))
    with pytest.raises(Lost):
        carried_out(Treatment(delay_s=2), closing=True)
    assert len(done) == 2
    with pytest.raises(Lost):
        carried_out(Treatment(loss=Loss(is_carried_out=True)))
    assert len(done) == 3


def test_a_timeline_tells_what_held_at_an_instant() -> None:
    timeline: Timeline[str] = Timeline(horizon_s=10)
    with pytest.raises(IndexError):
        timeline.as_of(0)
    for at_s, value in ((5, "a"), (6, "a"), (8, "b"), (9, "c")):
        timeline.note(at_s * 10**9, value)
    told = {at_s: timeline.as_of(int(at_s * 10**9)) for at_s in (0, 5, 7.9, 8, 8.9, 9, 99)}
    assert told == {0: "a", 5: "a", 7.9: "a", 8: "b", 8.9: "b", 9: "c", 99: "c"}


def test_a_timeline_keeps_no_more_than_its_horizon_needs() -> None:
    timeline: Timeline[int] = Timeline(horizon_s=3)
    for second in range(100):
        timeline.note(second * 10**9, second)
        for back in range(4):
            assert timeline.as_of((second - back) * 10**9) == max(second - back, 0)
    assert len(timeline) == 4


@pytest.mark.parametrize(
    ("turn", "met"),
    [
        (Turn(), "xxxxxx"),
        (Turn(after=2), "..xxxx"),
        (Turn(times=2), "xx...."),
        (Turn(after=1, times=3), ".xxx.."),
    ],
)
def test_a_rule_is_met_when_its_turn_has_come(behaviour: Behaviour, turn: Turn, met: str) -> None:
    behaviour.add(Fixed(Treatment(error=BROKEN), ["Describe*"], turn=turn))
    assert refused(behaviour, "FailoverDBCluster") == ".", "which is none of its requests"
    assert refused(behaviour, times=6) == met


def test_the_turn_of_a_rule_by_chance_counts_what_chance_chose(behaviour: Behaviour) -> None:
    behaviour.add(Fixed(Treatment(error=BROKEN), probability=0.5, seed=1, turn=Turn(times=3)))
    found = refused(behaviour, times=50)
    assert found.count("x") == 3
    assert "." in found[: found.rindex("x")]


def test_a_throttle_has_its_turn_too(behaviour: Behaviour) -> None:
    behaviour.add(Throttle(THROTTLED, rate_per_s=0, burst=1, turn=Turn(after=2, times=3)))
    assert refused(behaviour, times=7) == "...xx.."
