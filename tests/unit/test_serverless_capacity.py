"""How capacity follows load, in virtual time: every step, hold and bound of the model."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.testcluster.records import ServerlessBounds
from chaos.testcluster.serverless.capacity import (
    Load,
    Place,
    Scaler,
    next_capacity,
    wanted_capacity,
    with_writer,
)
from chaos.testcluster.serverless.share import Bucket

CORES_PER_ACU = 0.25
HALVES = st.integers(0, 512).map(lambda halves: halves / 2)
BOUNDS = (
    st.tuples(HALVES, HALVES)
    .map(sorted)
    .map(lambda pair: ServerlessBounds(min_acu=pair[0], max_acu=max(pair[1], 1.0)))
)


def load(cores: float = 0, connections: int = 0, *, held_back: bool = False) -> Load:
    return Load(cores=cores, connections=connections, held_back=held_back)


def place(name: str, tier: int = 1, capacity: float = 1, **more: bool) -> Place:
    return Place(
        id=name, promotion_tier=tier, capacity_acu=capacity, **{"is_writer": False, **more}
    )


@pytest.mark.parametrize(
    ("given_load", "wanted"),
    [
        (load(), 0),
        (load(cores=0.5), 4),  # half of 4 ACU's share
        (load(cores=0.51), 4.5),
        (load(connections=211), 1),
        (load(connections=212), 1.5),
        (load(cores=0.01, connections=1669), 8),
        (load(cores=0.5, held_back=True), 6),  # half as much again as it has
    ],
)
def test_wanted_is_what_processor_time_or_connections_need(given_load: Load, wanted: float) -> None:
    assert wanted_capacity(given_load, 4, CORES_PER_ACU) == wanted


@given(current=HALVES.filter(lambda acu: acu >= 0.5), wanted=HALVES, bounds=BOUNDS)
def test_steps_are_halves_and_lead_into_the_bounds(
    current: float, wanted: float, bounds: ServerlessBounds
) -> None:
    path = [current]
    while (following := next_capacity(path[-1], wanted, bounds)) != path[-1]:
        path.append(following)
        assert len(path) < 100
    assert all(acu % 0.5 == 0 for acu in path)
    assert path[-1] == min(max(wanted, bounds.min_acu, 0.5), bounds.max_acu)
    assert path in (sorted(path), sorted(path, reverse=True)), "it never turns back"


def test_the_larger_it_is_the_larger_are_its_steps() -> None:
    bounds, path = ServerlessBounds(min_acu=0.5, max_acu=256), [0.5]
    while path[-1] < 256:
        path.append(next_capacity(path[-1], 256, bounds))
    steps = [after - before for before, after in itertools.pairwise(path)][:-1]
    assert steps == sorted(steps)
    assert steps[0] == 0.5
    assert steps[-1] > 30


def test_it_rises_step_by_step_and_falls_only_after_a_while() -> None:
    bounds, scaler = ServerlessBounds(min_acu=0.5, max_acu=4), Scaler(step_s=1, hold_s=10)
    acu, seen = 0.5, []
    for tenth in range(30):
        acu = scaler.next(tenth / 10, acu, 2.0, bounds)
        seen.append(acu)
    assert seen[0] == 1.0
    assert seen[9] == 1.0, "a second has not passed"
    assert seen[10] == 1.5
    assert seen[-1] == 2.0
    assert scaler.next(5, acu, 0.5, bounds) == 2.0, "the wait begins"
    assert scaler.next(10, acu, 2.0, bounds) == 2.0, "wanted again: it begins anew"
    assert scaler.next(12, acu, 0.5, bounds) == 2.0
    assert scaler.next(21.9, acu, 0.5, bounds) == 2.0
    assert scaler.next(22, acu, 0.5, bounds) == 1.5


def test_bounds_that_exclude_it_are_not_waited_for() -> None:
    scaler = Scaler(step_s=1, hold_s=1000)
    assert scaler.next(0, 64, 64, ServerlessBounds(min_acu=0.5, max_acu=2)) == 32


def test_tiers_0_and_1_have_at_least_the_writers_capacity_and_others_their_own() -> None:
    bounds = ServerlessBounds(min_acu=0.5, max_acu=16)
    places = [
        place("writer", is_writer=True),
        place("tier-0", 0),
        place("tier-1", 1),
        place("busy", 1),
        place("tier-2", 2),
    ]
    own = {"writer": 6.0, "tier-0": 0.5, "tier-1": 2.0, "busy": 9.0, "tier-2": 0.5}
    assert with_writer(places, own, bounds) == {
        "writer": 6.0,
        "tier-0": 6.0,
        "tier-1": 6.0,
        "busy": 9.0,
        "tier-2": 0.5,
    }


def test_a_provisioned_writer_counts_with_its_classs_capacity_within_the_bounds() -> None:
    places = [
        place("writer", capacity=64, is_writer=True, serverless=False),
        place("follows", 1),
        place("alone", 2),
    ]
    bounds = ServerlessBounds(min_acu=0.5, max_acu=16)
    assert with_writer(places, {"follows": 1.0, "alone": 1.0}, bounds) == {
        "follows": 16.0,
        "alone": 1.0,
    }


def test_a_bucket_gives_a_rested_server_a_burst_and_then_its_share() -> None:
    bucket = Bucket(0.5)
    for _ in range(1000):
        bucket.pass_time(0.01, 0)
    assert bucket.level_s == pytest.approx(bucket.burst_s)
    taken = 0.0
    for _ in range(1000):  # ten seconds of wanting two processors
        amount = 0.02 if bucket.level_s > 0 else 0.0
        taken += amount
        bucket.pass_time(0.01, amount)
    assert taken == pytest.approx(10 * 0.5 + bucket.burst_s, abs=0.05)


def test_a_debt_is_bounded_so_that_nobody_is_stopped_for_long() -> None:
    bucket = Bucket(0.125)
    bucket.pass_time(1.0, 60.0)
    assert bucket.reaches(bucket.slice_s) < 0.5
