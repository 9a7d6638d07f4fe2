"""Requests that a server gets late: each is held for a while before the server may read it.

The kernel of an ordinary machine has no means to delay packets (netem is seldom there, and a proxy would
change addresses). So a session's process is stopped while it waits for its client, which costs nobody
anything, and runs on when the next request has waited for as long as it should. It needs no privilege.

It is an approximation. Requests of a client that sends them within a fraction of a millisecond after the
last answer may slip through; what they were spared, the next one that is caught waits for, so that the
average is right. Connecting, replication and the control plane's own sessions are not delayed. And a
session runs for a moment now and then, because a stopped one hears no signal either.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import logging
import os
import re
import selectors
import socket
import struct
import termios
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.clock import NS, MonotonicClock
from chaos.errors import HostError
from chaos.testcluster.machine.sockets import Tapped, tap
from chaos.testcluster.postgres.configuration import CONTROL_ROLE
from chaos.testcluster.postgres.node import Node

HELD_BY = "Linux, and the right to trace the servers' processes"

log = logging.getLogger(__name__)

_TICK_NS = 1_000_000
_LOOK_NS = 20_000_000  # between two looks for new sessions
_BREATH_NS = 100_000_000  # how long a session stays stopped without a request at most
_LOOKS = 100  # how often one that has just been let go is looked at without a pause
_TITLE = re.compile(
    rb"^postgres: (?:[^:]+: )?(?P<user>\S+) \S+ \S+\(\d+\) (?P<state>[^\0]*?)[\0 ]*$"
)
_NO_CLIENTS = {CONTROL_ROLE.encode(), b"walsender"}
_SIOCOUTQNSD = 0x894B  # bytes that were not even sent; an acknowledgement may take its time
_TITLE_MAX = 512
_SLIPPED_MAX = 100
_CAUGHT_UP_MAX_S = 1.0  # how much of what was spared others one request waits for at most
_PACKETS = struct.Struct("=152xII")  # of the kernel's `struct tcp_info`: data segments in and out
_SIOCINQ = termios.FIONREAD


_holding = threading.Lock()
_held: dict[Node, _Holding] = {}  # guarded by the lock


@dataclass(slots=True)
class _Session:
    """One backend with its client's socket; `due_ns` is when a request that came may be read."""

    pid: int
    process: _Process
    socket: Tapped
    held: bool = False
    until_ns: int = 0
    looks: int = 0
    due_ns: int | None = None
    at_release: tuple[int, int] = (0, 0)  # packets that had come, and that had gone
    slipped: int = 0

    def count_slipped(self) -> None:
        """Set how many requests were read at once since it was let go."""
        come, gone = _packets(self.socket.socket)
        slipped = min(come - self.at_release[0], gone - self.at_release[1])
        self.slipped = min(max(slipped, 0), _SLIPPED_MAX)


def hold(node: Node, delay_s: Callable[[], float]) -> Callable[[], None]:
    """Hold each request of a node's clients for `delay_s()` seconds; return what ends that.

    Where several hold the same node's, their times add up.

    Raises:
        HostError: this machine does not show what sessions do, or their sockets cannot be reached.
    """
    with _holding:
        held = _held.get(node)
        if held is None:
            _require_proc()
            held = _held[node] = _Holding(node)
        held.delays.append(delay_s)

    def ending() -> None:
        with _holding:
            held.delays.remove(delay_s)
            if held.delays:
                return
            del _held[node]
        held.end()

    return ending


def _require_proc() -> None:
    if not _children_file(os.getpid()).exists():
        raise HostError(
            "holding requests needs Linux with CONFIG_PROC_CHILDREN: it works by what /proc tells of "
            "the servers' processes"
        )


class _Holding:
    """Holds the requests of one node's clients for the sum of `delays`, until `end`."""

    def __init__(self, node: Node) -> None:
        self.delays: list[Callable[[], float]] = []
        self._node = node
        self._sessions: dict[int, _Session] = {}
        self._others: set[int] = set()  # no clients' sessions
        self._over = threading.Event()
        self._clock = MonotonicClock()
        self._selector = selectors.DefaultSelector()
        try:
            self._look()
        except BaseException:
            self._selector.close()
            raise
        self._thread = threading.Thread(
            target=self._run, name=f"requests of {node.identifier}", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Let every request be read at once again."""
        self._over.set()
        self._thread.join()
        for session in list(self._sessions.values()):
            self._node.freezer.run([session.pid])
            self._forget(session)
        self._selector.close()

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        looked_ns = 0
        while not self._over.is_set():
            now = self._clock.now_ns()
            if now - looked_ns > _LOOK_NS:
                looked_ns = now
                try:
                    self._look()
                except (HostError, OSError) as error:
                    log.warning("new sessions of %s: %s", self._node.identifier, error)
            pauses = [self._advance(session) for session in list(self._sessions.values())]
            self._await_requests(min([*pauses, _LOOK_NS]) / NS)

    def _look(self) -> None:
        """Find new sessions of clients, and let go of those that have ended."""
        running = _children(self._node.pid)
        for pid in set(self._sessions) - running:
            self._forget(self._sessions[pid])
        self._others &= running
        for pid in running - set(self._sessions) - self._others:
            with contextlib.suppress(OSError):  # It has ended meanwhile.
                self._meet(pid, _Process(pid))

    def _meet(self, pid: int, process: _Process) -> None:
        state = _state(process.title())
        try:
            found = tap([pid]) if state is not None and state.is_client else []
        except HostError:
            process.close()
            raise
        if len(found) == 1:
            self._sessions[pid] = _Session(pid, process, found[0])
            return
        process.close()
        for tapped in found:
            tapped.socket.close()
        if state is not None:  # Otherwise it has not introduced itself yet.
            self._others.add(pid)

    def _forget(self, session: _Session) -> None:
        del self._sessions[session.pid]
        self._watch_socket(session, watched=False)
        session.socket.socket.close()
        session.process.close()

    def _await_requests(self, longest_s: float) -> None:
        """Wait a moment for requests to stopped sessions, and set when they may be read."""
        for key, _ in self._selector.select(longest_s):
            session: _Session = key.data
            self._watch_socket(session, watched=False)
            spared_s = sum(self._delay_s() for _ in range(session.slipped))
            delay_s = self._delay_s() + min(spared_s, _CAUGHT_UP_MAX_S)
            session.due_ns = self._clock.now_ns() + int(delay_s * NS)

    def _delay_s(self) -> float:
        return sum(delay_s() for delay_s in tuple(self.delays))

    def _advance(self, session: _Session) -> int:
        """Stop it, or let it go on, if it is time; return in how many ns to come again."""
        now = self._clock.now_ns()
        if not session.held:
            if _idle(session):
                self._hold(session, now)
                return _BREATH_NS
            # One that has just been let go is watched without a pause, to be stopped in time.
            session.looks -= 1
            return 0 if session.looks > 0 else _TICK_NS
        end_ns = session.due_ns if session.due_ns is not None else session.until_ns
        if now < end_ns:
            return end_ns - now
        self._release(session)
        return 0

    def _hold(self, session: _Session, now_ns: int) -> None:
        self._node.freezer.stop([session.pid])
        session.held, session.due_ns, session.until_ns = True, None, now_ns + _BREATH_NS
        session.count_slipped()
        self._watch_socket(session, watched=True)

    def _release(self, session: _Session) -> None:
        self._watch_socket(session, watched=False)
        come, gone = _packets(session.socket.socket)
        # The answer to the request that has waited is not one that slipped through.
        session.at_release = (come, gone + (session.due_ns is not None))
        session.held, session.due_ns, session.looks = False, None, _LOOKS
        self._node.freezer.run([session.pid])

    def _watch_socket(self, session: _Session, *, watched: bool) -> None:
        if watched:
            self._selector.register(session.socket.socket, selectors.EVENT_READ, session)
        else:
            with contextlib.suppress(KeyError):
                self._selector.unregister(session.socket.socket)


@dataclass(frozen=True, slots=True)
class _State:
    is_client: bool
    is_idle: bool


def _state(title: bytes) -> _State | None:
    """Return what a server process says of itself in its title, None while it says nothing yet."""
    if not title.startswith(b"postgres: "):
        return None
    match = _TITLE.match(title)
    if match is None or match["user"] in _NO_CLIENTS:
        return _State(is_client=False, is_idle=False)
    if match["state"] in {b"startup", b"authentication", b""}:
        return None
    return _State(is_client=True, is_idle=match["state"].startswith(b"idle"))


class _Process:
    """What the kernel says of one process; its files are kept open, since they are read often."""

    def __init__(self, pid: int) -> None:
        """Open them.

        Raises:
            OSError: it has ended.
        """
        self._title = os.open(f"/proc/{pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._title)
            raise

    def close(self) -> None:
        os.close(self._title)
        os.close(self._stat)

    def title(self) -> bytes:
        """Return its command line, which PostgreSQL writes what it does into; empty once it ended."""
        try:
            return os.pread(self._title, _TITLE_MAX, 0)
        except OSError:
            return b""

    def sleeps(self) -> bool:
        """Tell whether it waits for something, and so has done what it had to do."""
        try:
            return os.pread(self._stat, _TITLE_MAX, 0).rpartition(b") ")[2][:1] == b"S"
        except OSError:
            return False


def _idle(session: _Session) -> bool:
    """Tell whether a session waits for its client, which was sent all of the last answer."""
    if not session.process.sleeps():
        return False
    number = session.socket.socket.fileno()
    if _queued(number, _SIOCINQ) or _queued(number, _SIOCOUTQNSD):
        return False
    state = _state(session.process.title())
    return state is not None and state.is_idle


def _packets(tcp: socket.socket) -> tuple[int, int]:
    """Return how many packets with data a socket has received and sent."""
    counts = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _PACKETS.size)
    come, gone = _PACKETS.unpack(counts)
    return come, gone


def _queued(number: int, request: int) -> int:
    """Return how many bytes wait in a socket's queue."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(number, request, count)
    except OSError:
        return 0
    return count[0]


def _children(pid: int | None) -> set[int]:
    if pid is None:
        return set()
    try:
        return {int(number) for number in _children_file(pid).read_text().split()}
    except OSError:
        return set()


def _children_file(pid: int) -> Path:
    return Path(f"/proc/{pid}/task/{pid}/children")
