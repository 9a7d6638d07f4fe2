"""A bounded share of the processors for each server, which makes a modelled capacity felt.

Every server has a bucket of processor time that fills at its share's rate. Its users' sessions draw
from it; where it is empty they are stopped by signal until there is a slice again, a few hundredths of
a second of wall-clock time. The postmaster, WAL senders and receivers, the recovery and the control
plane's sessions are never stopped, so promotion, replication and health checks keep their pace, and a
server that is not at its limit does not notice.

Signals to our own processes need no privilege, unlike control groups, and leave nothing behind. What
they bound is users' sessions alone, and on an average over some tens of milliseconds.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from chaos.clock import NS, Clock, MonotonicClock
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.serverless.census import Census, supported

log = logging.getLogger(__name__)

_BURST_S = 0.5  # so long may a rested server take all it can get, in terms of its share
_BURST_MIN_S = 0.05
_SLICE_S = 0.03
_SLICE_MIN_S = 0.002
_DEBT_S = 0.25  # at most so long is it stopped for having taken too much before it was noticed
_COUNT_EVERY_S = 0.1
_COUNT_EVERY_BOUND_S = 0.025
_NAP_MIN_S = 0.002
_NAP_MAX_S = 0.1
_QUIET = 0.2  # of its share; a rested server that takes less is looked at less often


class Bucket:
    """Processor time that may be taken now, in seconds; negative when too much was taken."""

    def __init__(self, cores: float) -> None:
        self.cores = cores
        self.level_s = self.burst_s

    @property
    def burst_s(self) -> float:
        """How much a rested server may take at once."""
        return max(self.cores * _BURST_S, _BURST_MIN_S)

    @property
    def slice_s(self) -> float:
        """How much has to be there before stopped sessions run again."""
        return max(self.cores * _SLICE_S, _SLICE_MIN_S)

    def pass_time(self, wall_s: float, taken_s: float) -> None:
        """Account for a while: fill by the share, draw what was taken."""
        level_s = self.level_s + self.cores * wall_s - taken_s
        self.level_s = min(max(level_s, -self.cores * _DEBT_S), self.burst_s)

    def reaches(self, level_s: float) -> float:
        """Return in how many seconds it will be filled up to a level, if nothing is taken."""
        return max(level_s - self.level_s, 0.0) / self.cores


@dataclass(frozen=True, slots=True)
class Usage:
    """What a server's sessions did until now; both times only grow."""

    used_s: float
    stopped_s: float
    """For how long they were stopped, having used up their share."""
    connections: int


@dataclass(slots=True)
class _Bound:
    """One server under supervision."""

    postmaster: int
    bucket: Bucket | None = None  # None: its share is not below what the machine has
    used_s: float | None = None  # None: not looked at yet
    stopped_s: float = 0.0
    connections: int = 0
    stopped: set[int] = field(default_factory=set)


class Governor:
    """Keeps servers within their shares, in one thread for all nodes of a cluster."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or MonotonicClock()
        self._lock = threading.Lock()
        self._census = Census()
        self._bound: dict[Node, _Bound] = {}
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._counted_ns = 0
        self._busy = False
        self._processors = processors()

    def assign(self, shares: Mapping[Node, float]) -> None:
        """Supervise these servers, and no others, each with so many cores.

        Those that run no longer, or again, are noticed. An empty mapping ends all work.
        """
        present = {node: pid for node in shares if (pid := node.pid) is not None}
        with self._lock:
            for node in [n for n in self._bound if present.get(n) != self._bound[n].postmaster]:
                self._release(node, self._bound.pop(node))
            for node, postmaster in present.items():
                bound = self._bound.setdefault(node, _Bound(postmaster))
                self._set_share(node, bound, shares[node])
        if present:
            self._start()
        if present and not self._busy:
            self._changed.set()

    def usage(self, node: Node) -> Usage | None:
        """Return what a supervised server's sessions did, None before it was first looked at."""
        with self._lock:
            bound = self._bound.get(node)
            if bound is None or bound.used_s is None:
                return None
            return Usage(bound.used_s, bound.stopped_s, bound.connections)

    def users_on(self, node: Node) -> int:
        """Look now, and return how many users' sessions a server has, stopped or not."""
        with self._lock:
            bound = self._bound.get(node)
            if bound is None:
                return 0
            self._census.count([b.postmaster for b in self._bound.values()])
            return len(self._census.sessions(bound.postmaster))

    def close(self) -> None:
        """End supervision; every stopped session runs again."""
        self._ending.set()
        self._changed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)
        with self._lock:
            self._release_all()
            self._bound.clear()

    def _release_all(self) -> None:
        for node, bound in self._bound.items():
            self._release(node, bound)

    def _start(self) -> None:
        if self._thread is None and supported():
            self._thread = threading.Thread(target=self._run, name="governor", daemon=True)
            self._thread.start()

    @staticmethod
    def _set_share(node: Node, bound: _Bound, cores: float) -> None:
        if cores >= processors():
            Governor._release(node, bound)
            bound.bucket = None
        elif bound.bucket is None:
            bound.bucket = Bucket(cores)
        else:
            bound.bucket.cores = cores

    @staticmethod
    def _release(node: Node, bound: _Bound) -> None:
        if bound.stopped:
            node.freezer.run(bound.stopped)
            bound.stopped = set()

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        before_ns = self._clock.now_ns()
        nap_s: float | None = _NAP_MIN_S
        while not self._ending.is_set():
            self._changed.wait(nap_s)
            self._changed.clear()
            now_ns = self._clock.now_ns()
            with self._lock:
                try:
                    nap_s = self._look(now_ns, (now_ns - before_ns) / NS)
                except OSError:  # Nobody is to stay stopped because something could not be read.
                    log.exception("shares of the processors are not kept for a moment")
                    self._release_all()
                    nap_s = _NAP_MAX_S
            before_ns = now_ns

    def _look(self, now_ns: int, passed_s: float) -> float | None:
        """Account for the time that passed, stop and let run; return when to look again."""
        self._busy = bool(self._bound)
        if not self._busy:
            return None  # until there is something to do
        held = any(bound.stopped for bound in self._bound.values())
        every_s = _COUNT_EVERY_BOUND_S if held else _COUNT_EVERY_S
        count = (now_ns - self._counted_ns) / NS >= every_s
        if count:
            self._census.count([bound.postmaster for bound in self._bound.values()])
            self._counted_ns = now_ns
        naps = [self._govern(node, b, passed_s, count=count) for node, b in self._bound.items()]
        return min(max(min(naps), _NAP_MIN_S), _NAP_MAX_S)

    def _govern(self, node: Node, bound: _Bound, passed_s: float, *, count: bool) -> float:
        used_s = self._census.used_s(bound.postmaster, exactly=count)
        # What was used before we looked for the first time is not held against anybody.
        taken_s = used_s - bound.used_s if bound.used_s is not None else 0.0
        bound.used_s = used_s
        if count:
            bound.connections = len(self._census.sessions(bound.postmaster))
        bucket = bound.bucket
        if bucket is None:
            return _NAP_MAX_S
        bucket.pass_time(passed_s, taken_s)
        if bound.stopped:
            bound.stopped_s += passed_s
            if bucket.level_s >= bucket.slice_s:
                self._release(node, bound)
        if bucket.level_s <= 0 or bound.stopped:
            fresh = self._census.working(bound.postmaster) - bound.stopped
            node.freezer.stop(fresh)
            bound.stopped |= fresh
            return bucket.reaches(bucket.slice_s)
        if bucket.level_s >= bucket.burst_s and taken_s <= _QUIET * bucket.cores * passed_s:
            return _NAP_MAX_S
        # Not before it can be empty, if sessions take all that the machine has.
        return bucket.level_s / max(self._processors - bucket.cores, 0.1)


def processors() -> int:
    """Return how many processors this process, and so its servers, may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def means() -> str:
    """Tell by what a capacity is felt here, as `gameday cluster status` shows it."""
    if supported():
        return "sessions over their share of the processors are stopped by signal for moments"
    return "none: a bounded share of the processors needs Linux; capacity is only shown here"
