"""Connections drawn at random: whose attempt it was, how many lived, for how long they were pinned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checks.poisoned_pool import poisonings
from chaos.checks.recording import Recording
from chaos.clock import NS, Anchor
from chaos.model.connections import NO_CONNECTION, STILL_OPEN, Connections, changes
from chaos.model.history import (
    ATTEMPT_DTYPE,
    CONNECTION_DTYPE,
    OPERATION_DTYPE,
    History,
    OperationLog,
)
from chaos.model.operation import ConnectionEvent, Outcome
from chaos.model.record import Event, Observation
from reports.population import _passed

OLD, NEW = "old", "new"
NAMES = ("", "cluster", OLD, NEW, "25006 ReadOnlySqlTransaction")
FAULT_S, UNTIL_S = 10, 40


@dataclass(frozen=True)
class Life:
    """One connection, in milliseconds: truly there from `there` on, between `began` and `opened`."""

    instance: str
    pid: int
    began: int
    there: int
    opened: int
    closed: int | None


@st.composite
def lives(draw: st.DrawFn) -> list[Life]:
    """Some connections; a process id comes again only once its connection was closed."""
    found: list[Life] = []
    free: dict[tuple[str, int], int] = {}
    for _ in range(draw(st.integers(1, 12))):
        instance, pid = draw(st.sampled_from((OLD, NEW))), draw(st.integers(1, 3))
        earliest = free.get((instance, pid), 0)
        if earliest is None or earliest > 30_000:
            continue
        began = earliest + draw(st.integers(1, 5_000))
        there = began + draw(st.integers(0, 20))
        opened = there + draw(st.integers(0, 20))
        closed = draw(st.none() | st.integers(opened + 1, opened + 15_000))
        free[instance, pid] = 99_999 if closed is None else closed
        found.append(Life(instance, pid, began, there, opened, closed))
    return found


def log_of(found: list[Life], uses: list[tuple[Life, int]]) -> OperationLog:
    """What would have been recorded of them, and of operations that ended at some instants."""
    rows: list[tuple[Any, ...]] = []
    for life in found:
        place = NAMES.index(life.instance)
        rows.append((life.opened, life.began, life.pid, 1, place, 0, ConnectionEvent.OPENED, 0))
        if life.closed is not None:
            rows.append(
                (life.closed, life.opened, life.pid, 1, place, 0, ConnectionEvent.CLOSED, 0)
            )
    rows.sort(key=lambda row: row[0])
    connections = np.array(rows, dtype=CONNECTION_DTYPE)
    for column in ("at_ns", "began_ns"):
        connections[column] *= 1_000_000
    operations = np.zeros(len(uses), dtype=OPERATION_DTYPE)
    for number, (life, at_ms) in enumerate(uses):
        record = operations[number]
        record["intended_ns"] = record["started_ns"] = record["ended_ns"] = at_ms * 1_000_000
        record["backend_pid"], record["endpoint"] = life.pid, 1
        record["instance"], record["attempts"] = NAMES.index(life.instance), 1
        record["outcome"], record["kind"] = Outcome.OK, 1
    return OperationLog("arm", operations, np.empty(0, ATTEMPT_DTYPE), NAMES, connections)


@given(lives(), st.data())
def test_an_attempt_belongs_to_the_connection_that_was_open(
    found: list[Life], data: st.DataObject
) -> None:
    uses = []
    for life in found:
        for _ in range(data.draw(st.integers(0, 3))):
            latest = life.opened + 9_000 if life.closed is None else life.closed
            uses.append((life, data.draw(st.integers(life.opened, latest))))
    conns = Connections.of(log_of(found, uses))
    order = sorted(range(len(found)), key=lambda n: found[n].opened)
    told = conns._owners.tolist()
    assert NO_CONNECTION not in told
    for (life, at_ms), row in zip(uses, told, strict=True):
        # Where the next one of that process opened in the very instant, either may be meant.
        assert conns.opened[row] <= at_ms * 1_000_000
        other = found[order[row]]
        assert (other.instance, other.pid) == (life.instance, life.pid)
        assert other.opened in {life.opened, at_ms}


@given(lives())
def test_the_number_of_live_connections_is_what_was_opened_and_not_closed(
    found: list[Life],
) -> None:
    conns = Connections.of(log_of(found, []))
    at, live = changes(conns.opened, conns.closed)
    for instant, number in zip(at.tolist(), live.tolist(), strict=True):
        open_then = [
            life
            for life in found
            if life.opened * 1_000_000 <= instant
            and (life.closed is None or life.closed * 1_000_000 > instant)
        ]
        assert number == len(open_then) == int(conns.live_at(instant).sum())
    assert (conns.closed == STILL_OPEN).sum() == sum(life.closed is None for life in found)


@given(st.lists(st.floats(0, 50), min_size=1, max_size=20), st.lists(st.floats(0, 60), max_size=20))
def test_the_time_that_connections_were_open_adds_up(
    instants: list[float], until: list[float]
) -> None:
    told = _passed(np.sort(np.asarray(instants)), np.asarray(until, dtype=np.float64))
    for edge, total in zip(until, told.tolist(), strict=True):
        assert abs(total - sum(max(0.0, edge - at) for at in instants)) < 1e-6


def seen(at_ms: int, since_ms: int | None, kind: str, subject: str, value: str) -> Observation:
    since_ns = None if since_ms is None else since_ms * 1_000_000
    return Observation(
        at_ns=at_ms * 1_000_000, since_ns=since_ns, kind=kind, subject=subject, value=value
    )


def history_of(
    found: list[Life], demoted: tuple[int, int], silent: tuple[int, int] | None
) -> History:
    """A run in which `old` is demoted between two samples, and perhaps silent later."""
    told = [
        seen(1, None, "role", OLD, "writer"),
        seen(1, None, "role", NEW, "reader"),
        seen(demoted[1], demoted[0], "role", OLD, "reader"),
        seen(demoted[1], demoted[0], "role", NEW, "writer"),
    ]
    if silent:
        told.append(seen(silent[1], silent[0], "role", OLD, "unreachable"))
    about = {"fault_id": "1", "fault": "failover-cluster", "verb": "inject"}
    events = [
        Event(at_ns=1, type="phase", data={"phase": "recording", "state": "started"}),
        Event(at_ns=FAULT_S * NS, type="fault", data={**about, "state": "started"}),
        Event(at_ns=(FAULT_S + 1) * NS, type="fault", data={**about, "state": "ended"}),
        Event(
            at_ns=UNTIL_S * NS,
            type="phase",
            data={"phase": "recording", "state": "ended"},
        ),
    ]
    return History(
        folder=Path("run"), environment={}, experiment={}, events=tuple(events),
        observations=tuple(told), arms={"arm": log_of(found, [])}, ledger=None,
        anchor=Anchor(monotonic_ns=0, wall_ns=0, uncertainty_ns=0), origin_ns=0,
    )  # fmt: skip


@settings(max_examples=200)
@given(lives(), st.data())
def test_how_long_a_pool_was_poisoned_lies_within_its_bounds(
    found: list[Life], data: st.DataObject
) -> None:
    """Whatever the true instants were between the samples: never below the truth."""
    since = data.draw(st.integers(FAULT_S * 1000, 20_000))
    at = since + data.draw(st.integers(1, 400))
    demoted = data.draw(st.integers(since, at))
    gone = data.draw(st.none() | st.integers(at + 1, UNTIL_S * 1000 - 500))
    samples = None
    if gone is not None:
        samples = (gone - data.draw(st.integers(0, gone - at - 1)), gone + 200)
    (one,) = poisonings(Recording(history_of(found, (since, at), samples)))
    end = UNTIL_S * 1000 if gone is None else gone
    truly = []
    for life in found:
        closed = UNTIL_S * 1000 if life.closed is None else life.closed
        begins, ends = max(life.there, demoted), min(closed, end, UNTIL_S * 1000)
        certain = min(closed, samples[0] if samples else closed) > max(life.opened, at)
        if life.instance == OLD and certain:
            truly.append((begins, ends))
    assert one.pinned == len(truly)
    left = [e for _, e in truly if e == UNTIL_S * 1000]
    assert one.remaining == (len(left) if gone is None else 0)
    if truly:
        some = len({at for begins, ends in truly for at in range(begins, ends)}) * 1_000_000
        assert one.lower_ns <= some <= one.measured_ns
        longest = max(ends - begins for begins, ends in truly) * 1_000_000
        assert one.longest_lower_ns <= longest <= one.longest_ns
        assert 0 < one.share_max <= 1
    else:
        assert one.measured_s == one.share_max == 0
