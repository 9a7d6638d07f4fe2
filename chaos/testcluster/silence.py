"""A machine without power, for one server: it neither answers nor says that it is gone.

The server's processes are stopped, so that none of them speaks any more; everything that arrives at
their sockets is dropped; then they are killed. Our duplicates of the sockets keep the kernel from saying
so, and the one of the listening socket keeps the address and swallows SYNs. Clients see what they see of
a lost machine: established sessions hang until their own timeouts, new connections time out.

When the power returns the kernel forgets the sockets silently, as one that has booted knows none: who
then sends something gets a RST, and connections are refused until a server listens again.
"""

from __future__ import annotations

from pathlib import Path

from chaos.testcluster.freezing import Freezer
from chaos.testcluster.processes import kill_all, processes_in
from chaos.testcluster.sockets import Tapped, accept_waiting, tap

_REASON = "power loss"


class Silence:
    """The sockets of one server whose power was cut, kept until it is back."""

    def __init__(self, data: Path, postmaster: int | None, freezer: Freezer) -> None:
        """Cut the power of the server that runs in `data`; nothing of it runs afterwards.

        Raises:
            HostError: its sockets cannot be reached; it runs on.
        """
        self._sockets: list[Tapped] = []
        freezer.freeze(postmaster, _REASON)
        try:
            self._sockets = tap({*processes_in(data), *([postmaster] if postmaster else [])})
            for tapped in self._sockets:
                tapped.drop(1)
            for tapped in [t for t in self._sockets if t.listening]:
                waiting = accept_waiting(tapped)
                self._sockets += waiting
                for one in waiting:
                    one.drop(1)
        except BaseException:
            for tapped in self._sockets:
                tapped.keep_all()
                tapped.socket.close()
            freezer.thaw(_REASON)
            raise
        kill_all(data, postmaster)
        freezer.forget()

    def end(self) -> None:
        """Give the addresses back; harmless a second time."""
        left, self._sockets = self._sockets, []
        for tapped in left:
            tapped.vanish()
