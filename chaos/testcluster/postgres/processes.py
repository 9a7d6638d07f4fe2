"""Ending a server completely: its postmaster, and every process that works in its data directory.

PostgreSQL's children start sessions of their own, and outlive a killed postmaster by moments in which
they could still acknowledge a commit. So a process belongs to a server if its working directory is
the server's data directory, whoever its parent is by now.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

import psutil

from chaos.wait import wait_until

_IPC_RMID = 0
_KILL_TIMEOUT_S = 10.0


def processes_in(data: Path) -> list[int]:
    """Return the ids of the processes whose working directory is `data`."""
    wanted = str(data)
    proc = Path("/proc")
    if not (proc / "self" / "cwd").exists():
        return [p.pid for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == wanted]
    found = []
    for entry in os.listdir(proc):  # noqa: PTH208 - a Path object per process would double the time
        if entry.isdigit():
            # The process may have ended, or be somebody else's: not ours in either case.
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/cwd") == wanted:  # noqa: PTH115 - as above
                    found.append(int(entry))
    return found


def kill_all(data: Path, postmaster: int | None) -> None:
    """SIGKILL the server in `data` and return when none of its processes is left.

    Raises:
        WaitTimeout: a process survived SIGKILL for 10 s, as in uninterruptible sleep.
    """
    if postmaster is not None:
        _send(postmaster, signal.SIGSTOP)  # It cannot fork while its children are counted.

    def gone() -> bool:
        left = {*processes_in(data), *([postmaster] if _alive(postmaster) else [])} - {None}
        for pid in left:
            _send(pid, signal.SIGKILL)
        return not left

    wait_until(gone, f"the server in {data} to die", timeout_s=_KILL_TIMEOUT_S, interval_s=0.002)


def sweep_lock_file(data: Path) -> None:
    """Remove what a killed postmaster leaves: its lock file and its System V segment."""
    lock = data / "postmaster.pid"
    try:
        lines = lock.read_text().splitlines()
    except FileNotFoundError:
        return
    if len(lines) > 6 and len(ids := lines[6].split()) == 2:  # noqa: PLR2004 - key and id, line 7
        ctypes.CDLL(None).shmctl(int(ids[1]), _IPC_RMID, None)
    lock.unlink(missing_ok=True)


def _alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _send(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
