"""What a server's processes use of the machine, without asking or waking it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil


class Usage(NamedTuple):
    """CPU time since the server started, of ended processes too, and the memory in use now."""

    cpu_s: float
    memory_bytes: int


def usage(postmaster: int) -> Usage | None:
    """Return what the server of this postmaster uses, None if it has ended.

    CPU time never falls but for moments in which a process has ended and is not yet waited for.
    """
    cpu_s, own_bytes, shared_bytes = 0.0, 0, 0
    try:
        head = psutil.Process(postmaster)
        times = head.cpu_times()
        cpu_s += times.children_user + times.children_system
        for process in (head, *_children(head)):
            with contextlib.suppress(psutil.NoSuchProcess), process.oneshot():
                times, memory = process.cpu_times(), process.memory_info()
                cpu_s += times.user + times.system
                # Every process maps the same buffers: they count once.
                shared = getattr(memory, "shared", 0)
                own_bytes += memory.rss - shared
                shared_bytes = max(shared_bytes, shared)
    except psutil.NoSuchProcess:
        return None
    return Usage(cpu_s, own_bytes + shared_bytes)


def _children(process: psutil.Process) -> Iterator[psutil.Process]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        pids = [int(pid) for pid in listed.read_text().split()]
    except OSError:  # Not on this system: psutil looks through all processes instead.
        yield from process.children()
        return
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield psutil.Process(pid)
