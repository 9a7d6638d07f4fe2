"""The poisoned pool: live connections through the cluster endpoint that sit on a demoted writer.

Such a connection is *pinned*: it answers reads and health checks (`SELECT 1` passes on a reader) and
refuses every write with SQLSTATE 25006, which drivers do not count as a lost connection. A pool keeps
it, and hands it out again. An idle one that nobody uses is pinned as well.

When a connection was pinned lies between two instants on both sides: it came to sit there between
the start of connecting and being ready, an instance was demoted or restarted between two samples of
it, and what it refused as a write it refused between the attempt's start and its end. A figure spans
the outer ones, its uncertainty says how much longer it is than the inner ones. A connection that was
opened before the server was seen to restart is not pinned but broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from chaos.checks.connections import connections_of
from chaos.checks.injections import Injection
from chaos.checks.poisoned_pool_remedies import remedy_of
from chaos.checks.recording import Recording
from chaos.checks.scene import CLUSTER
from chaos.checks.switching_roles import Astray, astray_within, restarts, roles
from chaos.clock import NS
from chaos.model.connections import STILL_OPEN, Connections, Flags, Instants
from chaos.model.operation import Outcome

_STEPS_MAX = 200


@dataclass(frozen=True, slots=True)
class Pins:
    """For how long connections were pinned, as columns; a connection may come twice."""

    row: NDArray[np.intp]
    """Of the connection in its arm's table."""
    possibly_from: Instants
    certainly_from: Instants
    certainly_to: Instants
    """`STILL_OPEN` where nothing ended it."""
    possibly_to: Instants


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoning:
    """What one injection did to one arm's pool on the cluster endpoint; instants monotonic.

    The first connection was pinned no earlier than `from_ns`, the last one no later than `to_ns`; None:
    some were when the period ended. Between them some were for `measured_ns` at most and `lower_ns` at
    least, and the one that was pinned longest `longest_ns` and `longest_lower_ns`. No `pinned`: none
    ever was.
    """

    arm: str
    injection: Injection
    instances: tuple[str, ...]
    """The demoted writers on which connections were pinned; without any, those demoted in the period."""
    pinned: int
    remaining: int
    """Pinned when the period ended."""
    unused: int
    """Of these, those that carried nothing since they were pinned."""
    from_ns: int | None
    to_ns: int | None
    measured_ns: int
    lower_ns: int
    longest_ns: int
    longest_lower_ns: int
    until_ns: int
    """End of the period."""
    share_max: float
    """Of the connections that were open at the same time."""
    steps: tuple[tuple[int, int, int], ...]
    """(from when on, pinned, live)."""
    refused: int
    """Operations that a pinned connection refused with 25006 at least once."""
    failed: int
    """Of these, those that failed in the end."""
    unplaced: int
    """Operations that were refused with 25006 through the cluster endpoint, on no connection that is
    known to have sat on a demoted writer."""
    first_refused_ns: int | None
    last_refused_ns: int | None
    answered: int
    """Operations that a pinned connection answered all the same."""
    operations: int
    """Operations of the arm through the cluster endpoint since the first demotion."""

    @property
    def measured_s(self) -> float:
        """Seconds, never below the truth; what had passed where the period ended before it did."""
        return self.measured_ns / NS

    @property
    def uncertainty_s(self) -> float:
        """By how much less it may be."""
        return (self.measured_ns - self.lower_ns) / NS


_read: WeakKeyDictionary[Recording, tuple[Poisoning, ...]] = WeakKeyDictionary()


def poisonings(recording: Recording) -> tuple[Poisoning, ...]:
    """Return one for each arm with a connection log and each group of injections that demoted a writer.

    What was under way at once is one period; its `injection` is the last one before the demotion.
    """
    if recording not in _read:
        _read[recording] = tuple(_poisonings(recording))
    return _read[recording]


def _poisonings(recording: Recording) -> Iterator[Poisoning]:
    told = roles(recording)
    groups = [
        list(injections) for _, injections in groupby(recording.injections, lambda i: i.group)
    ]
    for arm in recording.arms:
        conns = connections_of(recording, arm)
        if conns is None:
            continue
        for injections in groups:
            period = injections[0].group
            astray = astray_within(told, period.from_ns, period.until_ns)
            if astray:
                begun = (o.began.at_ns for o in astray if o.began.at_ns >= period.from_ns)
                begun_ns = min(begun, default=period.from_ns)
                mover = max(
                    (i for i in injections if i.requested_ns <= begun_ns),
                    key=lambda i: i.requested_ns,
                )
                found = _poisoning(recording, mover, arm, conns, astray)
                if found.instances:
                    yield found


def find_pins(
    recording: Recording, conns: Connections, astray: Sequence[Astray], since_ns: int
) -> Pins:
    """Return which connections through the cluster endpoint were certainly pinned, and for how long.

    Nothing before `since_ns` counts; there must be a stretch.
    """
    parts, known = [], set()
    for one in astray:
        refusals = _first_refusals(conns, STILL_OPEN if one.instance in known else since_ns)
        known.add(one.instance)
        parts.append(_pins_on(recording, conns, one, refusals))
    row, possibly_from, certainly_from, certainly_to, possibly_to = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    kept = certainly_to > since_ns
    return Pins(
        row=row[kept],
        possibly_from=np.maximum(possibly_from[kept], since_ns),
        certainly_from=np.maximum(certainly_from[kept], since_ns),
        certainly_to=certainly_to[kept],
        possibly_to=possibly_to[kept],
    )


def _first_refusals(conns: Connections, since_ns: int) -> tuple[Instants, Instants]:
    """Return start and end of the first write that each connection refused since; else `STILL_OPEN`."""
    failed = conns.failed
    refused = failed.read_only & (failed.owner >= 0) & (failed.started >= since_ns)
    started, ended = (np.full(len(conns), STILL_OPEN, dtype=np.int64) for _ in range(2))
    np.minimum.at(started, failed.owner[refused], failed.started[refused])
    np.minimum.at(ended, failed.owner[refused], failed.ended[refused])
    # Some clients close the connection before they tell of the refusal.
    ended = np.minimum(ended, np.where(ended == STILL_OPEN, ended, conns.closed - 1))
    return started, ended


def _pins_on(
    recording: Recording, conns: Connections, one: Astray, refusals: tuple[Instants, Instants]
) -> tuple[Instants, ...]:
    rows = np.flatnonzero(conns.through(CLUSTER) & conns.on(one.instance))
    closed = conns.closed[rows]
    certainly_to, possibly_to = closed.copy(), closed.copy()
    ends = [one.ended] if one.ended else []
    for end in (*restarts(recording, one.instance), *ends):
        # Whatever was open before the change ended with it.
        older = conns.opened[rows] < end.since_ns
        certainly_to = np.where(older, np.minimum(certainly_to, end.since_ns), certainly_to)
        possibly_to = np.where(older, np.minimum(possibly_to, end.at_ns), possibly_to)
    asked, refused = (column[rows] for column in refusals)
    possibly_from = np.maximum(conns.began[rows], np.minimum(one.began.since_ns, asked))
    certainly_from = np.maximum(conns.opened[rows], np.minimum(one.began.at_ns, refused))
    if one.ended:
        late = certainly_from >= one.ended.since_ns
        certainly_to = np.where(late, certainly_from, certainly_to)
    kept = certainly_to > certainly_from
    columns = (rows, possibly_from, certainly_from, certainly_to, possibly_to)
    return tuple(column[kept] for column in columns)


def _poisoning(
    recording: Recording,
    injection: Injection,
    arm: str,
    conns: Connections,
    astray: Sequence[Astray],
) -> Poisoning:
    until_ns = min(injection.group.until_ns, recording.until_ns)
    pins = find_pins(recording, conns, astray, injection.group.from_ns)
    inside = pins.certainly_from < until_ns
    pins = Pins(*(getattr(pins, name)[inside] for name in pins.__slots__))
    remains = pins.certainly_to > until_ns
    uses = _Uses.of(conns, pins)
    remaining = np.unique(pins.row[remains])
    ever = len(pins.row) > 0
    fresh = [one for one in astray if one.began.at_ns >= injection.group.from_ns]
    starts = [one.began.since_ns for one in fresh]
    starts += [int(pins.possibly_from.min())] if ever else []
    since_ns = max(min(starts, default=until_ns), injection.group.from_ns)
    instances = conns.instances(pins.row) or tuple({one.instance for one in fresh})
    # Of traffic from other machines, whose clocks are known to within this only.
    error_ns = conns.log.clock_error_ns
    to_ns = None if remains.any() or not ever else int(pins.possibly_to.max()) + error_ns
    most, least = _outer(pins, until_ns, error_ns), _inner(pins, until_ns, error_ns)
    steps = _steps(conns, pins, since_ns, until_ns)
    return Poisoning(
        arm=arm,
        injection=injection,
        instances=tuple(sorted(instances)),
        pinned=len(np.unique(pins.row)),
        remaining=len(remaining),
        unused=int((~np.isin(remaining, uses.used)).sum()),
        from_ns=int(pins.possibly_from.min()) - error_ns if ever else None,
        to_ns=to_ns,
        measured_ns=_covered(*most),
        lower_ns=_covered(*least),
        longest_ns=int((most[1] - most[0]).max(initial=0)),
        longest_lower_ns=int((least[1] - least[0]).max(initial=0)),
        until_ns=until_ns,
        share_max=max((pinned / live for _, pinned, live in steps if live), default=0.0),
        steps=_thinned(steps),
        refused=len(uses.refused),
        unplaced=_unplaced(conns, astray, injection.group.from_ns, until_ns),
        failed=int((conns.log.operations["outcome"][uses.refused] != Outcome.OK).sum()),
        first_refused_ns=uses.first_refused_ns,
        last_refused_ns=uses.last_refused_ns,
        answered=uses.answered,
        operations=_operations(conns, since_ns, until_ns),
    )


def _outer(pins: Pins, until_ns: int, error_ns: int) -> tuple[Instants, Instants]:
    """Return from when and until when each was pinned at most."""
    return pins.possibly_from - error_ns, np.minimum(pins.possibly_to, until_ns) + error_ns


def _inner(pins: Pins, until_ns: int, error_ns: int) -> tuple[Instants, Instants]:
    """Return from when and until when each was pinned for certain; never an end before its beginning."""
    begins = pins.certainly_from + error_ns
    return begins, np.maximum(np.minimum(pins.certainly_to, until_ns) - error_ns, begins)


def _covered(begins: Instants, ends: Instants) -> int:
    """Return how long at least one of some stretches lasted."""
    order = np.argsort(begins)
    begins, ends = begins[order], ends[order]
    if not len(ends):
        return 0
    before = np.concatenate([begins[:1], np.maximum.accumulate(ends)[:-1]])
    return int(np.maximum(ends - np.maximum(begins, before), 0).sum())


@dataclass(frozen=True, slots=True)
class _Uses:
    """What pinned connections were used for, while they were."""

    used: NDArray[np.int64]
    refused: NDArray[np.int64]
    first_refused_ns: int | None
    last_refused_ns: int | None
    answered: int

    @classmethod
    def of(cls, conns: Connections, pins: Pins) -> _Uses:
        possibly, certainly = (np.full(len(conns), STILL_OPEN, dtype=np.int64) for _ in range(2))
        np.minimum.at(possibly, pins.row, pins.possibly_from)
        np.minimum.at(certainly, pins.row, pins.certainly_from)
        failed = conns.failed
        refused = failed.read_only & (failed.ended >= np.append(possibly, STILL_OPEN)[failed.owner])
        # A refusal shows a pin; whatever else ended before it was certain may have met the writer.
        mine = refused | (failed.ended >= np.append(certainly, STILL_OPEN)[failed.owner])
        served = conns.served(certainly)
        ended = failed.ended[refused]
        return cls(
            used=np.union1d(failed.owner[mine], np.flatnonzero(served)),
            refused=np.unique(failed.operation[refused]),
            first_refused_ns=int(ended.min()) if len(ended) else None,
            last_refused_ns=int(ended.max()) if len(ended) else None,
            answered=int(served.sum()),
        )


def _unplaced(conns: Connections, astray: Sequence[Astray], since_ns: int, until_ns: int) -> int:
    """Count the operations through the cluster endpoint that were refused on no demoted writer.

    A connection to one is a pin, or its end is known.
    """
    failed = conns.failed
    if CLUSTER not in conns.log.names or not failed.read_only.any():
        return 0
    lost = failed.read_only & (failed.ended >= since_ns) & (failed.ended < until_ns)
    for one in astray:
        lost &= ~np.append(conns.on(one.instance), np.False_)[failed.owner]
    operations = np.unique(failed.operation[lost])
    endpoints = conns.log.operations["endpoint"][operations]
    return int((endpoints == conns.log.names.index(CLUSTER)).sum())


def _operations(conns: Connections, since_ns: int, until_ns: int) -> int:
    """Count the operations through the cluster endpoint that a connection carried or refused."""
    operations = conns.log.operations
    if CLUSTER not in conns.log.names:
        return 0
    inside = operations["endpoint"] == conns.log.names.index(CLUSTER)
    inside &= (operations["ended_ns"] >= since_ns) & (operations["ended_ns"] < until_ns)
    return int((inside & (operations["backend_pid"] > 0)).sum())


def _steps(
    conns: Connections, pins: Pins, since_ns: int, until_ns: int
) -> list[tuple[int, int, int]]:
    """Return how many were pinned, of how many that were live, from each change on."""
    rows: Flags = conns.through(CLUSTER)
    opened, closed = np.sort(conns.opened[rows]), np.sort(conns.closed[rows])
    begins, ends = np.sort(pins.certainly_from), np.sort(pins.certainly_to)
    at = np.unique(np.concatenate([[since_ns], opened, closed, begins, ends]))
    at = at[(at >= since_ns) & (at < until_ns)]
    pinned = np.searchsorted(begins, at, side="right") - np.searchsorted(ends, at, side="right")
    live = np.searchsorted(opened, at, side="right") - np.searchsorted(closed, at, side="right")
    return list(zip(at.tolist(), pinned.tolist(), live.tolist(), strict=True))


def _thinned(steps: list[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    """Return the steps at which a number differs, or of each stretch the one with the most pinned."""
    told = [s for n, s in enumerate(steps) if n == 0 or s[1:] != steps[n - 1][1:]]
    size = -(-len(told) // _STEPS_MAX)
    if size <= 1:
        return tuple(told)
    parts = (told[n : n + size] for n in range(0, len(told), size))
    return tuple(max(part, key=lambda s: (s[1] / max(s[2], 1), s[1])) for part in parts)


def poisoned(recording: Recording) -> list[dict[str, Any]]:
    """Return every arm's pool after every injection that demoted a writer, for `verdict.json`."""
    return [
        {
            "arm": one.arm,
            "fault_id": one.injection.fault_id,
            "instances": list(one.instances),
            "pinned": one.pinned,
            "remaining": one.remaining,
            "unused": one.unused,
            "share_max": one.share_max,
            "measured": one.measured_s,
            "uncertainty_s": one.uncertainty_s,
            "from": _seconds(recording, one.from_ns),
            "to": _seconds(recording, one.to_ns),
            "until": recording.seconds(one.until_ns),
            "refused": one.refused,
            "failed": one.failed,
            "unplaced": one.unplaced,
            "first_refused": _seconds(recording, one.first_refused_ns),
            "last_refused": _seconds(recording, one.last_refused_ns),
            "answered": one.answered,
            "steps": [[recording.seconds(at), pinned, live] for at, pinned, live in one.steps],
            "remedy": remedy_of(recording, one.arm),
        }
        for one in poisonings(recording)
    ]


def _seconds(recording: Recording, at_ns: int | None) -> float | None:
    return None if at_ns is None else recording.seconds(at_ns)
