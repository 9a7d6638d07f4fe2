"""What a program's `socket` and `connect` come to: this machine's loopback, and nobody else.

| The program | comes to |
|---|---|
| makes a TCP socket | one of the machine's network, where it has a network of its own |
| connects to loopback | just that |
| connects to port 53 of anybody | the test cluster's name server |
| connects to a caching name service of the machine | nobody, so that it asks name servers itself |
| connects to anybody else | ENETUNREACH |
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import select
import socket
import sys
import threading
from dataclasses import dataclass

from chaos.testcluster.exec.kernel import (
    Notice,
    Notices,
    flags_of,
    machine,
    memory_of,
    socket_of,
)

_CACHES = (b"/run/nscd/", b"/var/run/nscd/", b"/run/systemd/resolve/")
_DNS_PORT = 53
_ADDRESS_MAX = 128
_IPV4_LENGTH, _IPV6_LENGTH = 8, 24  # family, port, (flow,) host
_SOCK_TYPE_MASK = 0xF
_INTERNET = {socket.AF_INET, socket.AF_INET6}

_log = logging.getLogger(__name__)
Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roads:
    """Where connections to name servers are led, by kind of socket; None leaves them alone."""

    udp: Address | None
    tcp: Address


class Calls:
    """Answers the calls of one program and of all it starts, until none of them is left."""

    def __init__(self, notices: Notices, roads: Roads) -> None:
        """Answer from now on, in a thread."""
        self._notices = notices
        self._roads = roads
        self._thread = threading.Thread(target=self._serve, name="system calls", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._notices, select.POLLIN)
        while True:
            ((_, events),) = poll.poll()
            if not events & select.POLLIN:
                return  # Hung up: nobody is left who could call.
            notice = self._notices.receive()
            if notice is None:
                continue
            try:
                self._answer(notice)
            except Exception:  # noqa: BLE001 - one bad call must not leave all others waiting
                _log.exception("a call of process %d was not answered", notice.thread)

    def _answer(self, notice: Notice) -> None:
        try:
            if notice.call == machine().socket:
                self._socket(notice)
            else:
                self._connect(notice)
        except ProcessLookupError:
            pass  # The caller was killed meanwhile, and waits for no answer.
        except OSError as error:
            _log.debug("a call of process %d fails: %s", notice.thread, error)
            self._notices.fail(notice, error.errno or errno.EIO)

    def _socket(self, notice: Notice) -> None:
        family, kind, protocol = (value & 0xFFFFFFFF for value in notice.arguments[:3])
        if family not in _INTERNET or kind & _SOCK_TYPE_MASK != socket.SOCK_STREAM:
            self._notices.let_through(notice)
            return
        with socket.socket(family, kind, protocol) as lent:
            # Python sets what this socket does not ask for.
            lent.setblocking(not kind & socket.SOCK_NONBLOCK)
            self._notices.give(
                notice, lent.fileno(), close_on_exec=bool(kind & socket.SOCK_CLOEXEC)
            )

    def _connect(self, notice: Notice) -> None:
        descriptor, place, length = notice.arguments[:3]
        address = memory_of(notice.thread, place, min(length & 0xFFFFFFFF, _ADDRESS_MAX))
        if _family(address) == socket.AF_UNIX:
            if address[2:].startswith(_CACHES):
                self._notices.fail(notice, errno.ECONNREFUSED)
            else:
                self._notices.let_through(notice)
            return
        target = _internet_address(address)
        if target is None:
            self._notices.let_through(notice)
            return
        host, port = target
        if port == _DNS_PORT and self._redirected(notice, descriptor):
            return
        if host.is_loopback or host.is_unspecified:
            self._notices.let_through(notice)
        else:
            self._notices.fail(notice, errno.ENETUNREACH)

    def _redirected(self, notice: Notice, descriptor: int) -> bool:
        """Connect a socket to the name server instead, if its kind is to be led there."""
        try:
            shared = socket_of(notice.thread, descriptor)
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOSYS} or self._roads.udp is None:
                raise
            self._replace(notice, descriptor, self._roads.udp)
            return True
        with shared as theirs:
            road = self._roads.udp if theirs.type == socket.SOCK_DGRAM else self._roads.tcp
            if road is None:
                return False
            host = road[0] if theirs.family == socket.AF_INET else f"::ffff:{road[0]}"
            self._notices.fail(notice, theirs.connect_ex((host, road[1])))
        return True

    def _replace(self, notice: Notice, descriptor: int, road: Address) -> None:
        """Give the program another socket where containers forbid to share its own.

        Then a query by TCP cannot be told from one by UDP, to which no answer is too long.
        """
        flags = flags_of(notice.thread, descriptor)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
            another.connect(road)
            another.setblocking(not flags & os.O_NONBLOCK)
            self._notices.replace(
                notice,
                descriptor,
                another.fileno(),
                close_on_exec=bool(flags & os.O_CLOEXEC),
            )
        self._notices.fail(notice, 0)


def _family(address: bytes) -> int:
    return int.from_bytes(address[:2], sys.byteorder)


def _internet_address(
    address: bytes,
) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int] | None:
    """Return host and port of a `struct sockaddr`, None where it is of another family."""
    family = _family(address)
    if family == socket.AF_INET and len(address) >= _IPV4_LENGTH:
        return ipaddress.IPv4Address(address[4:8]), int.from_bytes(address[2:4])
    if family == socket.AF_INET6 and len(address) >= _IPV6_LENGTH:
        host = ipaddress.IPv6Address(address[8:24])
        return host.ipv4_mapped or host, int.from_bytes(address[2:4])
    return None
