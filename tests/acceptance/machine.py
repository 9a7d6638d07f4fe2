"""Whether this machine stood still: a run on it rightly says unknown, or interrupted."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from conftest import Gameday

from chaos.clock import NS, MonotonicClock

STILL_S = 0.2
"""So late nothing is on a machine that works; the experiments that ship allow a second."""
RUNS_MAX = 3
_EVERY_S = 0.02


class Lateness:
    """By how much a thread that wants to run every 20 ms was late at worst."""

    s_max = 0.0

    def note(self, over: threading.Event) -> None:
        """Want to run until it is over."""
        clock, ended = MonotonicClock(), False
        while not ended:
            before_ns = clock.now_ns()
            ended = over.wait(_EVERY_S)
            self.s_max = max(self.s_max, (clock.now_ns() - before_ns) / NS - _EVERY_S)


@contextmanager
def lateness() -> Iterator[Lateness]:
    """Give what is noted meanwhile."""
    noted, over = Lateness(), threading.Event()
    thread = threading.Thread(target=noted.note, args=(over,), daemon=True)
    thread.start()
    try:
        yield noted
    finally:
        over.set()
        thread.join()


def passed(
    gameday: Gameday, run: Callable[[], subprocess.CompletedProcess[str]]
) -> subprocess.CompletedProcess[str]:
    """Carry out a run that has to pass; once more only where this machine provably stood still."""
    for number in range(RUNS_MAX):
        if number:
            shutil.rmtree(gameday.runs)
        with lateness() as late:
            done = run()
        if done.returncode == 0 or late.s_max < STILL_S:
            break
    assert done.returncode == 0, (late.s_max, done.stdout + done.stderr)
    return done
