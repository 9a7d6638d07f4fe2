"""Where PostgreSQL asks whether a token lets a user in: a responder to LDAP's simple bind.

Of PostgreSQL's methods that pass a password on, `ldap` alone needs nothing of the machine and takes
one as long as a token. The name that is bound says who wants to enter which instance:
`uid=USER,ou=INSTANCE`. Nothing but binding is answered (RFC 4511, 4.2).
"""

from __future__ import annotations

import logging
import socketserver
import threading
from collections.abc import Callable
from typing import Any

from chaos.clock import Anchor, MonotonicClock
from chaos.testcluster.security.iam_auth import Door, TokenRefused, require_valid

PREFIX = "uid="
SUFFIX = ",ou="

_MESSAGE_MAX = 64 * 1024
_TIMEOUT_S = 10.0
_SEQUENCE, _INTEGER, _OCTETS, _ENUMERATED = 0x30, 0x02, 0x04, 0x0A
_BIND_REQUEST, _BIND_RESPONSE, _SIMPLE = 0x60, 0x61, 0x80
_SUCCESS, _PROTOCOL_ERROR, _AUTH_METHOD, _INVALID_CREDENTIALS = 0, 2, 7, 49

_log = logging.getLogger(__name__)


class TokenDirectory:
    """Answers binds on one address until it is closed."""

    def __init__(self, address: str, door_of: Callable[[str], Door | None]) -> None:
        """Serve from now on, on a port of the kernel's choice.

        Args:
            address: of the machine's loopback.
            door_of: returns what opens the instance of a name, None where there is none.
        """
        self._door_of = door_of
        self._server = _Server((address, 0), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="iam directory", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The TCP port."""
        port: int = self._server.server_address[1]
        return port

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, message: bytes) -> bytes | None:
        """Return the reply to one message; None if the connection is to end."""
        try:
            number, body = _parts(_content(message, _SEQUENCE))[:2]
            if body[0] != _BIND_REQUEST:
                return None
            _, name, credential = _parts(_content(body, _BIND_REQUEST))[:3]
            result = self._bind(_content(name, _OCTETS).decode(), credential)
        except (ValueError, IndexError) as error:
            _log.info("a message to the token directory is not LDAP: %s", error)
            return None
        outcome = _tagged(_ENUMERATED, bytes((result,))) + _tagged(_OCTETS, b"") * 2
        return _tagged(_SEQUENCE, number + _tagged(_BIND_RESPONSE, outcome))

    def _bind(self, name: str, credential: bytes) -> int:
        if credential[0] != _SIMPLE:
            return _AUTH_METHOD
        user, separator, instance = name.removeprefix(PREFIX).rpartition(SUFFIX)
        door = self._door_of(instance) if separator and name.startswith(PREFIX) else None
        if door is None:
            _log.info("a bind of %s, which is no user of an instance", name)
            return _INVALID_CREDENTIALS
        try:
            require_valid(
                _content(credential, _SIMPLE).decode(),
                user,
                door,
                Anchor.take().wall(MonotonicClock().now_ns()),
            )
        except TokenRefused as refusal:
            _log.info("user %s may not enter %s: %s", user, instance, refusal)
            return _INVALID_CREDENTIALS
        return _SUCCESS


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], directory: TokenDirectory) -> None:
        super().__init__(address, _Handler)
        self.directory = directory

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        _log.debug("a connection of %s broke", client_address, exc_info=True)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    timeout = _TIMEOUT_S

    def handle(self) -> None:
        while message := self._message():
            reply = self.server.directory.answer(message)
            if reply is None:
                return
            self.wfile.write(reply)

    def _message(self) -> bytes:
        """Return one whole message; empty at the end, or if it is longer than any is."""
        head = self.rfile.read(2)
        if len(head) < 2:  # noqa: PLR2004 - tag and length
            return b""
        more = head[1] & 0x7F if head[1] & 0x80 else 0
        extension = self.rfile.read(more)
        length = int.from_bytes(extension) if more else head[1]
        if length > _MESSAGE_MAX:
            return b""
        return head + extension + self.rfile.read(length)


def _content(element: bytes, tag: int) -> bytes:
    """Return what one element holds, which must have this tag."""
    if element[0] != tag:
        raise ValueError(f"tag {element[0]:#x} instead of {tag:#x}")
    start, end = _extent(element, 0)
    return element[start:end]


def _parts(content: bytes) -> list[bytes]:
    """Return the elements that follow each other in `content`."""
    parts, at = [], 0
    while at < len(content):
        _, end = _extent(content, at)
        parts.append(content[at:end])
        at = end
    return parts


def _extent(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element at `at` begins and ends (X.690, 8.1.3)."""
    length, start = data[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[at + 2 : start])
    if start + length > len(data):
        raise ValueError("an element is cut off")
    return start, start + length


def _tagged(tag: int, content: bytes) -> bytes:
    assert len(content) < 0x80, "replies are short"  # noqa: PLR2004 - the short form of a length
    return bytes((tag, len(content))) + content
