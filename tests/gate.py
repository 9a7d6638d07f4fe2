"""A TCP proxy that can be shut in three ways, at an instant that is known exactly.

`refuse`    every connection is reset and the listener closed, as when a server's process is gone
`hold`      nothing is forwarded or accepted, while the kernel acknowledges what arrives; later it
            goes on
`forget`    as `hold`, but what was connected before or meanwhile stays silent for ever
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import selectors
import socket
import struct
import time
from multiprocessing.connection import Connection
from typing import Any

_RESET = struct.pack("ii", 1, 0)
_CHUNK = 65536
_PATIENCE_S = 60.0
LISTENING = 0


class Gate:
    """Forwards `listen` to `target`, in a process of its own, so that its instants are its own."""

    def __init__(self, listen: tuple[str, int], target: tuple[str, int]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, listen, target), name="gate", daemon=True
        )
        self._process.start()
        theirs.close()
        assert self._answer() == LISTENING

    def begin(self, order: str) -> None:
        """Send `refuse`, `reopen`, `hold`, `release` or `forget`."""
        self._pipe.send(order)

    def done(self) -> int:
        """Return the instant (monotonic ns) of the last order.

        That is from when nothing was served any more, or just before something could be again.
        """
        return self._answer()

    def order(self, order: str) -> int:
        self.begin(order)
        return self.done()

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()

    def _answer(self) -> int:
        if not self._pipe.poll(_PATIENCE_S):
            raise TimeoutError("the gate does not answer")
        instant: int = self._pipe.recv()
        return instant


def _serve(pipe: Connection, listen: tuple[str, int], target: tuple[str, int]) -> None:
    # It stands for a network, which does not wait for a processor.
    with contextlib.suppress(PermissionError):
        os.nice(-10)
    Proxy(pipe, listen, target).run()


class Proxy:
    """The gate's process: one selector loop."""

    def __init__(self, pipe: Connection, listen: tuple[str, int], target: tuple[str, int]) -> None:
        self._pipe = pipe
        self._listen, self._target = listen, target
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._silent: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._orders = {
            "refuse": self._refuse,
            "reopen": self._open_listener,
            "hold": self._hold,
            "release": self._release,
            "forget": self._forget,
        }

    def run(self) -> None:
        self._open_listener()
        self._pipe.send(LISTENING)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._pipe:
                    try:
                        order = self._pipe.recv()
                    except EOFError:
                        return
                    self._obey(order)
                    break  # the other events may be of sockets that are closed now
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._forward(key.fileobj)

    def _obey(self, order: str) -> None:
        # The one loop forwards nothing while it obeys: service has ended here, however long it takes
        # to close every connection, and does not return before.
        started = time.monotonic_ns()
        self._orders[order]()
        self._pipe.send(started)

    def _open_listener(self) -> None:
        self._listener = socket.create_server(self._listen, backlog=512)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _accept(self) -> None:
        assert self._listener is not None
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, timeout=1)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for here, there in ((client, server), (server, client)):
            here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._peers[here] = there
            self._selector.register(here, selectors.EVENT_READ)

    def _forward(self, source: Any) -> None:
        target = self._peers.get(source)
        if target is None:
            return  # closed a moment ago
        try:
            data = source.recv(_CHUNK)
            if data:
                target.sendall(data)
                return
        except OSError:
            pass  # broken on one side: close the other as well
        self._drop(source)
        self._drop(target)

    def _drop(self, end: socket.socket) -> None:
        self._peers.pop(end, None)
        with contextlib.suppress(KeyError):
            self._selector.unregister(end)
        end.close()

    def _refuse(self) -> None:
        self._close_listener()
        for end in [*self._peers, *self._silent]:
            end.close()  # the selector forgets what is closed
        self._peers.clear()
        self._silent.clear()
        self._selector.close()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)

    def _close_listener(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _hold(self) -> None:
        for end in [*self._peers, self._listener]:
            assert end is not None
            self._selector.unregister(end)

    def _release(self) -> None:
        for end in [*self._peers, self._listener]:
            assert end is not None
            self._selector.register(end, selectors.EVENT_READ)

    def _forget(self) -> None:
        assert self._listener is not None
        self._silent += list(self._peers)
        self._peers.clear()
        self._listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._silent.append(self._listener.accept()[0])
        self._listener.setblocking(True)
        self._selector.register(self._listener, selectors.EVENT_READ)
