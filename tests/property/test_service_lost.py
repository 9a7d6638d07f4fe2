"""Availability and brown-outs of synthetic streams whose truth is known: every second counted once."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fix_history import ORIGIN_NS, Retry, RunBuilder, Shape
from hypothesis import given, settings
from hypothesis import strategies as st
from run_builder import to_ns

from chaos.checks.availability import availability_table, served
from chaos.checks.brownouts import BROWN_S, Brownout, find_brownouts
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model.history import History
from chaos.model.operation import ConnectionEvent, Kind, OperationWriter

FEW = settings(max_examples=20, deadline=None)
STREAM = ("arm", "cluster", Kind.WRITE)
UNTIL_S = 16.0
CLIENTS = st.fixed_dictionaries(
    {
        "per_s": st.sampled_from([20.0, 77.0]),
        "jitter": st.floats(0.0, 1.0),
        "users": st.sampled_from([3, 1000]),
        "queue_max": st.sampled_from([20, 1000]),
        "deadline_s": st.sampled_from([None, 0.5]),
        "retry": st.sampled_from([None, Retry(budget_s=15.0, pause_s=0.2)]),
    }
)
OUTAGES = st.lists(
    st.tuples(st.floats(0.05, 2.5), st.sampled_from(list(Shape))), min_size=0, max_size=2
)


def recorded(
    seed: int, client: dict[str, Any], outages: list[tuple[float, Shape]], folder: str
) -> Recording:
    run = RunBuilder(Path(folder) / "run", seed=seed)
    run.traffic("arm", "cluster", Kind.WRITE, until_s=UNTIL_S, **client)
    for number, (length_s, shape) in enumerate(outages):
        at_s = 4.0 + 6.0 * number
        run.outage("cluster", at_s, at_s + length_s, shape)
        run.fault("failover-cluster", at_s - 0.1, fault_id=number + 1, repeat=number + 1)
    return Recording(run.write())


@FEW
@given(st.integers(0, 2**16), CLIENTS, OUTAGES)
def test_every_operation_and_every_second_is_counted_once(
    seed: int, client: dict[str, Any], outages: list[tuple[float, Shape]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recording = recorded(seed, client, outages, folder)
        rows = availability_table(recording)
        cuts = [recording.since_ns, *(ORIGIN_NS + round(s * NS) for s in (3.3, 7.7, 11.0))]
        parts = [served(recording, STREAM, *cut) for cut in pairwise([*cuts, recording.until_ns])]
        whole = served(recording, STREAM, recording.since_ns, recording.until_ns)
    for row in rows:
        told = [row[name] for name in ("served", "late", "failed", "unknown", "unsent")]
        assert sum(told) == row["operations"]
        assert 0 <= row["interrupted_s_min"] <= row["interrupted_s"] <= row["seconds"] + 1e-6
        assert 0 <= row["ratio_of_time_min"] <= row["ratio_of_time_max"] <= 1
    assert whole is not None
    for name in ("operations", "served", "late", "failed", "unknown", "unsent"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name)
    assert sum(p.interrupted_s for p in parts if p) == pytest.approx(whole.interrupted_s)
    assert sum(p.interrupted_s_min for p in parts if p) <= whole.interrupted_s_min + 1e-6


@FEW
@given(st.integers(0, 2**16), CLIENTS, st.floats(1.6, 4.0), st.sampled_from(list(Shape)))
def test_the_seconds_lost_lie_between_their_bounds(
    seed: int, client: dict[str, Any], length_s: float, shape: Shape
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recording = recorded(seed, client, [(length_s, shape)], folder)
        told = served(recording, STREAM, recording.since_ns, recording.until_ns)
    assert told is not None
    assert told.interrupted_s_min <= length_s + 1e-6
    assert told.interrupted_s >= length_s - 1e-6


def brownouts(history: History) -> tuple[list[Brownout], int, list[tuple[int, int]]]:
    recording = Recording(history)
    trace = recording.trace(*STREAM)
    assert trace is not None
    taken = [
        (w.from_ns, recording.until_ns if w.to_ns is None else w.to_ns)
        for w in recording.windows(*STREAM)
    ]
    found, lonely = find_brownouts(trace, taken, until_ns=recording.until_ns)
    return found, lonely, taken


@FEW
@given(st.integers(0, 2**16), st.floats(0.4, 0.9), st.floats(0.0, 1.0))
def test_a_short_freeze_is_a_brownout_with_the_truth_between_its_bounds(
    seed: int, length_s: float, phase: float
) -> None:
    """Nobody waited for a second, so nobody was interrupted; but for so long the answers were slow."""
    from_s = 6.0 + phase
    with tempfile.TemporaryDirectory() as folder:
        run = RunBuilder(Path(folder) / "run", seed=seed)
        run.traffic("arm", "cluster", Kind.WRITE, per_s=77, until_s=UNTIL_S)
        run.outage("cluster", from_s, from_s + length_s, Shape.FREEZE)
        found, lonely, taken = brownouts(run.write())
    assert taken == []
    (one,) = found
    assert lonely == 0
    assert one.from_ns <= ORIGIN_NS + round(from_s * NS)
    assert one.to_ns >= ORIGIN_NS + round((from_s + length_s) * NS)
    assert one.lower_ns / NS <= length_s
    assert length_s <= one.measured_s <= length_s + 0.05
    assert BROWN_S < one.latency_s_max <= length_s + 0.01


@FEW
@given(st.integers(0, 2**16), CLIENTS, OUTAGES, st.floats(0.3, 0.8))
def test_a_brownout_never_counts_what_an_interruption_counts(
    seed: int, client: dict[str, Any], outages: list[tuple[float, Shape]], slower_s: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunBuilder(Path(folder) / "run", seed=seed)
        run.traffic("arm", "cluster", Kind.WRITE, until_s=UNTIL_S, latency_s=0.002, **client)
        run.traffic("arm", "cluster", Kind.WRITE, per_s=5, from_s=3, until_s=12, latency_s=slower_s)
        for number, (length_s, shape) in enumerate(outages):
            run.outage("cluster", 4.0 + 6 * number, 4.0 + 6 * number + length_s, shape)
        history = run.write()
        found, lonely, taken = brownouts(history)
        trace = Recording(history).trace(*STREAM)
        assert trace is not None
        slow = trace.succeeded & ~trace.bad & (trace.ended - trace.intended > BROWN_S * NS)
        assert sum(one.slow for one in found) + lonely <= int(slow.sum())
    for one in found:
        assert one.from_ns < one.to_ns
        assert 0 <= one.lower_ns <= one.to_ns - one.from_ns
        assert one.slow >= 3
        assert all(one.to_ns <= from_ns or to_ns <= one.from_ns for from_ns, to_ns in taken)
    assert all(a.to_ns <= b.from_ns for a, b in pairwise(found))


@FEW
@given(
    st.integers(0, 2**16),
    st.lists(st.floats(0.1, 15.0), min_size=3, max_size=60, unique=True),
    st.floats(5.0, 7.0),
    st.floats(0.05, 4.0),
    st.floats(0.001, 0.3),
)
def test_however_seldom_clients_connect_the_truth_lies_within_the_bounds(
    seed: int, tries: list[float], from_s: float, length_s: float, lasts_s: float
) -> None:
    """A connection fails if it is begun, or under way, while nobody is let in."""
    to_s = from_s + length_s

    def connect(operations: OperationWriter) -> None:
        for at_s in sorted(tries):
            failed = from_s - lasts_s < at_s < to_s
            ended_s = max(at_s, from_s) + 0.001 if failed else at_s + lasts_s
            operations.connection(
                event=ConnectionEvent.FAILED if failed else ConnectionEvent.OPENED,
                began_ns=to_ns(at_s), at_ns=to_ns(ended_s), endpoint="cluster",
                address="----- ConnectionRefused" if failed else "127.0.0.2",
            )  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        run = RunBuilder(Path(folder) / "run", seed=seed)
        run.traffic("arm", "cluster", Kind.WRITE, per_s=5, until_s=UNTIL_S + 4)
        run.operation("arm", connect)
        windows = Recording(run.write()).windows("arm", "cluster", Kind.CONNECT)
    if not any(from_s - lasts_s < at_s < to_s for at_s in tries):
        assert windows == ()
        return
    assert windows[0].from_ns <= to_ns(from_s) or not windows[0].preceded
    assert sum(w.lower_s for w in windows) <= length_s + lasts_s + 1e-6
    ends = [w.to_ns for w in windows]
    assert ends[-1] is None or ends[-1] >= to_ns(min(to_s, max(tries)))
    if windows[0].preceded and len(windows) == 1 and ends[0] is not None:
        assert windows[0].measured_s >= length_s - 1e-6
