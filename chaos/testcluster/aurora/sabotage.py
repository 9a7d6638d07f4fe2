"""What the control plane does instead of the right thing while a defect is planted.

Each is as close to a real defect as PostgreSQL allows: the data that are lost were acknowledged, the
second writer really writes, and clients see nothing but servers, names and the API.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Literal

from chaos.errors import DatabaseError, HostError
from chaos.testcluster import events
from chaos.testcluster.aurora.core import AVAILABLE, FAILING_OVER, REBOOTING, Core, Member
from chaos.testcluster.aurora.readers import clone
from chaos.testcluster.postgres.configuration import SEGMENT_MB

log = logging.getLogger(__name__)

_POLL_S = 0.05
_CONTROL_TIMEOUT_S = 10.0
_SEGMENT_BYTES = SEGMENT_MB * 1024 * 1024
_SEGMENTS_PER_ID = 2**32 // _SEGMENT_BYTES
_SEGMENT_NAME = re.compile(r"[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})")
_MINIMUM = re.compile(r"^Minimum recovery ending location: *([0-9A-F]+/[0-9A-F]+)$", re.MULTILINE)


def fake_failover(core: Core, target: Member) -> None:
    """Show a failover for its usual time and do nothing; the caller holds the lock.

    A pretended one is announced, too, and the API names `target` as the writer afterwards.
    """
    pretended = core.defects.failover == "pretended"
    delays = core.pacer.next("failover that is not done")
    core.status = FAILING_OVER
    if pretended:
        core.record(events.FAILOVER_CROSS_AZ, core.spec.id, name=target.id)

    def end() -> None:
        core.status = AVAILABLE

    def work() -> None:
        core.pause(delays.shutdown + delays.promote + delays.api_lag)
        with core.lock:
            if pretended:
                core.shown_writer = target.id
            end()
        if pretended:
            core.record(events.FAILOVER_COMPLETED, core.spec.id, name=target.id)

    core.background("failover that is not done", work, failed=end)


def replay(reader: Member, verb: Literal["pause", "resume"]) -> None:
    """Pause or resume what a reader replays; one that is down has nothing to."""
    try:
        with reader.node.connect() as connection:
            connection.execute(f"SELECT pg_wal_replay_{verb}() WHERE pg_is_in_recovery()".encode())
    except DatabaseError as error:
        log.debug("%s", error)


def before_fencing(core: Core, old: Member) -> None:
    """Do what some defects do while the old writer still serves: what it writes now will be lost."""
    if core.defects.loses_tail:
        for reader in core.others(old):
            replay(reader, "pause")


def after_fencing(core: Core, old: Member, target: Member) -> None:
    """Do what some defects do once the old writer is down and nobody is promoted yet."""
    if core.defects.demotes_at_once:
        old.node.start(target.node.address)


def lose_tail(core: Core, candidate: Member) -> None:
    """Let a reader forget what it has received and not replayed, cut off from storage.

    Its server is killed, its WAL cut off behind what it has certainly replayed, and it is started again
    with nobody to stream from; promoting it then begins a history without the tail.

    Raises:
        HostError: it cannot be asked, or not be started again.
    """
    node, foundation = candidate.node, core.foundation
    replayed = node.replayed_lsn()
    if replayed is None:
        raise HostError(f"{candidate.id} cannot be asked how far it has replayed")
    old = core.writer_member()
    node.kill()
    foundation.storage.attach(node.data)
    control = foundation.account.run(
        [foundation.binaries.program("pg_controldata"), str(node.data)],
        timeout_s=_CONTROL_TIMEOUT_S,
    )
    # Pages on disk may be newer than what was told a moment before the end.
    minimum = _MINIMUM.search(control)
    ends = [_byte(replayed), *([_byte(minimum[1])] if minimum else [])]
    forget_wal(node.data / "pg_wal", max(ends))
    node.start(old.node.address if old is not None else node.address)


def forget_wal(folder: Path, end: int) -> None:
    """Blank all WAL in a stopped server's folder from a byte position on."""
    for file in folder.iterdir():
        name = _SEGMENT_NAME.fullmatch(file.name)
        if name is None:
            continue
        begin = (int(name[1], 16) * _SEGMENTS_PER_ID + int(name[2], 16)) * _SEGMENT_BYTES
        if begin >= end:
            file.unlink()
        elif begin + _SEGMENT_BYTES > end:
            with file.open("r+b") as segment:
                segment.seek(end - begin)
                segment.write(bytes(begin + _SEGMENT_BYTES - end))


def keep_writing(core: Core, old: Member) -> bool:
    """Show a writer that was never demoted as a reader, until the defect is lifted.

    Returns:
        Whether it is to be started as a reader now, with the new writer's data; otherwise somebody
        else has taken it over meanwhile.
    """
    with core.lock:
        old.status = AVAILABLE
        old.in_reader_endpoint = True
    while core.defects.keeps_old_writer:
        core.pause(_POLL_S)
    with core.lock:
        if old.status != AVAILABLE or core.writer == old.id:
            return False
        old.status = REBOOTING
        old.in_reader_endpoint = False
    old.node.kill()
    clone(core, old)
    return True


def linger(core: Core) -> None:
    """Hold up the end of a deletion while deleted instances are to be listed on."""
    while core.defects.deletions_stay:
        core.pause(_POLL_S)


def _byte(lsn: str) -> int:
    high, low = (int(part, 16) for part in lsn.split("/"))
    return (high << 32) | low
