"""Stopping a server's processes by signal, for several reasons at the same time.

A stopped server keeps its memory, locks and sockets, and the kernel goes on to complete TCP
handshakes and to acknowledge data for it; it only does nothing. A hang, a paused Serverless instance
and a bounded CPU share are made of this. Each names its reason, and a process runs again when nobody
has one left: so ending one never ends another.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path

from chaos.testcluster.postgres.processes import processes_in

HANG = "hang"
"""The reason of a fault, which is to be noticed; for others the control plane stops servers itself."""

_PASSES_MAX = 20


class Freezer:
    """Which processes of the server in `data` are stopped; safe from any thread."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._lock = threading.RLock()
        self._reasons: set[str] = set()

    @property
    def frozen(self) -> bool:
        """Whether the whole server is stopped, for any reason."""
        return bool(self._reasons)

    def frozen_for(self, reason: str) -> bool:
        """Whether the whole server is stopped for this reason, perhaps among others."""
        return reason in self._reasons

    def freeze(self, postmaster: int | None, reason: str) -> None:
        """Stop the whole server, the postmaster first, so that it forks nothing meanwhile."""
        with self._lock:
            self._reasons.add(reason)
            if postmaster is not None:
                _send([postmaster], signal.SIGSTOP)
            stopped: set[int] = set()
            for _ in range(_PASSES_MAX):  # A child may fork, too, until it is stopped.
                fresh = set(processes_in(self._data)) - stopped
                if not fresh:
                    return
                _send(fresh, signal.SIGSTOP)
                stopped |= fresh

    def thaw(self, reason: str) -> None:
        """Let the server run, unless there is another reason to stop it."""
        with self._lock:
            self._reasons.discard(reason)
            if not self._reasons:
                _send(processes_in(self._data), signal.SIGCONT)

    def forget(self) -> None:
        """Drop all reasons, because the server was killed: a new one begins to run."""
        with self._lock:
            self._reasons.clear()

    def stop(self, pids: Iterable[int]) -> None:
        """Stop single processes; harmless where the whole server is stopped or they have ended."""
        with self._lock:
            if not self._reasons:
                _send_to_known(pids, signal.SIGSTOP)

    def run(self, pids: Iterable[int]) -> None:
        """Let single processes run again, unless the whole server is to be stopped."""
        with self._lock:
            if not self._reasons:
                _send_to_known(pids, signal.SIGCONT)


def _send_to_known(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(PermissionError):  # It ended, and the number is somebody else's.
            _send([pid], number)


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
