"""Bringing a node into its place: as the writer on its own data, as a reader that streams."""

from __future__ import annotations

import logging

from chaos.clock import NS, MonotonicClock
from chaos.errors import HostError, WaitTimeout
from chaos.testcluster.aurora.core import Core, Member, require_writer
from chaos.testcluster.machine import power
from chaos.testcluster.postgres.interrogation import Position
from chaos.testcluster.postgres.node import Node
from chaos.wait import wait_until

log = logging.getLogger(__name__)

_STREAM_TIMEOUT_S = 10.0
_ATTEMPTS = 5
_GRACE_S = 1.0
_CLONE_TIMEOUT_S = 60.0
_RETRY_S = 0.1


def start_in_role(core: Core, member: Member) -> None:
    """Start a stopped node as what the cluster now says it is.

    Raises:
        HostError: it cannot be started.
    """
    with core.lock:
        is_writer = core.writer == member.id
    if is_writer:
        start_writer(core, member)
    else:
        start_reader(core, member)


def start_writer(core: Core, member: Member) -> None:
    """Start the stopped writer on its own data, again where it is killed while it starts.

    The one of a secondary cluster is started to stream from the primary cluster's.

    Raises:
        HostError: it does not start after several attempts.
        WaitTimeout: it hangs.
    """
    while member.id in core.defects.absent:
        core.pause(_RETRY_S)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            power.start(core, member, None if core.source is None else source_address(core, member))
        except HostError as error:
            log.warning("attempt %d to start %s: %s", attempt, member.id, error)
            core.pause(_RETRY_S)
            member.node.kill()
            if attempt == _ATTEMPTS:
                raise
        else:
            return


def source_address(core: Core, member: Member) -> str:
    """Return the address that a secondary's first node streams from: the primary's writer's.

    While there is none, it is where that was before: the node serves what it has, and never writes.
    """
    source = core.source() if core.source is not None else None
    return source.address if source is not None else member.node.upstream or member.node.address


def start_reader(core: Core, member: Member) -> None:
    """Start a node as a reader unless it runs as one; return when it streams.

    While there is no running writer to stream from, accepting connections is enough. A node that
    cannot continue (it was down until the writer had removed the WAL it needs) is cloned again.

    Raises:
        HostError: it does not stream after several attempts.
    """
    while core.defects.readers_stay_away or member.id in core.defects.absent:
        core.pause(_RETRY_S)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            if member.node.pid is None:
                power.start(core, member, require_writer(core).node.address)
            wait_until(
                _Arrival(core, member).in_place,
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
    """Copy the running writer's data to a stopped node, again where the writer goes away meanwhile.

    Raises:
        HostError: it still failed after a minute.
        WaitTimeout: there was no running writer for a minute.
    """
    deadline = MonotonicClock().now_ns() + int(_CLONE_TIMEOUT_S * NS)
    while True:
        origin = _await_origin(core, member)
        try:
            member.node.clone_from(origin.address)
        except HostError as error:
            if MonotonicClock().now_ns() > deadline:
                raise
            log.warning("cannot clone %s, trying again: %s", member.id, error)
            core.pause(_RETRY_S)
        else:
            return


def restart(core: Core, member: Member, down_s: float) -> None:
    """Shut a node down (sessions end with 57P01), and start it `down_s` later in its role."""
    member.node.shut_down(grace_s=_GRACE_S)
    core.pause(down_s + core.defects.slow_s)
    start_in_role(core, member)


class _Arrival:
    """Watches one started reader until it has what the writer had when it was first seen."""

    def __init__(self, core: Core, member: Member) -> None:
        self._core = core
        self._member = member
        self._writer: Member | None = None
        self._goal: Position | None = None

    def in_place(self) -> bool:
        self._core.pause(0)
        if self._member.node.replay.lags or self._member.node.lossy:
            # It streams after it has replayed, late, what it has; or once the network lets it.
            return True
        writer = self._core.writer_member()
        if writer is None or writer is self._member or writer.node.pid is None:
            return True
        if writer is not self._writer:
            self._writer, self._goal = writer, None
        if self._member.node.upstream != writer.node.address:
            self._member.node.follow(writer.node.address)  # A failover happened meanwhile.
        if self._goal is None:
            self._goal = writer.node.position()
        return self._goal is not None and self._member.node.follows(self._goal)


def _await_origin(core: Core, member: Member) -> Node:
    """Wait for what a node is cloned from: the writer, in a secondary the primary cluster's."""

    def running() -> Node | None:
        core.pause(0)
        if core.source is not None:
            # Not the cluster's own first node: a standby without full-page writes cannot be copied.
            node = core.source()
        else:
            writer = core.writer_member()
            node = writer.node if writer is not None and writer is not member else None
        return node if node is not None and node.state() == "ready" else None

    found = wait_until(running, "a running writer to clone from", timeout_s=_CLONE_TIMEOUT_S)
    assert found is not None
    return found
