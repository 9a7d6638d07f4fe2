"""Whatever a network and two clocks do within their bounds, the stated offset is right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.clock import NS
from loadgen.distributed.clock import DRIFT_MAX, Alignment, Exchange

START_NS = 5_000 * NS
MS = 1_000_000

drifts = st.floats(-DRIFT_MAX, DRIFT_MAX)
delays = st.integers(0, 300 * MS)
exchanges = st.lists(
    st.tuples(st.integers(1, 5_000 * MS), delays, st.integers(0, MS), delays), max_size=30
)


class Clocks:
    """A worker's clock that is off by `offset_ns` at the start and drifts at changing rates."""

    def __init__(self, offset_ns: int, rates: list[float]) -> None:
        self._offset_ns = offset_ns
        self._rates = rates or [0.0]

    def worker(self, runner_ns: int) -> float:
        """Return what the worker's clock shows at an instant of the runner's."""
        left, gone, number = runner_ns - START_NS, 0.0, 0
        while left > 0:
            step = min(left, 2 * NS)
            gone += step * self._rates[number % len(self._rates)]
            left, number = left - step, number + 1
        return runner_ns + self._offset_ns + gone


def measured(clocks: Clocks, made: list[tuple[int, int, int, int]]) -> tuple[Alignment, list[int]]:
    alignment, at_ns, instants = Alignment(), START_NS, []
    for pause, there, held, back in made:
        sent = at_ns + pause
        received, replied = sent + there, sent + there + held
        at_ns = replied + back
        alignment.add(
            Exchange(sent, round(clocks.worker(received)), round(clocks.worker(replied)), at_ns)
        )
        instants.append(at_ns)
    return alignment, instants


@given(
    offset_ns=st.integers(-(10**15), 10**15),
    rates=st.lists(drifts, max_size=5),
    made=exchanges.filter(bool),
    where=st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)),
)
def test_the_truth_lies_within_the_stated_error(
    offset_ns: int,
    rates: list[float],
    made: list[tuple[int, int, int, int]],
    where: tuple[float, float],
) -> None:
    clocks = Clocks(offset_ns, rates)
    alignment, instants = measured(clocks, made)
    assert alignment.jumped_ns == 0
    latest = alignment.latest()
    assert abs(clocks.worker(instants[-1]) - instants[-1] - latest.offset_ns) <= latest.error_ns + 1
    span = instants[-1] - START_NS
    first, last = sorted(max(START_NS, START_NS + round(span * w)) for w in where)
    over = alignment.over(round(clocks.worker(first)), round(clocks.worker(last)))
    for at_ns in (first, (first + last) // 2, last):
        # To nanoseconds: the drift over the offset's own error is second order.
        slack = 2 + over.error_ns * DRIFT_MAX
        assert abs(clocks.worker(at_ns) - over.offset_ns - at_ns) <= over.error_ns + slack


def test_the_shortest_round_trip_bounds_the_error() -> None:
    clocks = Clocks(7 * NS, [])
    alignment, _ = measured(clocks, [(MS, 80 * MS, 0, 3 * MS), (MS, MS, 0, 2 * MS)] * 3)
    assert alignment.latest().error_ns == pytest.approx(1.5 * MS, rel=0.1)


def test_a_clock_that_stood_still_has_jumped() -> None:
    """A suspended machine's monotonic clock stops: no drift explains that."""
    alignment, instants = measured(Clocks(0, []), [(100 * MS, MS, 0, MS)] * 5)
    sent = instants[-1] + 60 * NS
    asleep_ns = 59 * NS
    alignment.add(Exchange(sent, sent + MS - asleep_ns, sent + MS - asleep_ns, sent + 2 * MS))
    assert alignment.jumped_ns == pytest.approx(asleep_ns, rel=0.01)
    # Whatever was recorded meanwhile may be on either side of it.
    over = alignment.over(instants[-1], instants[-1] + NS)
    assert over.error_ns * 2 > asleep_ns * 0.9


def test_without_an_exchange_nothing_is_known() -> None:
    with pytest.raises(LookupError, match="not aligned"):
        Alignment().latest()
