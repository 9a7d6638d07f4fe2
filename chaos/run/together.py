"""Steps at the same time: a thread each, and a clock that ends them all when one goes wrong.

A step is only ever ended in a wait, as by a signal: no request and no journal line is cut in half.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from chaos.clock import NS, Clock, MonotonicClock
from chaos.errors import HostError, RunAborted

_SLICE_S = 0.25
_LOOK_S = 0.05
_END_S = 180.0
"""No request takes longer than this: the API's and the database's own timeouts are shorter."""


class Cancelled(RunAborted):
    """A step was ended because another one, under way at the same time, went wrong."""


class _LeftBehindError(HostError):
    """A step did not end, although it was told to; nobody waits for it any longer."""


class GroupClock:
    """A clock whose `sleep` raises `Cancelled` from when its group was ended."""

    def __init__(self, clock: Clock) -> None:
        """Sleep by another clock, whose own reasons to raise stay."""
        self._clock = clock
        self._why = ""

    def end(self, why: str) -> None:
        """Make this and every later sleep raise, with the first reason."""
        self._why = self._why or why

    @property
    def ended(self) -> bool:
        """Whether whoever sleeps by it was told to end."""
        return bool(self._why)

    def now_ns(self) -> int:
        """Return the other clock's instant."""
        return self._clock.now_ns()

    def sleep(self, duration_s: float) -> None:
        """Sleep, in slices of at most 0.25 s.

        Raises:
            Cancelled: the group was ended.
        """
        deadline_ns = self.now_ns() + int(duration_s * NS)
        while True:
            if self._why:
                raise Cancelled(self._why)
            remaining_s = (deadline_ns - self.now_ns()) / NS
            self._clock.sleep(max(0.0, min(remaining_s, _SLICE_S)))
            if remaining_s <= _SLICE_S and not self._why:
                return


class Together:
    """A context manager around steps that are under way at the same time.

    Its end waits for all of them, and raises what the first of them raised. `clock` is what they
    wait by.
    """

    def __init__(self, clock: Clock) -> None:
        """Take the clock of whoever waits for them."""
        self._outer = clock
        self.clock = GroupClock(clock)
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._lock = threading.Lock()

    def begin(self, name: str, work: Callable[[], None]) -> None:
        """Do `work` in a thread from now on."""

        def run() -> None:
            try:
                self.clock.sleep(0)
                work()
            except BaseException as error:  # noqa: BLE001 - raised where the thread is waited for
                with self._lock:
                    self._errors.append(error)
                self.clock.end(f"ended, since {name} went wrong: {error}")

        thread = threading.Thread(target=run, name=f"step {name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Return once every thread has ended.

        Raises:
            HostError: one had not, long after the others had to end.
            BaseException: what the first that went wrong raised.
        """
        since_ns: int | None = None
        while self._alive():
            self._outer.sleep(_LOOK_S)
            if self.clock.ended:
                since_ns = since_ns or self._outer.now_ns()
                if self._outer.now_ns() - since_ns > _END_S * NS:
                    raise self._hanging()
        if self._errors:
            raise self._first()

    def __enter__(self) -> Self:
        """Begin with none."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for every thread; after an error they are ended first."""
        if error is not None:
            self.clock.end(f"ended, since another step went wrong: {error}")
        try:
            self.join()
        except _LeftBehindError:
            raise
        except BaseException as raised:
            self.clock.end(f"ended, since another step went wrong: {raised}")
            self._end()
            if error is None or isinstance(error, Cancelled):
                raise

    def _end(self) -> None:
        """Wait for threads that were told to end; for seconds of real time, as they take some."""
        real = MonotonicClock()
        deadline_ns = real.now_ns() + int(_END_S * NS)
        for thread in self._threads:
            thread.join(max(0.0, (deadline_ns - real.now_ns()) / NS))
        if self._alive():
            raise self._hanging()

    def _alive(self) -> list[str]:
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _first(self) -> BaseException:
        """Return the error that ended the others."""
        with self._lock:
            real = [error for error in self._errors if not isinstance(error, Cancelled)]
            return (real or self._errors)[0]

    def _hanging(self) -> HostError:
        return _LeftBehindError(
            f"{', '.join(self._alive())} did not end within {_END_S:g} s of being told to; "
            "`gameday recover` restores what it may still change"
        )
