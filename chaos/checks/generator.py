"""Whether what an arm felt was its own generator's doing: asked for one stretch of time at a time.

A traffic process that is starved, or has too few users for its rate, makes operations late that the
cluster would have answered. Three things show it, each in the stretch that is asked about:

lag      its loop woke up, or began an operation for which a user was free, so late that this adds up
         to half of the stretch (told about once a second)
CPU      it used all that one processor gives for half of the stretch: Python runs on one at a time
users    half of the operations that were due had to wait for a free user, or were never sent, and when
         the first of them began to wait every user was at an operation that was answered as usual

The last is what tells a generator that is too small from the crowd that an outage leaves behind:
there, users wait for a cluster that answers late or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaos.checks.evidence import Trace
from chaos.checks.recording import SLOW_S, Recording
from chaos.clock import NS
from chaos.model.operation import PROBE_ARM, Kind
from chaos.model.record import Observation

SHARE = 0.5
"""Of a stretch or of its operations: from here on the generator may have made it what it was."""
CPU_SHARE_MAX = 0.95
"""Of one processor; a process that uses more has nothing left."""
# An operation that began this soon after it was due did not wait for a user.
_AT_ONCE_NS = NS // 50
# As long as this it waited so that its client would notice.
_WAITED_NS = round(SLOW_S / 2 * NS)


def generator_was_slow(recording: Recording, arm: str, from_ns: int, to_ns: int) -> str | None:
    """Return why the generator of an arm may itself have caused what was felt in a stretch.

    None where it kept its schedule, or where nothing is known of it.
    """
    length_ns = to_ns - from_ns
    if length_ns <= 0:
        return None
    late_s = _late_s(recording, arm, from_ns, to_ns)
    if late_s >= SHARE * length_ns / NS:
        return f"the traffic generator itself fell {late_s:.3f} s behind"
    busy_s = sum(
        _overlap_ns(o, from_ns, to_ns) / NS
        for o in recording.observed("lag", arm)
        if cpu_share(o) >= CPU_SHARE_MAX
    )
    if busy_s >= SHARE * length_ns / NS:
        return f"the traffic generator used a whole processor for {busy_s:.1f} s of it"
    for crowd in crowds(recording, arm, from_ns, to_ns):
        if crowd.share >= SHARE:
            return f"the traffic generator was too small: {crowd}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Operations of one stream that waited for a user though the cluster answered as usual."""

    arm: str
    endpoint: str
    kind: Kind
    users: int
    operations: int
    due: int
    """How many operations were due in the same stretch."""
    since_ns: int
    """When the first of them began to wait."""
    waited_ns: int
    """How long the longest waited, until it began or was given up."""

    @property
    def share(self) -> float:
        """How many of the operations that were due."""
        return self.operations / self.due

    def __str__(self) -> str:
        """Return it for a person."""
        return (
            f"all {self.users} users were busy while {self.endpoint} answered as usual, "
            f"and {self.operations} {self.kind.name.lower()}s waited up to {self.waited_ns / NS:.3f} s"
        )


def crowds(recording: Recording, arm: str, from_ns: int, to_ns: int) -> Iterator[Crowd]:
    """Yield the operations due in a stretch that waited for the generator's users, by stream."""
    told = (recording.history.environment.get("arms") or {}).get(arm) or {}
    users = int(told.get("users") or 0)
    if not users:
        return
    thinking_ns = round(float(told.get("think_time_s") or 0.0) * NS)
    for of_arm, endpoint, kind in sorted(recording.streams):
        trace = recording.trace(arm, endpoint, kind) if of_arm == arm else None
        if trace is None:
            continue
        low, high = np.searchsorted(trace.intended, (from_ns, to_ns))
        waits = trace.started[low:high] - trace.intended[low:high]
        waiting = np.flatnonzero((waits > _WAITED_NS) | trace.dropped[low:high]) + low
        homemade = [
            row
            for spell in _spells(trace, waiting)
            if _all_users_busy(recording, trace, _first(trace, spell[0]), users, thinking_ns)
            for row in spell
        ]
        if homemade:
            yield Crowd(
                arm=arm,
                endpoint=endpoint,
                kind=kind,
                users=users,
                operations=len(homemade),
                due=int(high - low),
                since_ns=int(trace.intended[_first(trace, homemade[0])]),
                waited_ns=int((trace.started[homemade] - trace.intended[homemade]).max()),
            )


def _spells(trace: Trace, waiting: np.typing.NDArray[np.intp]) -> list[list[int]]:
    """Cut operations that waited where one between them did not wait at all."""
    if not len(waiting):
        return []
    at_once = np.cumsum(_at_once(trace))
    cuts = np.flatnonzero(np.diff(at_once[waiting])) + 1
    return [part.tolist() for part in np.split(waiting, cuts)]


def _first(trace: Trace, row: int) -> int:
    """Return the first of the operations that waited without a break up to a row."""
    before = np.flatnonzero(_at_once(trace)[:row])
    return int(before[-1]) + 1 if len(before) else 0


def _at_once(trace: Trace) -> np.typing.NDArray[np.bool_]:
    return np.asarray((trace.started - trace.intended <= _AT_ONCE_NS) & ~trace.dropped)


def _all_users_busy(
    recording: Recording, trace: Trace, row: int, users: int, thinking_ns: int
) -> bool:
    """Tell whether every user was at an operation, each answered as usual, when one fell due.

    Usual is what was so before the fault: one that only slows answers down becomes usual, too.
    """
    at_ns = int(trace.intended[row])
    there = slice(0, int(np.searchsorted(trace.intended, at_ns)))
    started, ended = trace.started[there], trace.ended[there]
    answered = ~trace.dropped[there]
    at_work = answered & (started <= at_ns) & (ended + thinking_ns > at_ns)
    if int(at_work.sum()) < users:
        return False
    begun = (i.group.from_ns for i in recording.injections if i.group.from_ns <= at_ns)
    usual_ns = trace.answer_ns(max(begun, default=at_ns))
    as_usual = trace.succeeded[there] & (ended - started <= usual_ns)
    return bool((as_usual & (trace.records["attempts"][there] == 1))[at_work].all())


def cpu_share(lag: Observation) -> float:
    """Return what share of a processor a generator used, by its `lag` observation; 0 if not told."""
    detail: Mapping[str, Any] = lag.detail
    return float(detail.get("cpu_share") or 0.0)


def _late_s(recording: Recording, arm: str, from_ns: int, to_ns: int) -> float:
    """Return the generator's delays in a stretch, each second's longest, in sum; at most all of it."""
    if (
        arm == PROBE_ARM
    ):  # each of them samples for itself: one that was late says nothing of others
        return recording.lag_s(arm, from_ns, to_ns)
    length_s = (to_ns - from_ns) / NS
    late_s: dict[str, float] = {}
    for told in recording.observed("lag", arm):
        if _overlap_ns(told, from_ns, to_ns) > 0:
            worker = str(told.detail.get("worker", ""))
            late_s[worker] = late_s.get(worker, 0.0) + min(float(told.value) / 1e3, length_s)
    return min(max(late_s.values(), default=0.0), length_s)


def _overlap_ns(told: Observation, from_ns: int, to_ns: int) -> int:
    since_ns = told.at_ns - NS if told.since_ns is None else told.since_ns
    return max(0, min(told.at_ns, to_ns) - max(since_ns, from_ns))
