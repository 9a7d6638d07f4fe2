"""Whether what an arm felt was its own generator's doing: asked for one stretch of time at a time.

A traffic process that is starved, or has too few users for its rate, makes operations late that the
cluster would have answered. Three things show it, each in the stretch that is asked about:

lag      its loop woke up, or began an operation for which a user was free, so late that this adds up
         to half of the stretch (told about once a second)
CPU      for half of the stretch it used all that one processor gives, or would have had others left
         it one, and was late for it: Python runs on one at a time
users    half of the operations that were due had to wait for a free user, or were never sent, and when
         the first of them began to wait every user was at an operation that was answered as usual

The last is what tells a generator that is too small from the crowd that an outage leaves behind:
there, users wait for a cluster that answers late or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaos.checks.connecting import StreamKey
from chaos.checks.evidence import Trace
from chaos.checks.recording import Recording
from chaos.checks.windows import Window
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.operation import PROBE_ARM, SLOW_S, Kind
from chaos.model.record import Observation

SHARE = 0.5
"""Of a stretch or of its operations: from here on the generator may have made it what it was."""
CPU_SHARE_MAX = 0.95
"""Of one processor; a process that uses, or wants, more has nothing left."""
# An operation that began this soon after it was due did not wait for a user.
_AT_ONCE_NS = NS // 50
# As long as this it waited so that its client would notice.
_WAITED_NS = round(SLOW_S / 2 * NS)
# So long before the first injection clients are looked at.
_BEFORE_S = 5.0
# All of a processor matters once it lasts, and once the generator is as late as this for it.
_BUSY_S = 3.0
_LATE_S = 0.05


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
    for told in _by_worker(recording, arm):
        starved = [o for o in told if _starved(o) and _overlap_ns(o, from_ns, to_ns)]
        wanted_s = sum(_overlap_ns(o, from_ns, to_ns) for o in starved) / NS
        if starved and wanted_s >= SHARE * length_ns / NS:
            got = sum(map(cpu_share, starved)) / len(starved)
            return (
                f"the traffic generator wanted a whole processor for {wanted_s:.1f} s of it and had "
                f"{got:.0%} of one"
            )
    for crowd in crowds(recording, arm, from_ns, to_ns):
        if crowd.share >= SHARE:
            return f"the traffic generator was too small: {crowd}"
    return None


def homemade(
    recording: Recording,
    stream: StreamKey,
    since_ns: int,
    until_ns: int,
    slow_s: float | None = None,
) -> dict[Window, str]:
    """Return the windows of an interval that the stream's generator may have made, and why."""
    found = {}
    for window in recording.windows(*stream, slow_s=slow_s):
        if window.first_bad_ns < until_ns and window.last_bad_ns >= since_ns:
            why = generator_was_slow(recording, stream[0], window.from_ns, window.reached_ns)
            if why is not None:
                found[window] = why
    return found


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
    begun = [injection.group.from_ns for injection in recording.injections]
    for of_arm, endpoint, kind in sorted(recording.streams):
        trace = recording.trace(arm, endpoint, kind) if of_arm == arm else None
        if trace is None:
            continue
        low, high = np.searchsorted(trace.intended, (from_ns, to_ns))
        waits = trace.started[low:high] - trace.intended[low:high]
        waiting = np.flatnonzero((waits > _WAITED_NS) | trace.dropped[low:high]) + low
        if not len(waiting):
            continue
        queue = _Queue(trace)
        homemade = [
            row
            for spell in queue.spells(waiting)
            if queue.all_busy(queue.first(spell[0]), users, thinking_ns, begun)
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
                since_ns=int(trace.intended[queue.first(homemade[0])]),
                waited_ns=int((trace.started[homemade] - trace.intended[homemade]).max()),
            )


class _Queue:
    """The operations of a stream, as they had to wait for a user or had not."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._at_once = bulk.where(
            len(trace.records),
            lambda part: (
                (trace.started[part] - trace.intended[part] <= _AT_ONCE_NS) & ~trace.dropped[part]
            ),
        )
        # Up to each row, when all had returned: what is under way at an instant comes after it.
        self._returned = bulk.column(trace.records, "ended_ns")
        np.maximum.accumulate(self._returned, out=self._returned)

    def spells(self, waiting: NDArray[np.intp]) -> list[list[int]]:
        """Cut rows that waited where one between them did not wait at all."""
        passed = np.searchsorted(self._at_once, waiting)
        cuts = np.flatnonzero(np.diff(passed)) + 1
        return [part.tolist() for part in np.split(waiting, cuts)]

    def first(self, row: int) -> int:
        """Return the first of the operations that waited without a break up to a row."""
        passed = int(np.searchsorted(self._at_once, row))
        return int(self._at_once[passed - 1]) + 1 if passed else 0

    def all_busy(self, row: int, users: int, thinking_ns: int, begun: Sequence[int]) -> bool:
        """Tell whether every user was at an operation, each answered as usual, when one fell due.

        Usual is what was so before the last fault that had `begun`: one that only slows answers down
        becomes usual, too.
        """
        trace = self._trace
        at_ns = int(trace.intended[row])
        since = int(np.searchsorted(self._returned, at_ns - thinking_ns, side="right"))
        there = slice(since, int(np.searchsorted(trace.intended, at_ns)))
        started, ended = trace.started[there], trace.ended[there]
        at_work = ~trace.dropped[there] & (started <= at_ns) & (ended + thinking_ns > at_ns)
        if int(at_work.sum()) < users:
            return False
        usual_ns = trace.answer_ns(max((i for i in begun if i <= at_ns), default=at_ns))
        as_usual = trace.succeeded[there] & (ended - started <= usual_ns)
        return bool((as_usual & (trace.records["attempts"][there] == 1))[at_work].all())


def cpu_share(lag: Observation) -> float:
    """Return what share of a processor a generator used, by its `lag` observation; 0 if not told."""
    return float(lag.detail.get("cpu_share") or 0.0)


def queued_share(lag: Observation) -> float:
    """Return for what share of the time it was ready to run while others had the processors."""
    return float(lag.detail.get("queued_share") or 0.0)


def _at_its_limit(lag: Observation) -> bool:
    return cpu_share(lag) >= CPU_SHARE_MAX and float(lag.value) / 1e3 > _LATE_S


def _starved(lag: Observation) -> bool:
    wanted = cpu_share(lag) + queued_share(lag)
    return wanted >= CPU_SHARE_MAX and float(lag.value) / 1e3 > _LATE_S


def _by_worker(recording: Recording, arm: str) -> Sequence[Sequence[Observation]]:
    """Return what each process that generates an arm's traffic told of itself."""
    told: dict[str, list[Observation]] = {}
    for observation in recording.observed("lag", arm):
        told.setdefault(str(observation.detail.get("worker", "")), []).append(observation)
    return tuple(told.values())


def _late_s(recording: Recording, arm: str, from_ns: int, to_ns: int) -> float:
    """Return the generator's delays in a stretch, each second's longest, in sum; at most all of it."""
    if (
        arm == PROBE_ARM
    ):  # each of them samples for itself: one that was late says nothing of others
        return recording.lag_s(arm, from_ns, to_ns)
    length_s = (to_ns - from_ns) / NS
    late_s = (
        sum(float(o.value) / 1e3 for o in told if _overlap_ns(o, from_ns, to_ns) > 0)
        for told in _by_worker(recording, arm)
    )
    return min(max(late_s, default=0.0), length_s)


def _overlap_ns(told: Observation, from_ns: int, to_ns: int) -> int:
    since_ns = told.at_ns - NS if told.since_ns is None else told.since_ns
    return max(0, min(told.at_ns, to_ns) - max(since_ns, from_ns))


def judge_generators(recording: Recording) -> Iterator[tuple[str, str, bool]]:
    """Yield what each way of being the bottleneck showed in the run: its name, why, whether it was.

    Looked at from shortly before the first injection on: what came before it is nobody's outage.
    """
    first_ns = min((i.requested_ns for i in recording.injections), default=recording.since_ns)
    since_ns = max(recording.since_ns, first_ns - round(_BEFORE_S * NS))
    arms = tuple(recording.history.arms)
    yield _lag(recording, arms, since_ns)
    yield _processor(recording, arms, since_ns)
    yield _too_few(recording, arms, since_ns)


def _lag(recording: Recording, arms: Sequence[str], since_ns: int) -> tuple[str, str, bool]:
    lags = {arm: recording.lag_s(arm, since_ns, recording.until_ns) for arm in arms}
    arm = max(lags, key=lambda a: lags[a], default="")
    lag_s = lags.get(arm, 0.0)
    if lag_s <= SLOW_S:
        why = f"the generator of {arm} was the latest, {lag_s:.3f} s behind its schedule"
        return "generator-lag", why, False
    why = (
        f"the generator of {arm} fell {lag_s:.3f} s behind its schedule: shorter windows may "
        f"be its own; lower the rates or give it more processors"
    )
    return "generator-lag", why, True


def _processor(recording: Recording, arms: Sequence[str], since_ns: int) -> tuple[str, str, bool]:
    """Look for seconds in a row in which a generator used all of a processor, and fell behind."""
    processes = [(arm, told) for arm in arms for told in _by_worker(recording, arm)]
    for arm, told in processes:
        busy_ns = 0
        for observation in told:
            length_ns = _overlap_ns(observation, since_ns, recording.until_ns)
            busy_ns = busy_ns + length_ns if _at_its_limit(observation) else 0
            if busy_ns >= _BUSY_S * NS:
                from_s = recording.seconds(observation.at_ns - busy_ns)
                why = (
                    f"the generator of {arm} used a whole processor and fell behind from "
                    f"{from_s:.1f} s after the run began, for {busy_ns / NS:.1f} s at least: "
                    f"latencies are its own; lower the rates, or send with several workers"
                )
                return "generator-cpu", why, True
    shares = ((cpu_share(o), arm) for arm, told in processes for o in told if o.at_ns > since_ns)
    share, arm = max(shares, default=(0.0, ""))
    if not share:
        return "generator-cpu", "no generator told what CPU time it used", False
    return (
        "generator-cpu",
        f"the generator of {arm} used the most, {share:.0%} of a processor",
        False,
    )


def _too_few(recording: Recording, arms: Sequence[str], since_ns: int) -> tuple[str, str, bool]:
    """Look for operations that waited for users, though the cluster answered as usual."""
    found = [c for arm in arms for c in crowds(recording, arm, since_ns, recording.until_ns)]
    if found:
        worst = max(found, key=lambda crowd: crowd.operations)
        at_s = recording.seconds(worst.since_ns)
        why = (
            f"the generator of {worst.arm} was too small from {at_s:.1f} s after the run began: "
            f"{worst}; raise users, or lower the rate"
        )
        return "generator-users", why, True
    return "generator-users", "no operation waited for a user while the cluster answered", False
