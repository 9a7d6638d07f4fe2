"""The Locust users: each takes the next arrival, waits for its instant, and carries it out.

Locust's own pacing is a closed loop: while a server hangs nothing is sent, and nothing shows it.
Here `wait_time` is the time until the next arrival's intended instant, none where that has passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from locust import User, task
from locust.env import Environment

from chaos.clock import NS
from loadgen.client import Client
from loadgen.recorder import Recorder
from loadgen.schedule import Arrivals

_FOREVER_S = 3600.0


class ArrivalUser(User):
    """Carries out the arrivals of one stream through a client of its own."""

    abstract = True
    arrivals: ClassVar[Arrivals]
    recorder: ClassVar[Recorder]
    client_of_user: ClassVar[Callable[[], Client]]
    busy: ClassVar[set[ArrivalUser]]
    """Users that carry out an operation, or have taken an arrival that is due."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._client = type(self).client_of_user()
        self._intended_ns: int | None = None
        self._free = False

    def wait_time(self) -> float:
        """Take the next arrival and return the seconds until its intended instant."""
        now_ns = time.monotonic_ns()
        self._intended_ns = intended_ns = self.arrivals.take(now_ns)
        if intended_ns is None:
            return _FOREVER_S  # Locust ends a waiting user at once
        self._free = intended_ns > now_ns
        if self._free:
            return (intended_ns - now_ns) / NS
        self.busy.add(self)
        return 0.0

    @task
    def operate(self) -> None:
        """Carry out the arrival taken; nothing when Locust calls before the first wait."""
        intended_ns = self._intended_ns
        if intended_ns is None:
            return
        if self._free:
            if not self.arrivals.happens(intended_ns):
                return
            self.recorder.late(time.monotonic_ns() - intended_ns)
            self.busy.add(self)
        self._intended_ns = None
        try:
            self._client.perform(intended_ns)
        finally:
            self.busy.discard(self)

    def on_stop(self) -> None:
        """Give back an arrival that was taken and not begun, so that it is recorded."""
        self.busy.discard(self)
        if self._intended_ns is not None and self.arrivals.happens(self._intended_ns):
            self.arrivals.give_back(self._intended_ns)


def users_of(
    name: str,
    count: int,
    arrivals: Arrivals,
    recorder: Recorder,
    client_of_user: Callable[[], Client],
) -> type[ArrivalUser]:
    """Return a Locust user class of which `count` users share one stream of arrivals."""
    members = {
        "abstract": False,
        "fixed_count": count,
        "arrivals": arrivals,
        "recorder": recorder,
        "client_of_user": staticmethod(client_of_user),
        "busy": set(),
    }
    return type(name, (ArrivalUser,), members)
