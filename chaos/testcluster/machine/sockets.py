"""Reaching into the TCP sockets of a server that we run: what arrives at them is dropped.

A socket is duplicated into this process (`pidfd_getfd`) and given a packet filter, which the kernel
applies to everything that arrives at it, whoever else holds it. A filter that drops all makes an
address as silent as a machine without power: no answer to data, keepalives or SYNs, and no FIN or RST
for as long as a duplicate is held. What a listening socket accepts inherits its filter.

No proxy, and so no other address. Linux only; filtering TCP takes CAP_NET_ADMIN.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from chaos.errors import HostError

_SYS_PIDFD_GETFD = 438  # the same on every architecture
_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_TCP_REPAIR = 19
_TCP_LISTEN = 10
_ACCEPTED_MAX = 1000

# Classic BPF: load a random 32-bit number (SKF_AD_OFF + SKF_AD_RANDOM), jump where >=, return.
_LOAD_RANDOM = (0x20, 0, 0, 0xFFFFF000 + 56)
_JUMP_GE = 0x35
_RETURN = 0x06
_DROP, _KEEP = (_RETURN, 0, 0, 0), (_RETURN, 0, 0, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Tapped:
    """A duplicate of another process's TCP socket; `inode` is the socket's identity."""

    inode: int
    socket: socket.socket

    @property
    def listening(self) -> bool:
        """Whether it accepts connections."""
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0] == _TCP_LISTEN

    def drop(self, share: float) -> None:
        """Drop this share (0 to 1) of the packets that arrive, chosen at random, from now on."""
        program = _filter(share)
        packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
        buffer = ctypes.create_string_buffer(packed)
        header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)

    def keep_all(self) -> None:
        """Undo `drop`."""
        with contextlib.suppress(FileNotFoundError):  # there is no filter
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)

    def vanish(self) -> None:
        """Close it without a word, as a machine forgets its sockets: whoever sends next gets a RST."""
        with contextlib.suppress(OSError):  # A listening socket has nothing to say anyway.
            self.socket.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        self.socket.close()


def _filter(share: float) -> tuple[tuple[int, int, int, int], ...]:
    if share >= 1:
        return (_DROP,)
    limit = int(share * 2**32)
    return (_LOAD_RANDOM, (_JUMP_GE, 1, 0, limit), _DROP, _KEEP)


def require_filters(purpose: str) -> None:
    """Raise `HostError`, naming what would be needed, unless sockets can be filtered here."""
    if not sys.platform.startswith("linux"):
        raise HostError(f"{purpose} needs Linux: it works by packet filters on a server's sockets")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        try:
            Tapped(0, trial).drop(1)
            trial.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        except OSError as error:
            raise HostError(
                f"{purpose} needs the capability CAP_NET_ADMIN, which this process does not have "
                f"({error.strerror}): run the test cluster as root"
            ) from error


def tap(pids: Iterable[int], *, known: Collection[int] = ()) -> list[Tapped]:
    """Duplicate the IPv4 TCP sockets of these processes, but for those whose inode is `known`.

    Processes and sockets that end meanwhile are left out. What is returned is the caller's to close.

    Raises:
        HostError: these processes' sockets may not be duplicated.
    """
    found: dict[int, Tapped] = {}
    for pid in pids:
        try:
            for number, inode in _sockets(pid):
                if inode not in known and inode not in found:
                    copy = _duplicate(pid, number)
                    if copy is not None:
                        found[inode] = Tapped(inode, copy)
        except PermissionError as error:
            for tapped in found.values():
                tapped.socket.close()
            raise HostError(
                f"cannot reach the sockets of process {pid} ({error.strerror}): it takes the right "
                "to trace that process, which is CAP_SYS_PTRACE where it runs as somebody else"
            ) from error
    return list(found.values())


def accept_waiting(tapped: Tapped) -> list[Tapped]:
    """Accept what waits in a listening socket's queue, which no process has a descriptor of yet."""
    accepted: list[Tapped] = []
    tapped.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError, OSError):
        while len(accepted) < _ACCEPTED_MAX:
            one, _ = tapped.socket.accept()
            accepted.append(Tapped(os.fstat(one.fileno()).st_ino, one))
    return accepted


def _sockets(pid: int) -> Iterator[tuple[int, int]]:
    """Yield descriptor and inode of each socket of a process."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for name in os.listdir(folder):  # noqa: PTH208 - names only, and often
            with contextlib.suppress(FileNotFoundError):
                kind, _, inode = os.readlink(f"{folder}/{name}").partition(":")  # noqa: PTH115 - often
                if kind == "socket":
                    yield int(name), int(inode.strip("[]"))


def _duplicate(pid: int, number: int) -> socket.socket | None:
    """Return a duplicate of a process's descriptor, None unless it is an IPv4 TCP socket."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        copy: int = ctypes.CDLL(None, use_errno=True).syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)
    finally:
        os.close(pidfd)
    if copy < 0:
        code = ctypes.get_errno()
        if code in {errno.EBADF, errno.ESRCH}:
            return None
        raise OSError(code, os.strerror(code))
    try:
        tapped = socket.socket(fileno=copy)
    except OSError:  # The number has been used again, for something else.
        os.close(copy)
        return None
    if tapped.family is socket.AF_INET and tapped.type is socket.SOCK_STREAM:
        return tapped
    tapped.close()
    return None
