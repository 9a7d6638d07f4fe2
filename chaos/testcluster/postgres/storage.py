"""A stand-in for Aurora's shared storage, under which promotion loses no acknowledged commit.

Readers stream asynchronously. What makes them lose nothing is a folder that all see, as Aurora's
storage volume: a symbolic link to the current writer's `pg_wal`, from which every node's
`restore_command` copies. A promoted reader first replays all it can get from there, so everything the
fenced writer had written, acknowledged or not; its history then continues the old writer's exactly,
which comes back as a reader without being rewound. Only after the promotion is the link moved.

A commit is acknowledged after its WAL was written to the kernel, so a killed process loses none of
it. (A machine's power loss would: `fsync` is off, and all nodes share the machine anyway.)

The alternative was synchronous replication (`synchronous_standby_names = 'ANY 1 (*)'`). Side by side
(tests/benchmarks/storage_variants.py, PostgreSQL 15, two clients, medians of 5 runs, losses of 10):

              commits/s   killed to promoted   old writer rejoined   lost
    storage        3219               137 ms                191 ms   0 of 24078
    synchronous    1939               133 ms                369 ms   0 of 18417
    neither        2583               100 ms                447 ms   2 of 29211

Both lose nothing. But the synchronous one must promote the most advanced reader, or catch the named
one up first, must rewind the old writer with pg_rewind (it has records that the promoted reader never
got), and stalls every commit while no reader is connected, which Aurora does not.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from chaos.errors import HostError
from chaos.testcluster.postgres.account import Account
from chaos.testcluster.postgres.configuration import SEGMENT_MB
from chaos.testcluster.postgres.programs import PostgresBinaries

_SEGMENT_BYTES = SEGMENT_MB * 1024 * 1024
_SEGMENT_NAME = re.compile("[0-9A-F]{24}")
_DUMP_TIMEOUT_S = 10.0
_SEGMENTS_PER_ID = 2**32 // _SEGMENT_BYTES
_NO_RECORD = "could not find a valid record after"
_NEVER_WRITTEN = b"\0\0"  # where a written segment has its page's magic number


class Storage:
    """The link `path` to the current writer's `pg_wal`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def attach(self, writer_data: Path) -> None:
        """Make `writer_data` the directory whose WAL everybody reads, atomically."""
        moved = self.path.with_name(self.path.name + ".new")
        moved.unlink(missing_ok=True)
        moved.symlink_to(writer_data / "pg_wal")
        moved.replace(self.path)

    def continues(self, lsn: str) -> bool:
        """Tell whether a node that has replayed up to `lsn` can read on from here without a gap.

        A writer removes its oldest segments first, so holding the one of `lsn` is enough.
        """
        suffix = segment_suffix(lsn)
        return any(name.endswith(suffix) for name in self._segments())

    def holds_more(self, lsn: str, binaries: PostgresBinaries, account: Account) -> bool:
        """Tell whether a node that has replayed up to `lsn` still lacks a record that is here.

        The record would begin in the segment of `lsn`. Of that one, the newest timeline's copy goes
        furthest; the newest timeline of all may have begun segments later, and not hold it.

        Raises:
            HostError: WAL could not be read for another reason than that there is no more.
        """
        suffix, names = _suffix(_byte(lsn)), sorted(self._segments())
        first = next((name for name in reversed(names) if name.endswith(suffix)), None)
        if first is None or self._is_blank(first):
            return False
        last = next(name for name in reversed(names) if name[:8] == first[:8])
        # Named, because pg_waldump would ask any file, even a blank one, how large segments are;
        # and up to the last, because a record may reach over several.
        command = ["--path", str(self.path), "--limit", "1", "--start", lsn, first, last]
        try:
            account.run([binaries.program("pg_waldump"), *command], timeout_s=_DUMP_TIMEOUT_S)
        except HostError as error:
            if _NO_RECORD in str(error):
                return False
            raise
        return True

    def _is_blank(self, segment: str) -> bool:
        """Tell whether a segment was made in advance and nothing has been written to it."""
        with (self.path / segment).open("rb") as file:
            return file.read(len(_NEVER_WRITTEN)) == _NEVER_WRITTEN

    def _segments(self) -> list[str]:
        return [name for name in os.listdir(self.path) if _SEGMENT_NAME.fullmatch(name)]  # noqa: PTH208 - names only


def segment_suffix(lsn: str) -> str:
    """Return the last 16 digits of the name of the WAL segment of the last byte before `lsn`.

    `lsn` is as PostgreSQL writes it ("16/B374D848"). At a segment's end the next one need not exist.
    """
    return _suffix(_byte(lsn) - 1)


def _byte(lsn: str) -> int:
    high, low = (int(part, 16) for part in lsn.split("/"))
    return (high << 32) | low


def _suffix(byte: int) -> str:
    segment = byte // _SEGMENT_BYTES
    return f"{segment // _SEGMENTS_PER_ID:08X}{segment % _SEGMENTS_PER_ID:08X}"
