"""Whether this machine stood still: a run on it rightly says unknown, or interrupted."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from conftest import Gameday

from chaos.clock import NS, MonotonicClock

STILL_S = 0.2
"""So late nothing is on a machine that works; the experiments that ship allow a second."""
RUNS_MAX = 3
_EVERY_S = 0.02


class Watched:
    """Wants to run every 20 ms, and notes by how much it was late at worst."""

    def __init__(self) -> None:
        self.late_s_max = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        clock, over = MonotonicClock(), False
        while not over:
            before_ns = clock.now_ns()
            over = self._over.wait(_EVERY_S)
            self.late_s_max = max(self.late_s_max, (clock.now_ns() - before_ns) / NS - _EVERY_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()


def passed(
    gameday: Gameday, run: Callable[[], subprocess.CompletedProcess[str]]
) -> subprocess.CompletedProcess[str]:
    """Carry out a run that has to pass; once more only where this machine provably stood still."""
    for number in range(RUNS_MAX):
        if number:
            shutil.rmtree(gameday.runs)
        with Watched() as machine:
            done = run()
        if done.returncode == 0 or machine.late_s_max < STILL_S:
            break
    assert done.returncode == 0, (machine.late_s_max, done.stdout + done.stderr)
    return done
