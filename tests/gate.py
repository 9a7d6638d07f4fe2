"""A TCP proxy that can be shut in three ways, at an instant that is known exactly.

`refuse`    every connection is reset and the listener closed, as when a server's process is gone
`hold`      nothing is forwarded or accepted, while the kernel acknowledges what arrives; later it
            goes on
`forget`    as `hold`, but what was connected before or meanwhile stays silent for ever
"""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

_RESET = struct.pack("ii", 1, 0)
_CHUNK = 65536


class Gate:
    """Forwards `listen` to `target`, in a thread of its own."""

    def __init__(self, listen: tuple[str, int], target: tuple[str, int]) -> None:
        self._listen, self._target = listen, target
        self._selector = selectors.DefaultSelector()
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._silent: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
        self._open_listener()
        self._thread.start()

    def refuse(self) -> int:
        """Reset everything and listen no more; return the instant (monotonic ns) when done."""
        return self._order(self._refuse)

    def reopen(self) -> int:
        """Listen again after `refuse`; return the instant just before."""
        return self._order(self._open_listener, before=True)

    def hold(self) -> int:
        """Forward nothing from now on; return the instant when done."""
        return self._order(self._hold)

    def release(self) -> int:
        """Forward again after `hold`; return the instant just before."""
        return self._order(self._release, before=True)

    def release_forgetting(self) -> int:
        """Serve only new connections after `hold`; return the instant just before."""
        return self._order(self._forget, before=True)

    def close(self) -> None:
        self._orders.put(None)
        self._wake.send(b"x")
        self._thread.join()

    def _order(self, act: Callable[[], None], *, before: bool = False) -> int:
        done: queue.SimpleQueue[int] = queue.SimpleQueue()

        def carry_out() -> None:
            started = time.monotonic_ns()
            act()
            done.put(started if before else time.monotonic_ns())

        self._orders.put(carry_out)
        self._wake.send(b"x")
        return done.get(timeout=5)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(1)
                    order = self._orders.get()
                    if order is None:
                        self._refuse()
                        return
                    order()
                    break  # the other events may be of sockets that are closed now
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._forward(key.fileobj)

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
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.close()
        for end in self._peers:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
        self._peers.clear()
        self._silent.clear()

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
