"""A machine without power, for one server: it neither answers nor says that it is gone.

The server's processes are stopped, so that none of them speaks any more; everything that arrives at
their sockets is dropped; then they are killed. Our duplicates of the sockets keep the kernel from saying
so, and the one of the listening socket keeps the address and swallows SYNs. Clients see what they see of
a lost machine: established sessions hang until their own timeouts, new connections time out.

When the power returns the kernel forgets the sockets silently, as one that has booted knows none: who
then sends something gets a RST, and connections are refused until a server listens again.
"""

from __future__ import annotations

import threading
from pathlib import Path

from chaos.testcluster.machine.sockets import Tapped, accept_waiting, tap
from chaos.testcluster.postgres.freezing import Freezer
from chaos.testcluster.postgres.processes import kill_all, processes_in

_REASON = "power loss"


class Silence:
    """The silence of the server in `data`, with the sockets it had until the power is back."""

    def __init__(self, data: Path, freezer: Freezer) -> None:
        self._data = data
        self._freezer = freezer
        self._lock = threading.Lock()  # Held while the power is cut or restored.
        self._sockets: list[Tapped] | None = None

    @property
    def lasts(self) -> bool:
        """Whether the power was cut and is not back."""
        return self._sockets is not None

    def begin(self, postmaster: int | None) -> None:
        """Cut the power; nothing of the server runs afterwards. Harmless a second time.

        Raises:
            HostError: its sockets cannot be reached; it runs on.
        """
        with self._lock:
            if self._sockets is not None:
                return
            self._freezer.freeze(postmaster, _REASON)
            try:
                running = {*processes_in(self._data), *([postmaster] if postmaster else [])}
                self._sockets = _muted(tap(running))
            except BaseException:
                self._freezer.thaw(_REASON)
                raise
            kill_all(self._data, postmaster)
            self._freezer.forget()

    def end(self) -> None:
        """Let the address answer again; nothing is started. Harmless a second time."""
        with self._lock:
            left, self._sockets = self._sockets, None
            for tapped in left or []:
                tapped.vanish()


def _muted(sockets: list[Tapped]) -> list[Tapped]:
    """Let nothing arrive any more at these sockets, nor at the connections that wait in their queues."""
    muted = list(sockets)
    try:
        for tapped in sockets:
            tapped.drop(1)
        for listening in (tapped for tapped in sockets if tapped.listening):
            waiting = accept_waiting(listening)
            muted += waiting
            for tapped in waiting:
                tapped.drop(1)
    except BaseException:
        for tapped in muted:
            tapped.keep_all()
            tapped.socket.close()
        raise
    return muted
