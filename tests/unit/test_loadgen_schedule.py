"""The arrival schedule and its queue: an open loop whatever the users do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.clock import NS
from loadgen.schedule import JITTER, Arrivals, Schedule

ORIGIN = 1_000 * NS


def instants(rate_per_s: float, count: int, seed: str = "seed") -> list[int]:
    schedule = Schedule(rate_per_s, seed, ORIGIN)
    return [schedule.next_ns() for _ in range(count)]


def arrivals(rate_per_s: float = 100.0, queue_max: int = 10) -> tuple[Arrivals, list[int]]:
    rejected: list[int] = []
    stream = Arrivals(
        Schedule(rate_per_s, "seed", ORIGIN),
        queue_max,
        lambda intended, _now: rejected.append(intended),
    )
    return stream, rejected


@settings(deadline=None)  # a busy machine is no failure
@given(st.floats(min_value=0.1, max_value=20_000), st.text(max_size=8))
def test_arrivals_are_in_order_and_no_gap_exceeds_its_bound(rate_per_s: float, seed: str) -> None:
    found = instants(rate_per_s, 300, seed)
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert found[0] >= ORIGIN
    assert min(gaps) > 0
    assert max(gaps) <= (1 + 2 * JITTER) * NS / rate_per_s + 1


def test_the_rate_holds_over_a_long_run() -> None:
    """Rounding must not add up: after 100 000 arrivals the last is in its place within a period."""
    rate_per_s = 300.0
    found = instants(rate_per_s, 100_001)
    assert abs((found[-1] - found[0]) - 100_000 * NS / rate_per_s) < NS / rate_per_s


def test_a_seed_gives_the_same_arrivals_and_another_seed_others() -> None:
    assert instants(50, 100, "7 resilient WRITE") == instants(50, 100, "7 resilient WRITE")
    assert instants(50, 100, "7 resilient WRITE") != instants(50, 100, "7 resilient READ")


def test_streams_do_not_march_in_step() -> None:
    """Of two streams at one rate, few arrivals come closer than a twentieth of a period."""
    one, other = instants(100, 1000, "a"), instants(100, 1000, "b")
    close = sum(
        min(abs(x - y) for y in other[max(0, i - 2) : i + 3]) < NS / 2000 for i, x in enumerate(one)
    )
    assert close < 250


@pytest.mark.parametrize("rate_per_s", [0.0, -1.0])
def test_a_rate_that_is_not_positive_is_refused(rate_per_s: float) -> None:
    with pytest.raises(ValueError, match="positive rate"):
        Schedule(rate_per_s, "seed", ORIGIN)


def test_a_free_user_takes_the_next_arrival_before_it_is_due() -> None:
    stream, _ = arrivals()
    first = stream.take(ORIGIN)
    assert first is not None
    assert first > ORIGIN
    assert stream.waiting == 0


def test_arrivals_wait_in_order_while_all_users_are_busy() -> None:
    stream, rejected = arrivals(rate_per_s=100.0, queue_max=10)
    late = ORIGIN + NS // 20  # about five arrivals later
    stream.admit(late)
    waiting = stream.waiting
    assert 3 <= waiting <= 6
    taken = [stream.take(late) for _ in range(waiting)]
    assert taken == instants(100.0, waiting)
    assert rejected == []


def test_a_full_queue_rejects_the_newcomers_not_those_who_wait() -> None:
    stream, rejected = arrivals(rate_per_s=100.0, queue_max=10)
    stream.admit(ORIGIN + NS)
    every = instants(100.0, stream.waiting + len(rejected))
    assert stream.waiting == 10
    assert rejected == every[10:]
    assert stream.take(ORIGIN + NS) == every[0]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=60))
def test_every_arrival_is_taken_rejected_or_left_exactly_once(
    steps: list[tuple[int, bool]],
) -> None:
    """Whatever users do and when, no arrival disappears and none is seen twice."""
    stream, rejected = arrivals(rate_per_s=200.0, queue_max=3)
    now, taken = ORIGIN, []
    for elapsed_ms, user_is_free in steps:
        now += elapsed_ms * NS // 1000
        if user_is_free:
            taken.append(stream.take(now))
        else:
            stream.admit(now)
    stream.close(now)
    seen = sorted([*(t for t in taken if t is not None), *rejected, *stream.abandon()])
    assert seen == instants(200.0, len(seen))


def test_nothing_arrives_after_the_close() -> None:
    stream, _ = arrivals()
    ahead = stream.take(ORIGIN)
    assert ahead is not None
    stream.close(ahead - 1)
    assert not stream.happens(ahead)
    assert stream.take(ahead + NS) is None
    assert stream.abandon() == []


def test_what_is_due_at_the_close_is_still_served() -> None:
    stream, _ = arrivals()
    due = instants(100.0, 1)[0]
    stream.close(due)
    assert stream.take(due + NS) == due
    stream.give_back(due)
    assert stream.abandon() == [due]
    assert stream.waiting == 0
