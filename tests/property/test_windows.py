"""Interruption windows of synthetic streams whose outages are known."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fix_history import ORIGIN_NS, Retry, RunBuilder, Shape
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chaos.checks.evidence import Trace
from chaos.checks.windows import Window, find_windows
from chaos.clock import NS
from chaos.model.history import History, OperationLog
from chaos.model.operation import PROBE_ARM, Kind, Outcome

Client = dict[str, Any]
Outage = tuple[float, float, Shape]
SLOW_S = 1.0
STABLE_S = 2.0
SECONDS = settings(max_examples=30, deadline=None)

CLIENTS = st.fixed_dictionaries(
    {
        "per_s": st.sampled_from([5.0, 20.0, 77.0]),
        "jitter": st.floats(0.0, 1.0),
        "latency_s": st.sampled_from([0.0005, 0.004, 0.03]),
        "users": st.sampled_from([3, 20, 1000]),
        "queue_max": st.sampled_from([20, 1000]),
        "deadline_s": st.sampled_from([None, 0.5, 3.0]),
        "retry": st.sampled_from([None, Retry(budget_s=15.0, pause_s=0.2)]),
        "stale": st.sampled_from([0, 3]),
    }
)
SHAPES = st.sampled_from(list(Shape))
LENGTHS = st.floats(1.6, 2.5)
SEEDS = st.integers(0, 2**16)


def windows_of(
    history: History, *, arm: str = "arm", slow_s: float = SLOW_S, until_s: float = 20.0
) -> tuple[Window, ...]:
    log = history.arms[arm]
    (stream,) = log.streams()
    return find_windows(
        Trace.of(log, stream, slow_s), stable_s=STABLE_S, until_ns=ORIGIN_NS + round(until_s * NS)
    )


def simulate(seed: int, client: Client, outages: list[Outage], until_s: float = 20.0) -> History:
    with tempfile.TemporaryDirectory() as folder:
        run = RunBuilder(Path(folder) / "run", seed=seed)
        run.traffic("arm", "cluster", Kind.WRITE, until_s=until_s, **client)
        for from_s, to_s, shape in outages:
            run.outage("cluster", from_s, to_s, shape)
        return loaded(run.write())


def loaded(history: History) -> History:
    """Copy what is mapped, so that the folder may go."""
    for arm, log in history.arms.items():
        history.arms[arm] = OperationLog(
            arm, np.array(log.operations), np.array(log.attempts), log.names
        )
    return history


@SECONDS
@given(SEEDS, CLIENTS, SHAPES, st.floats(6.0, 7.0), st.floats(1.6, 5.0))
def test_truth_lies_within_the_bounds_of_any_client(
    seed: int, client: Client, shape: Shape, from_s: float, length_s: float
) -> None:
    history = simulate(seed, client, [(from_s, from_s + length_s, shape)])
    windows = windows_of(history)
    assert windows, "an outage longer than slow_s was not seen"
    covering = [
        w
        for w in windows
        if w.from_ns <= ORIGIN_NS + (from_s + length_s) * NS
        and (w.to_ns is None or w.to_ns > ORIGIN_NS + from_s * NS)
    ]
    worst = max(covering, key=lambda w: w.measured_s)
    assert worst.lower_s <= length_s + 1e-6
    assert worst.measured_s >= length_s - 1e-6
    assert worst.from_ns <= worst.first_bad_ns


@SECONDS
@given(SEEDS, SHAPES, st.floats(6.0, 7.0), st.floats(0.5, 3.0))
def test_probes_are_right_within_two_periods(
    seed: int, shape: Shape, from_s: float, length_s: float
) -> None:
    """Probes every 20 ms see an outage at most two periods longer than it was, never shorter."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunBuilder(Path(folder) / "run", seed=seed)
        run.probes("cluster", Kind.WRITE, until_s=12.0)
        run.outage("cluster", from_s, from_s + length_s, shape)
        history = loaded(run.write())
    (window,) = windows_of(history, arm=PROBE_ARM, slow_s=0.25, until_s=12.0)
    assert length_s - 1e-6 <= window.measured_s <= length_s + 0.045
    assert window.lower_s <= length_s + 1e-6
    assert window.uncertainty_s < 0.25


@SECONDS
@given(SEEDS, CLIENTS)
def test_a_healthy_stream_has_no_window(seed: int, client: Client) -> None:
    assert windows_of(simulate(seed, client, [])) == ()


@SECONDS
@given(SEEDS, CLIENTS, st.tuples(SHAPES, SHAPES), st.tuples(LENGTHS, LENGTHS))
def test_two_outages_stay_two(
    seed: int, client: Client, shapes: tuple[Shape, Shape], lengths: tuple[float, float]
) -> None:
    """Outages apart by more than any client's own after-effects are told apart."""
    client = {**client, "stale": 0}
    # One that is nearly busy all the time needs longer to work off what waited.
    assume(client["users"] > 2 * client["per_s"] * client["latency_s"])
    (first_s, second_s), (first, second) = lengths, shapes
    outages = [(4.0, 4.0 + first_s, first), (15.0, 15.0 + second_s, second)]
    windows = windows_of(simulate(seed, client, outages, 26.0), until_s=26.0)
    early = [w for w in windows if w.first_bad_ns < ORIGIN_NS + 10 * NS]
    late = [w for w in windows if w.first_bad_ns >= ORIGIN_NS + 10 * NS]
    assert early
    assert late
    for windows, length_s in ((early, first_s), (late, second_s)):
        longest = max(windows, key=lambda w: w.measured_s)
        assert longest.lower_s <= length_s <= longest.measured_s + 1e-6
    assert all(w.to_ns is not None and w.to_ns < ORIGIN_NS + 15 * NS for w in early)


@SECONDS
@given(SEEDS, CLIENTS, SHAPES, SEEDS)
def test_the_order_of_records_changes_nothing(
    seed: int, client: Client, shape: Shape, shuffle: int
) -> None:
    history = simulate(seed, client, [(6.0, 8.5, shape)])
    log = history.arms["arm"]
    order = np.random.default_rng(shuffle).permutation(len(log.operations))
    attempts = np.array(log.attempts)
    attempts["operation"] = np.argsort(order)[log.attempts["operation"]]
    before = windows_of(history)
    history.arms["arm"] = OperationLog("arm", log.operations[order], attempts, log.names)
    assert windows_of(history) == before


@SECONDS
@given(SEEDS, CLIENTS, SHAPES, st.data())
def test_another_failure_never_shortens_a_window(
    seed: int, client: Client, shape: Shape, data: st.DataObject
) -> None:
    history = simulate(seed, client, [(6.0, 8.5, shape)])
    before = windows_of(history)
    log = history.arms["arm"]
    operations = log.operations.copy()
    chosen = data.draw(st.lists(st.integers(0, len(operations) - 1), min_size=1, max_size=5))
    operations["outcome"][chosen] = Outcome.FAILED
    history.arms["arm"] = OperationLog("arm", operations, log.attempts, log.names)
    after = windows_of(history)
    for window in before:
        (around,) = [w for w in after if w.first_bad_ns <= window.first_bad_ns <= w.last_bad_ns]
        assert around.from_ns <= window.from_ns
        assert (around.to_ns or np.inf) >= (window.to_ns or np.inf)


@SECONDS
@given(SEEDS, st.floats(0.0, 1.0), st.floats(0.05, 0.3))
def test_missed_turns_are_no_outage_but_widen_the_uncertainty(
    seed: int, share: float, missing_s: float
) -> None:
    """A probe process that stood still around the start of an outage knows less about it."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunBuilder(Path(folder) / "run", seed=seed)
        run.probes("cluster", Kind.WRITE, until_s=12.0)
        run.outage("cluster", 6.0, 7.0, Shape.REFUSE)
        history = loaded(run.write())
    whole = windows_of(history, arm=PROBE_ARM, slow_s=0.25, until_s=12.0)
    log = history.arms[PROBE_ARM]
    operations = log.operations.copy()
    begin = ORIGIN_NS + round((6.0 - share * missing_s) * NS)
    intended = operations["intended_ns"]
    gone = (intended >= begin) & (intended < begin + round(missing_s * NS))
    quiet = (intended >= ORIGIN_NS + 3 * NS) & (intended < ORIGIN_NS + 3 * NS + NS // 2)
    operations["outcome"][gone | quiet] = Outcome.FAILED
    operations["error"][gone | quiet] = len(log.names)
    kept = np.array(log.attempts)
    kept = kept[~np.isin(kept["operation"], np.flatnonzero(gone))]
    names = (*log.names, "----- Missed")
    history.arms[PROBE_ARM] = OperationLog(PROBE_ARM, operations, kept, names)
    (window,) = windows_of(history, arm=PROBE_ARM, slow_s=0.25, until_s=12.0)
    assert window.lower_s <= 1.0 <= window.measured_s
    assert window.uncertainty_s >= whole[0].uncertainty_s - 1e-6


@SECONDS
@given(SEEDS, SHAPES, LENGTHS, st.floats(0.2, 2.0), st.floats(0.1, 0.9))
def test_a_slow_thaw_does_not_raise_the_lower_bound(
    seed: int, shape: Shape, length_s: float, thaw_s: float, slower_s: float
) -> None:
    """A server that answers slowly once it is back is not proven to have been out for longer."""
    client = {"per_s": 50.0, "deadline_s": 3.0}
    history = simulate(seed, client, [(6.0, 6.0 + length_s, shape)])
    log = history.arms["arm"]
    operations = log.operations.copy()
    back_ns = ORIGIN_NS + round((6.0 + length_s) * NS)
    started, ended = operations["started_ns"], operations["ended_ns"]
    crowd = (ended >= back_ns + NS // 20) & (started < back_ns + round(thaw_s * NS))
    operations["ended_ns"][crowd] += round(slower_s * NS)
    history.arms["arm"] = OperationLog("arm", operations, log.attempts, log.names)
    worst = max(windows_of(history), key=lambda w: w.measured_s)
    assert worst.lower_s <= length_s + 1e-6
    assert worst.measured_s >= length_s - 1e-6
