"""A network and mounts of the program's own: its loopback, and its resolv.conf.

Root takes them as root. Everybody else takes them in a user namespace in which he is himself; where
the kernel forbids that (Docker's and Ubuntu 24.04's default), there is no such network.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

from chaos.testcluster.exec import kernel

_NAME_SERVER = "127.0.0.1"
_SECOND_ADDRESS = "127.0.0.53"


def enter(folder: Path) -> socket.socket:
    """Take this process, which has one thread, to namespaces of its own.

    Args:
        folder: an empty folder, for the files that stand in place of the machine's.

    Returns:
        The UDP socket that every query for a name arrives at.

    Raises:
        OSError: the kernel does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    apart = kernel.NEW_MOUNTS | kernel.NEW_NETWORK
    try:
        kernel.unshare(apart)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        kernel.unshare(apart | kernel.NEW_USER)
        kernel.map_identity(uid, gid)
    kernel.keep_mounts_private()
    _replace(folder, Path("/etc/resolv.conf"), f"nameserver {_NAME_SERVER}\n")
    switch = Path("/etc/nsswitch.conf")
    if switch.exists():
        _replace(folder, switch, without_caches(switch.read_text()))
    kernel.raise_loopback(_SECOND_ADDRESS)
    queries = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    queries.bind((_NAME_SERVER, 53))
    return queries


def without_caches(switch: str) -> str:
    """Return an nsswitch.conf that looks names up in files and by DNS only."""
    return re.sub(r"(?m)^\s*hosts:.*$", "hosts: files dns", switch)


def _replace(folder: Path, path: Path, text: str) -> None:
    """Let `path` show `text` here; where there is no such file, its default serves as well."""
    if not path.exists():
        return
    stand_in = folder / path.name
    stand_in.write_text(text)
    stand_in.chmod(0o644)
    kernel.mount_over(stand_in, path.resolve())
