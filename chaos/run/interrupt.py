"""Ctrl-C that never tears: a signal sets a flag, and only the runner's waits look at it.

So no request, journal line or undo record is cut in half. While the cluster is being restored the
clock is shielded: a second Ctrl-C is answered with a line and changes nothing, a third gives up.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from chaos.clock import NS, MonotonicClock
from chaos.errors import RunAborted, RunInterrupted

_SLICE_S = 0.25
SIGNALS_TO_GIVE_UP = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptibleClock(MonotonicClock):
    """The monotonic clock whose `sleep` raises `RunInterrupted` once a signal has come.

    `on_slice` runs at least every 0.25 s of an unshielded sleep; what it raises ends the sleep.
    """

    def __init__(self) -> None:
        """Make a clock that no signal has reached yet."""
        self._ended = threading.Event()
        self._signals = 0
        self._stopped = ""
        self._shielded = False
        self.on_slice: Callable[[], None] = lambda: None

    def interrupt(self) -> int:
        """Make this and every later unshielded sleep raise; return how often it was called."""
        self._signals += 1
        self._ended.set()
        return self._signals

    def stop(self, why: str) -> None:
        """Make this and every later unshielded sleep raise `RunAborted`, with the first reason."""
        self._stopped = self._stopped or why
        self._ended.set()

    @property
    def interrupted(self) -> bool:
        """Tell whether a signal has come."""
        return self._signals > 0

    def check(self) -> None:
        """Raise if a signal has come, or what `on_slice` raises; while shielded only at the third."""
        if self._signals >= SIGNALS_TO_GIVE_UP:
            raise RunInterrupted("gave up restoring; its undo records wait for gameday recover")
        if self._shielded:
            return
        if self._signals:
            raise RunInterrupted("interrupted by a signal")
        if self._stopped:
            raise RunAborted(self._stopped)
        self.on_slice()

    def sleep(self, duration_s: float) -> None:
        """Sleep, in slices of at most 0.25 s.

        Raises:
            RunInterrupted: a signal has come and the clock is not shielded.
            RunAborted: `stop` was called, likewise.
        """
        deadline = self.now_ns() + int(duration_s * NS)
        while True:
            self.check()
            remaining_s = (deadline - self.now_ns()) / NS
            if remaining_s <= 0:
                return
            if self._shielded:
                super().sleep(min(remaining_s, _SLICE_S))
            else:
                self._ended.wait(min(remaining_s, _SLICE_S))

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Let nothing interrupt what is inside: the cluster is being restored."""
        self._shielded, before = True, self._shielded
        try:
            yield
        finally:
            self._shielded = before


@contextmanager
def signals_to(clock: InterruptibleClock, tell: Callable[[str], None]) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP of this process into an interruption of `clock`."""

    def arrived(_number: int, _frame: FrameType | None) -> None:
        times = clock.interrupt()
        if times == 1:
            tell("interrupted: ending in order, restoring what was changed...")
        elif times < SIGNALS_TO_GIVE_UP:
            tell("already ending; once more gives up, and leaves the rest to gameday recover")

    before = {number: signal.signal(number, arrived) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
