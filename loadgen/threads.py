"""Users as threads, for clients that stand still or spin under gevent.

A thread cannot be ended from outside. One that does not return in time is left behind, its operation
recorded as cut off, and whatever it still says is not recorded any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaos.clock import NS
from chaos.model.operation import OperationWriter
from loadgen.client import Client
from loadgen.crew import Crew, Member
from loadgen.runtime import Failed, Runtime
from loadgen.schedule import Arrivals, Schedule


class UserEnded(BaseException):
    """A user was told to end while it waited."""


class Ending:
    """Tells waiting users to end, and is the clock that their waits go by."""

    def __init__(self) -> None:
        self._told = threading.Event()

    def tell(self, *, end: bool) -> None:
        """Let waits end by `UserEnded` from now on, or last again."""
        if end:
            self._told.set()
        else:
            self._told.clear()

    def now_ns(self) -> int:
        """Return `CLOCK_MONOTONIC` in nanoseconds."""
        return time.monotonic_ns()

    def sleep(self, duration_s: float) -> None:
        """Block for that long, or until users are told to end.

        Raises:
            UserEnded: they were.
        """
        if duration_s > 0 and self._told.wait(duration_s):
            raise UserEnded


class ThreadUsers:
    """The users of a process, a thread each."""

    def __init__(self, failed: Failed, ending: Ending) -> None:
        self._failed = failed
        self._ending = ending
        self._users: list[_User] = []

    def start(self, crews: Sequence[Crew]) -> None:
        """Start every user of every crew."""
        self._ending.tell(end=False)
        self._users = [_User(crew, self._ending) for crew in crews for _ in range(crew.count)]
        for user in self._users:
            user.start(self._failed)

    def end(self, timeout_s: float) -> None:
        """End the users; an operation that does not end in time is recorded as cut off."""
        users, self._users = self._users, []
        self._ending.tell(end=True)
        deadline_ns = time.monotonic_ns() + int(timeout_s * NS)
        for user in users:
            user.end(max(0.0, (deadline_ns - time.monotonic_ns()) / NS))


class _User:
    """One user, whose operation under way is recorded by its thread or by who cuts it off."""

    def __init__(self, crew: Crew, ending: Ending) -> None:
        self._name = crew.name
        self._member = Member(crew)
        self._ending = ending
        self._guard = _Guard(self._member.client)
        self._member.perform = self._guard.perform
        self._thread: threading.Thread | None = None

    def start(self, failed: Failed) -> None:
        def work() -> None:
            try:
                self._member.work(self._ending.sleep)
            except UserEnded:
                return
            except BaseException as error:  # noqa: BLE001 - it ends the traffic, which says why
                failed(error)

        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()

    def end(self, timeout_s: float) -> None:
        assert self._thread is not None, "ended before it was started"
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._guard.cut_off()


class _Guard:
    """Stands between a client and its records, so that each operation is recorded once."""

    def __init__(self, client: Client) -> None:
        self._perform = client.perform
        self._describe = client.cut_off
        self._record: Callable[..., None] = client.record
        self._lock = threading.Lock()
        self._is_open = self._is_cut = False
        client.record = self._record_once

    def perform(self, intended_ns: int) -> None:
        """Carry out an operation; none any more once the user was cut off."""
        with self._lock:
            if self._is_cut:
                raise UserEnded
            self._is_open = True
        self._perform(intended_ns)

    def cut_off(self) -> None:
        """Record the operation under way as cut off, and nothing that comes after it."""
        with self._lock:
            self._is_cut = True
            if self._is_open:
                self._record(**self._describe())

    def _record_once(self, **fields: Any) -> None:
        with self._lock:
            self._is_open = False
            if not self._is_cut:
                self._record(**fields)


class SharedOperationWriter(OperationWriter):
    """Records of several threads; what comes after the end is dropped."""

    def __init__(self, folder: Path, arm: str) -> None:
        super().__init__(folder, arm)
        self._lock = threading.Lock()
        self._is_closed = False

    def operation(self, **fields: Any) -> None:
        """Append one operation."""
        with self._lock:
            if not self._is_closed:
                super().operation(**fields)

    def connection(self, **fields: Any) -> None:
        """Append what happened to a connection."""
        with self._lock:
            if not self._is_closed:
                super().connection(**fields)

    def flush(self) -> None:
        """Hand everything buffered to the operating system."""
        with self._lock:
            super().flush()

    def close(self) -> None:
        """Flush and close."""
        super().close()
        self._is_closed = True


class SharedArrivals(Arrivals):
    """Arrivals that several threads take."""

    def __init__(
        self, schedule: Schedule, queue_max: int, reject: Callable[[int, int], None]
    ) -> None:
        super().__init__(schedule, queue_max, reject)
        self._lock = threading.RLock()

    def admit(self, now_ns: int) -> None:
        """Let every arrival that has fallen due enter the queue, or be rejected."""
        with self._lock:
            super().admit(now_ns)

    def take(self, now_ns: int) -> int | None:
        """Return the next arrival's intended instant; None once closed."""
        with self._lock:
            return super().take(now_ns)

    def close(self, now_ns: int) -> None:
        """Let nothing arrive after `now_ns`."""
        with self._lock:
            super().close(now_ns)

    def begin(self, at_ns: int) -> None:
        """Let second 0 of the shape be at an instant."""
        with self._lock:
            super().begin(at_ns)

    def reopen(self, now_ns: int) -> None:
        """Let arrivals happen again."""
        with self._lock:
            super().reopen(now_ns)


def threads() -> Runtime:
    """Return how a process carries its users as threads; once for a process."""
    ending = Ending()
    return Runtime(
        users=lambda failed: ThreadUsers(failed, ending),
        clock=ending,
        arrivals=SharedArrivals,
        writer=SharedOperationWriter,
    )
