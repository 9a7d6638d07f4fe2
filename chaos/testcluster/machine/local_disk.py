"""An instance's local storage that has no space left, as PostgreSQL meets it.

Aurora's cluster volume grows by itself. What fills up is an instance's local storage, on which
temporary files lie: sorts, hashes and index builds that do not fit into `work_mem` fail with SQLSTATE
53100, everything else goes on ("Troubleshooting storage issues" in the Aurora PostgreSQL guide). Here a
file system of a single page is mounted where the server keeps its temporary files, so ENOSPC is the
kernel's own. Mounting takes CAP_SYS_ADMIN.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
from pathlib import Path

from chaos.errors import HostError
from chaos.testcluster.postgres.account import Account

NEEDS = "Linux and CAP_SYS_ADMIN (root): a small file system is mounted"

_MNT_DETACH = 2
_TEMPORARY = Path("base") / "pgsql_tmp"


class FullLocalDisk:
    """The full local storage of the server with its data in `data`, until `end`."""

    def __init__(self, data: Path, account: Account) -> None:
        """Let it be full.

        Raises:
            HostError: nothing can be mounted here.
        """
        if not sys.platform.startswith("linux"):
            raise HostError("a full disk needs Linux: a small file system is mounted")
        self._place = data / _TEMPORARY
        self._place.mkdir(mode=0o700, exist_ok=True)
        account.give(self._place)
        owner = self._place.stat()
        options = f"size=4k,mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
        code = _mount(self._place, options)
        if code:
            raise HostError(
                "a full disk needs the capability CAP_SYS_ADMIN, to mount a small file system "
                f"({os.strerror(code)}): run the test cluster as root"
            )

    def end(self) -> None:
        """Let there be space again; harmless a second time."""
        _unmount(self._place)


def unmount_all(directory: Path) -> None:
    """Take away whatever is mounted below a folder, which could not be removed otherwise."""
    with contextlib.suppress(OSError):
        table = Path("/proc/self/mountinfo").read_text()
        places = [Path(_unescaped(line.split()[4])) for line in table.splitlines()]
        for place in places:
            if place.is_relative_to(directory):
                _unmount(place)


def _mount(place: Path, options: str) -> int:
    """Mount a tmpfs; return 0 or the error's number."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [b"gameday", os.fsencode(place), b"tmpfs", ctypes.c_ulong(0), options.encode()]
    return ctypes.get_errno() if libc.mount(*arguments) else 0


def _unmount(place: Path) -> None:
    ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(place), _MNT_DETACH)


def _unescaped(text: str) -> str:
    """Return a path as it is, from how the table of mounts writes it: a blank as its octal number."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)
