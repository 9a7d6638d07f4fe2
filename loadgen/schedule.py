"""When operations are to start, whatever became of those before them: an open loop.

Arrivals are evenly spaced with a seeded jitter, not Poisson: an interruption is known no better
than the gap between two arrivals, and here no gap exceeds `1 + 2 * JITTER` periods, while a Poisson
gap has no bound. The jitter, and a random phase for each stream, keep streams from beating in
lock-step with each other, with the probes and with whatever the server does once a second.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from chaos.clock import NS

JITTER = 0.25
"""Fraction of a period by which an arrival may lie before or after its place in the grid."""


class Schedule:
    """The intended instants of one stream, strictly increasing, one at a time.

    `seed` is any text; the same text and rate give the same instants relative to the origin.
    """

    def __init__(self, rate_per_s: float, seed: str, origin_ns: int) -> None:
        if rate_per_s <= 0:
            raise ValueError(f"a schedule needs a positive rate, not {rate_per_s:g} per second")
        self._period_ns = NS / rate_per_s
        self._random = random.Random(seed).random
        self._first = origin_ns + self._period_ns * (self._random() + JITTER)
        self._count = 0

    def restart(self, origin_ns: int) -> None:
        """Begin anew: the next arrival is the first one after `origin_ns`."""
        self._first = origin_ns + self._period_ns * (self._random() + JITTER)
        self._count = 0

    def next_ns(self) -> int:
        """Return the next arrival's intended instant."""
        place = self._count + JITTER * (2.0 * self._random() - 1.0)
        self._count += 1
        # From the first instant each time: adding periods up would let rounding errors drift.
        return int(self._first + place * self._period_ns)


class Arrivals:
    """Arrivals of one stream, handed to users in order; a bounded queue while all are busy.

    A free user takes the next arrival and sleeps until its instant, so nothing but the users' own
    timers drives the stream. Arrivals that fall due while no user is free wait in the queue; one
    that finds `queue_max` waiting is handed to `reject(intended_ns, now_ns)` and never sent. Due
    arrivals enter the queue in `take` and `admit`, in order, as if each had been there in time.
    """

    def __init__(
        self, schedule: Schedule, queue_max: int, reject: Callable[[int, int], None]
    ) -> None:
        self._schedule = schedule
        self._queue_max = queue_max
        self._reject = reject
        self._waiting: deque[int] = deque()
        self._next_ns = schedule.next_ns()
        self._closed_ns: int | None = None

    @property
    def waiting(self) -> int:
        """How many arrivals wait for a user."""
        return len(self._waiting)

    def admit(self, now_ns: int) -> None:
        """Let every arrival that has fallen due by `now_ns` enter the queue, or be rejected."""
        if self._closed_ns is not None:
            now_ns = min(now_ns, self._closed_ns)
        while self._next_ns <= now_ns:
            if len(self._waiting) < self._queue_max:
                self._waiting.append(self._next_ns)
            else:
                self._reject(self._next_ns, now_ns)
            self._next_ns = self._schedule.next_ns()

    def take(self, now_ns: int) -> int | None:
        """Return the next arrival's intended instant, maybe in the future; None once closed."""
        if self._next_ns <= now_ns:
            self.admit(now_ns)
        if self._waiting:
            return self._waiting.popleft()
        if self._closed_ns is not None:
            return None
        intended_ns = self._next_ns
        self._next_ns = self._schedule.next_ns()
        return intended_ns

    def close(self, now_ns: int) -> None:
        """Let nothing arrive after `now_ns`; what is due by then still waits for a user."""
        self.admit(now_ns)
        self._closed_ns = now_ns

    def reopen(self, now_ns: int) -> None:
        """Let arrivals happen again, the first of them after `now_ns`."""
        self._schedule.restart(now_ns)
        self._next_ns = self._schedule.next_ns()
        self._closed_ns = None

    def happens(self, intended_ns: int) -> bool:
        """Tell whether an arrival taken ahead of its instant still happens."""
        return self._closed_ns is None or intended_ns <= self._closed_ns

    def give_back(self, intended_ns: int) -> None:
        """Return an arrival that was taken and not carried out to the head of the queue."""
        self._waiting.appendleft(intended_ns)

    def abandon(self) -> list[int]:
        """Empty the queue and return the intended instants of what was in it."""
        left = list(self._waiting)
        self._waiting.clear()
        return left
