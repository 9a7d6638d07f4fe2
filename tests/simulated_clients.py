"""Simulated clients of a service whose outages are known: what they would have recorded."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from chaos.model.operation import Kind, Outcome

LOST = "----- ConnectionLost"
REFUSED = "----- ConnectionRefused"
READ_ONLY = "25006 ReadOnlySqlTransaction"
QUEUE_FULL = "----- QueueFull"
DEADLINE = "----- DeadlineExceeded"
MISSED = "----- Missed"


class Shape(StrEnum):
    """How the service is out."""

    FREEZE = "freeze"
    """Requests are accepted and answered when it is over."""
    REFUSE = "refuse"
    """Requests fail at once."""
    BLACKHOLE = "blackhole"
    """Requests vanish; the client's kernel sends them again after 0.2, 0.6, 1.4, 3... s."""


@dataclass(frozen=True, kw_only=True)
class Outage:
    endpoint: str
    from_s: float
    to_s: float
    shape: Shape


@dataclass(frozen=True, kw_only=True)
class Retry:
    """A client that tries again after `pause_s` until `budget_s` after the first start."""

    budget_s: float = 15.0
    pause_s: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """One stream: arrivals at a steady rate, each off its grid by up to `jitter` of a period."""

    arm: str
    endpoint: str
    kind: Kind
    per_s: float
    from_s: float
    until_s: float
    latency_s: float
    jitter: float
    users: int
    queue_max: int
    deadline_s: float | None
    retry: Retry | None
    stale: int
    """How many of its pooled connections an outage breaks without the client noticing."""
    read_only: tuple[float, float, float] | None
    """(from_s, to_s, share): that share of attempts is answered 25006 by the demoted writer."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    started_s: float
    ended_s: float
    outcome: Outcome
    error: str = ""
    instance: str = ""
    backend_pid: int = 0


@dataclass
class Clients:
    """Clients of one cluster. `writers` are (from, instance) in order, times in seconds."""

    outages: Sequence[Outage]
    writers: Sequence[tuple[float, str]]
    readers: Sequence[str]
    random: random.Random

    def operations(self, stream: Traffic) -> Iterator[tuple[float, list[Attempt]]]:
        """Yield each operation of a stream: when it was due, and its attempts."""
        free = [stream.from_s] * stream.users
        self._stale = stream.stale
        waiting: deque[float] = deque()
        for turn in range(int((stream.until_s - stream.from_s) * stream.per_s)):
            offset = self.random.uniform(-0.5, 0.5) * stream.jitter
            intended_s = stream.from_s + (turn + 0.5 + offset) / stream.per_s
            while waiting and waiting[0] <= intended_s:
                waiting.popleft()
            if len(waiting) >= stream.queue_max:
                full = Attempt(
                    started_s=intended_s,
                    ended_s=intended_s,
                    outcome=Outcome.FAILED,
                    error=QUEUE_FULL,
                )
                yield intended_s, [full]
                continue
            started_s = max(intended_s, heapq.heappop(free))
            if started_s > intended_s:
                waiting.append(started_s)
            attempts = self._attempts(stream, started_s)
            heapq.heappush(free, attempts[-1].ended_s)
            yield intended_s, attempts

    def _attempts(self, stream: Traffic, started_s: float) -> list[Attempt]:
        attempts = [self._attempt(stream, started_s)]
        retry = stream.retry
        while retry is not None and attempts[-1].outcome is not Outcome.OK:
            next_s = attempts[-1].ended_s + retry.pause_s * self.random.uniform(0.5, 1.0)
            if next_s > started_s + retry.budget_s:
                break
            attempts.append(self._attempt(stream, next_s))
        return attempts

    def _attempt(self, stream: Traffic, started_s: float) -> Attempt:
        """Return what one attempt that starts at `started_s` meets."""
        latency_s = stream.latency_s * self.random.uniform(0.5, 1.5)
        refused = self._refused_by_its_connection(stream, started_s, latency_s)
        if refused is not None:
            return refused
        ended_s = started_s + latency_s
        for outage in sorted(self.outages, key=lambda o: o.from_s):
            if outage.endpoint != stream.endpoint:
                continue
            if outage.to_s <= started_s or ended_s <= outage.from_s:
                continue
            if outage.shape is Shape.REFUSE:
                return _refused(outage, started_s)
            ended_s = _answered(outage, started_s, latency_s)
        if stream.deadline_s is not None and ended_s > started_s + stream.deadline_s:
            return Attempt(
                started_s=started_s, ended_s=started_s + stream.deadline_s,
                outcome=Outcome.UNKNOWN, error=DEADLINE, backend_pid=4000,
            )  # fmt: skip
        return Attempt(
            started_s=started_s, ended_s=ended_s, outcome=Outcome.OK,
            instance=self._instance(stream.endpoint, ended_s), backend_pid=4000,
        )  # fmt: skip

    def _refused_by_its_connection(
        self, stream: Traffic, started_s: float, latency_s: float
    ) -> Attempt | None:
        """Return a failure that a pooled connection brings: it broke, or leads to a reader now."""
        broken = any(o.endpoint == stream.endpoint and o.from_s <= started_s for o in self.outages)
        if broken and self._stale and self.random.random() < 0.2:
            self._stale -= 1
            return Attempt(
                started_s=started_s, ended_s=started_s + 0.0002, outcome=Outcome.UNKNOWN,
                error=LOST, backend_pid=4000,
            )  # fmt: skip
        if stream.read_only is not None:
            from_s, to_s, share = stream.read_only
            if from_s <= started_s < to_s and self.random.random() < share:
                return Attempt(
                    started_s=started_s, ended_s=started_s + latency_s, outcome=Outcome.FAILED,
                    error=READ_ONLY, instance=self.writers[0][1], backend_pid=4001,
                )  # fmt: skip
        return None

    def _instance(self, endpoint: str, at_s: float) -> str:
        if endpoint == "cluster":
            return [name for from_s, name in self.writers if from_s <= at_s][-1]
        return self.random.choice(self.readers) if endpoint == "reader" else endpoint


def _refused(outage: Outage, started_s: float) -> Attempt:
    in_flight = started_s < outage.from_s
    return Attempt(
        started_s=started_s,
        ended_s=max(started_s, outage.from_s) + 0.0003,
        outcome=Outcome.UNKNOWN if in_flight else Outcome.FAILED,
        error=LOST if in_flight else REFUSED,
        backend_pid=4000 if in_flight else 0,
    )


def _answered(outage: Outage, started_s: float, latency_s: float) -> float:
    """Return when a request that an outage froze or swallowed is answered."""
    sent_s, wait_s = started_s, 0.2
    if outage.shape is Shape.FREEZE:
        sent_s = outage.to_s
    while outage.from_s - latency_s <= sent_s < outage.to_s:
        sent_s, wait_s = sent_s + wait_s, wait_s * 2
    return sent_s + latency_s
