"""Linux's system calls for namespaces, seccomp and other processes' sockets, by ctypes.

Numbers and layouts are the kernel's stable interface: unshare(2), mount(2), seccomp(2),
seccomp_unotify(2), pidfd_getfd(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

NEW_MOUNTS = 0x00020000
NEW_USER = 0x10000000
NEW_NETWORK = 0x40000000

_MS_BIND = 4096
_MS_REC = 16384
_MS_SLAVE = 1 << 19
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

_SIOCSIFADDR = 0x8916
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1

_SET_MODE_FILTER = 1
_NEW_LISTENER = 1 << 3
_WAIT_KILLABLE = 1 << 5
_ALLOW = 0x7FFF0000
_NOTIFY = 0x7FC00000
_ERRNO = 0x00050000
_CONTINUE = 1
_ADDFD_AT = 1 << 0
_ADDFD_SEND = 1 << 1

_NOTICE = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif
_RESPONSE = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_ADDFD = struct.Struct("=QIIII")  # struct seccomp_notif_addfd
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter
_IOWR, _IOW = 3, 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Machine:
    """One processor's numbers: of its seccomp audit architecture and of its system calls."""

    audit: int
    seccomp: int
    socket: int
    connect: int
    pidfd_getfd: int = 438
    io_uring_setup: int = 425


_MACHINES = {
    "x86_64": Machine(audit=0xC000003E, seccomp=317, socket=41, connect=42),
    "aarch64": Machine(audit=0xC00000B7, seccomp=277, socket=198, connect=203),
}


def machine() -> Machine:
    """Return this processor's numbers.

    Raises:
        OSError: ENOSYS, for a processor whose numbers are not known here.
    """
    try:
        return _MACHINES[platform.machine()]
    except KeyError:
        raise OSError(errno.ENOSYS, f"no system call numbers for a {platform.machine()}") from None


def unshare(what: int) -> None:
    """Leave some of the namespaces, for fresh ones."""
    _call("unshare", what)


def map_identity(uid: int, gid: int) -> None:
    """In a fresh user namespace, be the account that one was outside."""
    process = Path("/proc/self")
    (process / "setgroups").write_text("deny")
    (process / "uid_map").write_text(f"{uid} {uid} 1")
    (process / "gid_map").write_text(f"{gid} {gid} 1")


def keep_mounts_private() -> None:
    """Keep what is mounted from now on in this mount namespace."""
    _mount(None, "/", _MS_REC | _MS_SLAVE)


def mount_over(source: Path, target: Path) -> None:
    """Make `target` show what `source` is: a file over a file, a folder over a folder."""
    _mount(source, str(target), _MS_BIND)


def _mount(source: Path | None, target: str, flags: int) -> None:
    _call(
        "mount",
        None if source is None else str(source).encode(),
        target.encode(),
        None,
        ctypes.c_ulong(flags),
        None,
    )


def raise_loopback(second_address: str) -> None:
    """Bring this network namespace's loopback up, with a second address.

    Resolvers that return only families which the machine has an address of (AI_ADDRCONFIG) do not
    count 127.0.0.1.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", _IFF_UP)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
        address = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(second_address))
        fcntl.ioctl(any_socket, _SIOCSIFADDR, struct.pack("16s16s8x", b"lo:1", address))


def end_with_parent(number: int) -> None:
    """Have this process sent a signal when its parent ends."""
    _call("prctl", _PR_SET_PDEATHSIG, number, 0, 0, 0)


def intercept(calls: list[int]) -> int:
    """Hand system calls of this process, and of all it starts, to whoever reads what is returned.

    `io_uring`, by which a program can do without those calls, is refused as if it were not there.

    Without CAP_SYS_ADMIN, set-user-id programs have no effect any more.

    Args:
        calls: their numbers.

    Returns:
        The descriptor of a `Notices`.
    """
    here = machine()
    code = _filter(here, calls)
    try:
        return _install(here, code)
    except PermissionError:
        _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return _install(here, code)


def _install(here: Machine, code: bytes) -> int:
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HxxxxxxP", len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    argument = ctypes.create_string_buffer(program, len(program))
    for more in (_WAIT_KILLABLE, 0):  # The first since Linux 5.19.
        try:
            return _system_call(
                here.seccomp, _SET_MODE_FILTER, _NEW_LISTENER | more, ctypes.addressof(argument)
            )
        except OSError as error:
            if error.errno != errno.EINVAL or not more:
                raise
    raise AssertionError


def _filter(here: Machine, calls: list[int]) -> bytes:
    """Return the classic BPF program that decides on every system call."""
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    rules = [(here.io_uring_setup, _ERRNO | errno.ENOSYS), *((call, _NOTIFY) for call in calls)]
    lines = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, here.audit),
        (give, 0, 0, _ALLOW),
        (load, 0, 0, 0),  # the number
        (at_least, 0, 1, 0x40000000),  # the numbers of the x32 interface
        (give, 0, 0, _ALLOW),
    ]
    for call, verdict in rules:
        lines += [(equal, 0, 1, call), (give, 0, 0, verdict)]
    lines.append((give, 0, 0, _ALLOW))
    return b"".join(_INSTRUCTION.pack(*line) for line in lines)


@dataclass(frozen=True, slots=True)
class Notice:
    """One system call of another process, which waits for the answer."""

    cookie: int
    thread: int
    call: int
    arguments: tuple[int, ...]


class Notices:
    """The reading end of `intercept`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the descriptor: readable when a call waits, hung up when nobody is left."""
        return self._descriptor

    def receive(self) -> Notice | None:
        """Return the next call; None if its caller has gone meanwhile."""
        buffer = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(self._descriptor, _request(_IOWR, 0, _NOTICE.size), buffer)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EINTR}:
                return None
            raise
        cookie, thread, _, call, _, _, *arguments = _NOTICE.unpack(buffer)
        return Notice(cookie, thread, call, tuple(arguments))

    def let_through(self, notice: Notice) -> None:
        """Have the kernel do the call."""
        self._respond(_RESPONSE.pack(notice.cookie, 0, 0, _CONTINUE))

    def fail(self, notice: Notice, error: int) -> None:
        """Fail the call with an `errno`; 0 is success."""
        self._respond(_RESPONSE.pack(notice.cookie, 0, -error, 0))

    def _respond(self, response: bytes) -> None:
        self._answer(_request(_IOWR, 1, len(response)), response)

    def give(self, notice: Notice, descriptor: int, *, close_on_exec: bool) -> None:
        """Let the call return a descriptor that is a copy of ours."""
        fields = _ADDFD.pack(
            notice.cookie, _ADDFD_SEND, descriptor, 0, os.O_CLOEXEC if close_on_exec else 0
        )
        self._answer(_request(_IOW, 3, len(fields)), fields)

    def replace(self, notice: Notice, theirs: int, descriptor: int, *, close_on_exec: bool) -> None:
        """Put a copy of our descriptor in place of theirs; the call still waits."""
        fields = _ADDFD.pack(
            notice.cookie, _ADDFD_AT, descriptor, theirs, os.O_CLOEXEC if close_on_exec else 0
        )
        self._answer(_request(_IOW, 3, len(fields)), fields)

    def _answer(self, request: int, fields: bytes) -> None:
        try:
            fcntl.ioctl(self._descriptor, request, fields)
        except OSError as error:
            if error.errno != errno.ENOENT:  # The caller was killed meanwhile.
                raise


def socket_of(thread: int, descriptor: int) -> socket.socket:
    """Return another process's socket, shared with it."""
    process = _process_of(thread)
    reference = os.pidfd_open(process)
    try:
        return socket.socket(fileno=_system_call(machine().pidfd_getfd, reference, descriptor, 0))
    finally:
        os.close(reference)


def flags_of(thread: int, descriptor: int) -> int:
    """Return the `O_...` flags of another process's descriptor."""
    for line in Path(f"/proc/{thread}/fdinfo/{descriptor}").read_text().splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8)
    raise OSError(errno.EBADF, f"no flags of descriptor {descriptor}")


def _process_of(thread: int) -> int:
    for line in Path(f"/proc/{thread}/status").read_text().splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, f"no process of thread {thread}")


def memory_of(thread: int, address: int, length: int) -> bytes:
    """Return a piece of another process's memory."""
    with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(length)


def _request(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("!") << 8 | number


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) == -1:
        _fail(function)


def _system_call(number: int, *arguments: int) -> int:
    result: int = _libc.syscall(
        ctypes.c_long(number), *(ctypes.c_ulong(argument) for argument in arguments)
    )
    if result == -1:
        _fail(f"system call {number}")
    return result


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")
