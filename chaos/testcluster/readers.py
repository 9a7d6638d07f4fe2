"""Bringing a node into its place: as the writer on its own data, as a reader that streams."""

from __future__ import annotations

import logging

from chaos.errors import HostError, WaitTimeout
from chaos.testcluster.core import Core, Member, require_writer
from chaos.wait import wait_until

log = logging.getLogger(__name__)

_STREAM_TIMEOUT_S = 10.0
_ATTEMPTS = 3
_GRACE_S = 1.0


def start_in_role(core: Core, member: Member) -> None:
    """Start a stopped node as what the cluster now says it is.

    Raises:
        HostError: it cannot be started.
    """
    with core.lock:
        is_writer = core.writer == member.id
    if is_writer:
        member.node.start(None)
    else:
        start_reader(core, member)


def start_reader(core: Core, member: Member) -> None:
    """Start a stopped node as a reader; return when it streams.

    While there is no running writer to stream from, accepting connections is enough. A node that
    cannot continue (it was down until the writer had removed the WAL it needs) is cloned again.

    Raises:
        HostError: it does not stream after several attempts.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            member.node.start(require_writer(core).node.address)
            wait_until(
                lambda: _in_place(core, member),
                f"{member.id} to stream",
                timeout_s=_STREAM_TIMEOUT_S,
                interval_s=0.02,
            )
        except (HostError, WaitTimeout) as error:
            log.warning("attempt %d to start %s: %s", attempt, member.id, error)
            core.pause(0)
            member.node.kill()
            if attempt > 1 or isinstance(error, WaitTimeout):
                clone(core, member)
        else:
            return
    raise HostError(
        f"{member.id} does not stream after {_ATTEMPTS} attempts: {member.node.log_tail()}"
    )


def clone(core: Core, member: Member) -> None:
    """Copy the running writer's data to a stopped node.

    Raises:
        HostError: the copy failed, several times over in case the writer changed meanwhile.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        writer = require_writer(core)
        try:
            member.node.clone_from(writer.node.address)
        except HostError as error:
            if attempt == _ATTEMPTS:
                raise
            log.warning("attempt %d to clone %s from %s: %s", attempt, member.id, writer.id, error)
            _await_healthy_writer(core)
        else:
            return


def restart(core: Core, member: Member, down_s: float) -> None:
    """Shut a node down (sessions end with 57P01), and start it `down_s` later in its role."""
    member.node.shut_down(grace_s=_GRACE_S)
    core.pause(down_s)
    start_in_role(core, member)


def _in_place(core: Core, member: Member) -> bool:
    core.pause(0)
    writer = core.writer_member()
    if writer is None or writer is member or writer.node.pid is None:
        return True
    if member.node.upstream != writer.node.address:
        member.node.follow(writer.node.address)  # A failover happened meanwhile.
        return False
    return member.node.streams()


def _await_healthy_writer(core: Core) -> None:
    def running() -> bool:
        core.pause(0)
        writer = core.writer_member()
        return writer is not None and writer.node.state() == "ready"

    wait_until(running, "a running writer to clone from", timeout_s=60.0)
