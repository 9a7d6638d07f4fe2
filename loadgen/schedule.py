"""When operations are to start, whatever became of those before them: an open loop.

Arrivals are evenly spaced with a seeded jitter, not Poisson: an interruption is known no better
than the gap between two arrivals, and here no gap exceeds `1 + 2 * JITTER` periods, while a Poisson
gap has no bound. The jitter, and a random phase for each stream, keep streams from beating in
lock-step with each other, with the probes and with whatever the server does once a second.

Where the rate goes with a shape (chaos.model.shape), so does the period: between any two instants
there are as many arrivals as the integral of the rate says, two more or less.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from chaos.clock import NS
from chaos.model.shape import Shape

JITTER = 0.25
"""Fraction of a period by which an arrival may lie before or after its place in the grid."""


class Schedule:
    """The intended instants of one stream, strictly increasing, one at a time.

    `seed` is any text; the same text, rate and shape give the same instants relative to the origin.
    """

    def __init__(
        self, rate_per_s: float, seed: str, origin_ns: int, shape: Shape | None = None
    ) -> None:
        if rate_per_s <= 0:
            raise ValueError(f"a schedule needs a positive rate, not {rate_per_s:g} per second")
        self._shape = shape or Shape()
        self._rate_per_s = rate_per_s
        self._random = random.Random(seed).random
        # Second 0 of the shape; None as long as it has not begun: its first factor counts.
        self._zero_ns: int | None = None
        self._last_ns = 0
        self._anchor(origin_ns, self._random() + JITTER)

    def restart(self, origin_ns: int) -> None:
        """Begin anew: the next arrival is the first one after `origin_ns`."""
        self._anchor(origin_ns, self._random() + JITTER)

    def begin(self, at_ns: int) -> None:
        """Let second 0 of the shape be at an instant; arrivals given out already stay as they are."""
        if not self._shape.constant:
            next_ns = self._instant(self._phase + self._count)
            self._zero_ns = at_ns
            self._anchor(next_ns, 0.0)

    def next_ns(self) -> int:
        """Return the next arrival's intended instant."""
        place = self._phase + self._count + JITTER * (2.0 * self._random() - 1.0)
        self._count += 1
        # What was given out before the shape began may lie beyond the first that follows from it.
        self._last_ns = max(self._instant(place), self._last_ns + 1)
        return self._last_ns

    def _anchor(self, origin_ns: int, phase: float) -> None:
        """Count arrivals from an instant on, the first one `phase` periods later."""
        self._origin_ns = origin_ns
        self._phase = phase
        self._count = 0
        self._period_ns = NS / (self._rate_per_s * self._shape.factor(0.0))
        zero_ns = origin_ns if self._zero_ns is None else self._zero_ns
        self._area = self._shape.area((origin_ns - zero_ns) / NS)

    def _instant(self, place: float) -> int:
        """Return when a number of arrivals since the origin is due."""
        # From the origin each time: adding periods up would let rounding errors drift.
        if self._zero_ns is None:
            return int(self._origin_ns + place * self._period_ns)
        at_s = self._shape.instant(self._area + place / self._rate_per_s)
        return self._zero_ns + int(at_s * NS)


class Arrivals:
    """Arrivals of one stream, handed to users in order; a bounded queue while all are busy.

    A free user takes the next arrival a moment ahead and sleeps until its instant, so nothing but the
    users' own timers drives the stream. Arrivals that fall due while no user is free wait in the
    queue; one that finds `queue_max` waiting is handed to `reject(intended_ns, now_ns)` and never
    sent. Due arrivals enter the queue in `take` and `admit`, in order, as if each had been there in
    time.
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

    def ahead_ns(self, now_ns: int) -> int:
        """Return how far in the future the next arrival is; 0 where one is due, or none will come."""
        if self._waiting or self._closed_ns is not None:
            return 0
        return max(0, self._next_ns - now_ns)

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

    def begin(self, at_ns: int) -> None:
        """Let second 0 of the shape be at an instant."""
        self._schedule.begin(at_ns)

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
