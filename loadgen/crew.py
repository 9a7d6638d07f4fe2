"""The users of one stream, whatever carries them: what each does with the arrivals it takes.

A user takes the next arrival, waits for its instant and carries it out; while all are busy arrivals
wait in the queue. Nobody takes one that is far away: where rates change, it would keep its old instant.
Nothing here knows whether users are greenlets or threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from chaos.clock import NS
from loadgen.client import Client
from loadgen.recorder import Recorder
from loadgen.schedule import Arrivals

AHEAD_S = 0.1
"""How far ahead an arrival is taken by a hundred users or fewer; more of them look around less often."""


class Crew:
    """`count` users that share one stream of arrivals; each has a client of its own."""

    def __init__(
        self,
        name: str,
        *,
        count: int,
        arrivals: Arrivals,
        recorder: Recorder,
        client_of_user: Callable[[], Client],
        think_time_s: float = 0.0,
    ) -> None:
        self.name = name
        self.count = count
        self.arrivals = arrivals
        self.recorder = recorder
        self.client_of_user = client_of_user
        self.think_time_s = think_time_s
        """How long a user does nothing after an operation, before it takes the next arrival."""
        self.ahead_ns = int(AHEAD_S * max(1.0, count / 100) * NS)
        self.busy: set[Member] = set()
        """Users that carry out an operation."""


class Member:
    """One user of a crew."""

    def __init__(self, crew: Crew) -> None:
        self.client = crew.client_of_user()
        self.perform: Callable[[int], None] = self.client.perform
        """Carries out the operation that was intended for an instant, and records it."""
        self._crew = crew

    def work(self, wait: Callable[[float], object]) -> None:
        """Carry out arrival after arrival until no more will come.

        `wait` blocks for that many seconds; what it raises ends this user, who gives back an arrival
        that was taken and not begun, so that it is recorded.
        """
        crew, perform = self._crew, self.perform
        take, busy, now = crew.arrivals.take, crew.busy, time.monotonic_ns
        away_ns, near_ns = crew.arrivals.ahead_ns, crew.ahead_ns
        while True:
            now_ns = now()
            early_ns = away_ns(now_ns) - near_ns
            if early_ns > 0:
                wait((early_ns + near_ns / 2) / NS)
                continue
            intended_ns = take(now_ns)
            if intended_ns is None:
                return
            if intended_ns > now_ns:
                self._await(intended_ns, (intended_ns - now_ns) / NS, wait)
                if not crew.arrivals.happens(intended_ns):
                    continue
                crew.recorder.late(now() - intended_ns)
            busy.add(self)
            try:
                perform(intended_ns)
            finally:
                busy.discard(self)
            if crew.think_time_s:
                wait(crew.think_time_s)

    def _await(self, intended_ns: int, duration_s: float, wait: Callable[[float], object]) -> None:
        try:
            wait(duration_s)
        except BaseException:
            arrivals = self._crew.arrivals
            if arrivals.happens(intended_ns):
                arrivals.give_back(intended_ns)
            raise
