"""Runs a program beside a test cluster as `gameday cluster exec` does, as another account if asked.

`EXEC_TOLD` holds the cluster as JSON: `access`, `api_url`, `region`, `ca_file`, `name_server`, `mode`,
`like_docker`, and `account`, whose uid and gid to take on first, once everything is imported: this
interpreter may lie where that account cannot look.
"""

from __future__ import annotations

import ctypes
import encodings.idna  # noqa: F401 - imported on first use, when it is too late
import errno
import json
import os
import struct
import sys

from chaos.model.access import DatabaseAccess
from chaos.names import NameServer
from chaos.testcluster.exec import kernel
from chaos.testcluster.exec.environment import Place, environment
from chaos.testcluster.exec.launch import Mode, end_as, run

_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_PR_SET_NO_NEW_PRIVS = 38


def become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # A process that changed its account may not be looked into, not even by itself.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def forbid_sharing() -> None:
    """Have pidfd_getfd(2) refused, as Docker's default profile refuses it."""
    here = kernel.machine()
    lines = (
        *((0x20, 0, 0, 0), (0x15, 0, 1, here.pidfd_getfd)),
        *((0x06, 0, 0, 0x00050000 | errno.EPERM), (0x06, 0, 0, 0x7FFF0000)),
    )
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HxxxxxxP", len(lines), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(program)) == 0


def main() -> int:
    told = json.loads(os.environ.pop("EXEC_TOLD"))
    if told["like_docker"]:
        forbid_sharing()
    place = Place(
        access=DatabaseAccess.from_json(told["access"]),
        api_url=told["api_url"],
        region=told["region"],
        ca_file=told["ca_file"],
    )
    name_server = NameServer(**told["name_server"])
    if told["account"]:
        become(*told["account"])
    return end_as(
        run(
            sys.argv[1:],
            environment=environment(place, os.environ),
            name_server=name_server,
            mode=Mode(told["mode"]),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
