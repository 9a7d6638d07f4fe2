"""Packets that get lost on their way to a running server, for as long as a `Loss` lasts.

Filters stay with sockets, and what a listening socket accepts inherits its filter. What the server
opens by itself (a restarted one's listening socket, the stream from the writer) has none, so that is
looked for again and again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from chaos.errors import HostError
from chaos.testcluster.machine.sockets import Tapped, tap
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.postgres.processes import processes_in

log = logging.getLogger(__name__)

_LOOK_S = 0.1


class Loss:
    """The loss of a share (0 to 1) of all packets that arrive at one node; from now until `end`."""

    def __init__(self, node: Node, share: float) -> None:
        """Begin.

        Raises:
            HostError: the node's sockets cannot be reached.
        """
        self._node = node
        self._share = share
        self._known: set[int] = set()
        self._over = threading.Event()
        self._filter()
        node.lossy = True
        self._thread = threading.Thread(
            target=self._keep_up, name=f"loss of {node.identifier}", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Let everything arrive again."""
        self._over.set()
        self._thread.join()
        self._node.lossy = False
        _each(self._node, Tapped.keep_all, known=set())

    def _keep_up(self) -> None:
        while not self._over.wait(_LOOK_S):
            try:
                self._filter()
            except (HostError, OSError) as error:
                log.warning("new sockets of %s lose nothing: %s", self._node.identifier, error)

    def _filter(self) -> None:
        self._known = _each(self._node, lambda one: one.drop(self._share), known=self._known)


def _each(node: Node, do: Callable[[Tapped], None], *, known: set[int]) -> set[int]:
    """Do it to those of a node's sockets that are not `known`, and return those that are, now."""
    found = tap(processes_in(node.data), known=known)
    for tapped in found:
        try:
            do(tapped)
        finally:
            tapped.socket.close()  # Held for longer, it would hide the end of its process.
    return known | {tapped.inode for tapped in found}
