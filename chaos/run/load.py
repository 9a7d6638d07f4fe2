"""The run's own traffic and probes, standing still while a fault wants a quiet cluster.

The journal tells from when to when (`load` events): silence in between shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from chaos.clock import Clock
from chaos.errors import DatabaseError
from chaos.run.journal import Journal
from chaos.run.rig import LoadWorker

T = TypeVar("T")
ORDER_TIMEOUT_S = 30.0
"""A process drains for some seconds at most; then what is in flight is cut off."""


class StandingLoad:
    """The port `chaos.safety.ports.Load` on the workers of a run."""

    def __init__(self, workers: Sequence[LoadWorker], journal: Journal, clock: Clock) -> None:
        """Take the workers, which may still be starting."""
        self._workers = workers
        self._journal = journal
        self._clock = clock
        self._paused = False
        self._running_since_ns = 0

    def quiet_until_ns(self) -> int:
        """Return until when nothing was asked: the present while it stands still, 0 if it never did."""
        return self._clock.now_ns() if self._paused else self._running_since_ns

    def pause(self) -> None:
        """Finish what is in flight, end every session, ask the cluster nothing more.

        Raises:
            HostError: a process did not obey.
        """
        if self._paused:
            return
        self._paused = True
        self._journal.event("load", state="pausing")
        for worker in self._workers:
            worker.pause(ORDER_TIMEOUT_S)
        self._journal.event("load", state="paused")

    def resume(self) -> None:
        """Go on, with operations that are due from now on; nothing where it does not stand still.

        Raises:
            HostError: a process did not obey.
        """
        if not self._paused:
            return
        self._running_since_ns = self._journal.event("load", state="resumed")
        for worker in self._workers:
            worker.resume(self._running_since_ns, ORDER_TIMEOUT_S)
        self._paused = False

    def shape(self) -> None:
        """Let the rates go by their shape from now on, as they do once the method begins.

        Raises:
            HostError: a process did not obey.
        """
        at_ns = self._journal.event("load", state="shaped")
        for worker in self._workers:
            worker.shape(at_ns, ORDER_TIMEOUT_S)

    def unless_paused(self, ask: Callable[[], T]) -> Callable[[], T]:
        """Return a question to the database that is not asked while the load stands still.

        It raises `DatabaseError` then.
        """

        def asked() -> T:
            if self._paused:
                raise DatabaseError("not asked: a fault wants the cluster quiet")
            return ask()

        return asked
