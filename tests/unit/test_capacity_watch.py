"""CloudWatch's datapoints of capacity become changes on the run's axis, and never more than they say."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from run_builder import ORIGIN_NS, WALL_NS, to_ns

from chaos.clock import NS, Anchor, MonotonicClock
from chaos.errors import ControlPlaneError, HostError
from chaos.model.record import Observation
from chaos.run.capacity_watch import Capacities, CapacityWatch
from chaos.wait import wait_until

ANCHOR = Anchor(monotonic_ns=ORIGIN_NS, wall_ns=WALL_NS, uncertainty_ns=0)
ZERO = datetime.fromtimestamp(WALL_NS / NS, UTC)
LATER_NS = to_ns(10_000.0)


def told(*points: tuple[float, float]) -> list[tuple[datetime, float]]:
    """Datapoints by seconds since the run's origin."""
    return [(ZERO + timedelta(seconds=at_s), acu) for at_s, acu in points]


def seen(*answers: Sequence[tuple[datetime, float]], now_ns: int = LATER_NS) -> list[Observation]:
    found: list[Observation] = []
    capacities = Capacities(found.append, ANCHOR)
    for answer in answers:
        capacities.add("i", answer, now_ns)
    return found


def test_a_change_lies_between_two_datapoints() -> None:
    first, second = seen(told((0, 2), (1, 2), (2, 2), (3, 8), (4, 8)))
    assert (first.value, first.since_ns, first.at_ns) == ("2", None, to_ns(1))
    assert (second.value, second.since_ns, second.at_ns) == ("8", to_ns(2), to_ns(4))
    assert second.detail == {"resolution_s": 1.0}


def test_a_lonely_datapoint_stands_for_a_minute() -> None:
    """As Aurora's do; nothing says that it stands for less."""
    (first,) = seen(told((0, 2)))
    assert (first.at_ns, first.detail["resolution_s"]) == (to_ns(60), 60.0)


def test_datapoints_come_once_however_often_they_are_told() -> None:
    found = seen(told((0, 2), (60, 2)), told((0, 2), (60, 2), (120, 4)), told((60, 9), (120, 4)))
    assert [(o.value, o.at_ns) for o in found] == [
        ("2", to_ns(60)),
        ("2", to_ns(120)),
        ("4", to_ns(180)),
    ]


def test_a_capacity_that_stays_is_told_every_ten_seconds() -> None:
    found = seen(told(*((at_s, 2) for at_s in range(31))))
    assert [o.at_ns for o in found] == [to_ns(1), to_ns(11), to_ns(21), to_ns(31)]


def test_at_the_end_it_is_told_until_when_the_last_is_known() -> None:
    found: list[Observation] = []
    capacities = Capacities(found.append, ANCHOR)
    capacities.add("i", told(*((at_s, 2) for at_s in range(8))), LATER_NS)
    capacities.end()
    capacities.end()
    assert [(o.value, o.at_ns) for o in found] == [("2", to_ns(1)), ("2", to_ns(8))]


def test_an_unfinished_datapoint_is_left_for_the_next_look() -> None:
    """Its average may still change."""
    found = seen(told((0, 2), (60, 3)), now_ns=to_ns(119))
    assert [o.value for o in found] == ["2"]


class Refusing:
    """CloudWatch that refuses so many times, and then answers."""

    def __init__(self, times: int, error: Exception) -> None:
        self.times, self.error = times, error
        self.asked = 0
        self.looked = threading.Event()

    def __call__(self, since: datetime) -> dict[str, list[tuple[datetime, float]]]:
        self.asked += 1
        self.looked.set()
        if self.asked <= self.times:
            raise self.error
        return {"i": told((0, 2))}


def watched(ask: Refusing, found: list[Observation]) -> CapacityWatch:
    watch = CapacityWatch(ask, found.append, ANCHOR, lambda: LATER_NS)
    watch.start(1.0)
    assert ask.looked.wait(60)
    return watch


def test_a_refusal_is_told_once_and_hinders_nothing() -> None:
    found: list[Observation] = []
    watch = watched(Refusing(1, ControlPlaneError("AccessDenied: no")), found)
    watch.check()
    watch.stop()
    assert [(o.subject, o.value) for o in found] == [("", "AccessDenied: no"), ("i", "2")]


def test_a_defect_of_ours_is_not_swallowed() -> None:
    watch = watched(Refusing(9, ValueError("odd")), [])

    def failed() -> bool:
        try:
            watch.check()
        except HostError:
            return True
        return False

    wait_until(failed, "the watch to fail", timeout_s=60, clock=MonotonicClock())
    with pytest.raises(HostError, match="watch of capacities failed: odd"):
        watch.stop()
