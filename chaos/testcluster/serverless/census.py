"""Which processes serve users' sessions on our servers, and how much processor time those took.

Read from the kernel alone, so it neither asks a server nor wakes it, needs no privilege, and sees a
stopped one as well. A process's kind is in its title, which PostgreSQL sets.

A server's sessions used all processor time of its children but what its other processes used: what
ended children took is told by their parent, so sessions too short to be seen count as well.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from chaos.testcluster.postgres.configuration import CONTROL_ROLE

# A session is titled by cluster, user, database, the client's host and port, and its activity.
_SESSION = re.compile(r"postgres: (?:\S+: )?(?P<user>\S.*?) \S+ [^\s()]+\(\d+\)(?: |$)")
_WORKER = re.compile(r"postgres: (?:\S+: )?parallel worker for PID \d+")
_TITLED = "postgres: "
_WAL_SENDER = "walsender"


@dataclass(slots=True)
class _Server:
    """One server's children that are alive; CPU times are in nanoseconds."""

    sessions: set[int] = field(default_factory=set)  # of users
    workers: set[int] = field(default_factory=set)  # which run parts of sessions' queries
    others: dict[int, int] = field(default_factory=dict)  # process -> its CPU time when last seen
    untitled: set[int] = field(default_factory=set)  # forked a moment ago
    ended_others_ns: int = 0
    reaped_ns: int = 0
    used_ns: int = 0

    def children(self) -> set[int]:
        return self.sessions | self.workers | self.untitled | self.others.keys()


class Census:
    """The children of a changing set of servers, each named by its postmaster's process id."""

    def __init__(self) -> None:
        self._servers: dict[int, _Server] = {}
        self._strangers: set[int] = set()

    def count(self, postmasters: Collection[int]) -> None:
        """Look at all processes once; servers not among `postmasters` are forgotten."""
        for gone in self._servers.keys() - set(postmasters):
            del self._servers[gone]
        fresh = set(postmasters) - self._servers.keys()
        if fresh:
            self._strangers.clear()  # Whose children were strangers until now.
        for postmaster in fresh:
            self._servers[postmaster] = _Server()
        alive = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - names only
        self._strangers &= alive
        known = set(self._strangers)
        for postmaster, server in self._servers.items():
            self._forget_ended(server, alive)
            for pid in tuple(server.untitled):
                self._sort(server, pid)
            known |= server.children()
            known.add(postmaster)
        for pid in alive - known:
            parent = self._servers.get(_parent(pid))
            if parent is None:
                self._strangers.add(pid)
            else:
                parent.untitled.add(pid)
                self._sort(parent, pid)

    def sessions(self, postmaster: int) -> set[int]:
        """Return the processes of users' sessions; one is there before it is authenticated."""
        server = self._servers.get(postmaster)
        return set(server.sessions) if server is not None else set()

    def has_users(self, postmaster: int) -> bool:
        """Tell whether a server has users' sessions, or forked a process that may become one."""
        server = self._servers.get(postmaster)
        return server is not None and bool(server.sessions or server.untitled)

    def working(self, postmaster: int) -> set[int]:
        """Return the processes whose processor time counts as the users'."""
        server = self._servers.get(postmaster)
        return server.sessions | server.workers if server is not None else set()

    def used_s(self, postmaster: int, *, exactly: bool = True) -> float:
        """Return the processor time that users' sessions took since the server was first counted.

        It never falls. With `exactly` off, what ended since the last exact answer is left out.
        """
        server = self._servers.get(postmaster)
        if server is None:
            return 0.0
        for pid in server.others:
            server.others[pid] = _cpu_ns(pid, server.others[pid])
        if exactly:
            server.reaped_ns = _reaped_ns(postmaster)
        living = sum(_cpu_ns(pid, 0) for pid in server.sessions | server.workers | server.untitled)
        total = server.reaped_ns + living - server.ended_others_ns
        server.used_ns = max(server.used_ns, total)
        return server.used_ns / 1e9

    @staticmethod
    def _forget_ended(server: _Server, alive: Collection[int]) -> None:
        for group in (server.sessions, server.workers, server.untitled):
            group.intersection_update(alive)
        for pid in server.others.keys() - set(alive):
            server.ended_others_ns += server.others.pop(pid)

    @staticmethod
    def _sort(server: _Server, pid: int) -> None:
        """Put a child where its title says, once it has one."""
        title = _title(pid)
        if not title.startswith(_TITLED):
            return
        server.untitled.discard(pid)
        session = _SESSION.match(title)
        if _WORKER.match(title):
            server.workers.add(pid)
        elif session and session["user"].split()[0] not in {CONTROL_ROLE, _WAL_SENDER}:
            server.sessions.add(pid)
        else:
            server.others[pid] = _cpu_ns(pid, 0)


def supported() -> bool:
    """Tell whether this system tells what a census asks."""
    if not sys.platform.startswith("linux"):
        return False
    return _cpu_ns(os.getpid(), 0) > 0 and Path("/proc/self/stat").exists()


def _cpu_ns(pid: int, otherwise: int) -> int:
    """Return a process's CPU time; `otherwise` where it has ended."""
    try:
        # The clock that clock_getcpuclockid(3) gives; anybody may read it.
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return otherwise


def _title(pid: int) -> str:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _reaped_ns(pid: int) -> int:
    """Return the CPU time of a process's children that have ended and been waited for."""
    fields = _stat(pid)
    if not fields:
        return 0
    ticks = int(fields[13]) + int(fields[14])  # cutime, cstime
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command, from the state on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
