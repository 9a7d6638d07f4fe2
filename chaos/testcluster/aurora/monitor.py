"""Noticing that a server died or answers no more, and doing what Aurora does about it.

A writer that was killed, hangs or lost its power fails over if a healthy reader exists. Everything else
restarts in place: a reader, a writer without readers, and a server that ended itself after a crash of
one of its processes (which is what `aurora_inject_crash()` causes). One that hangs is killed first,
whatever is done then: it may wake up. Detection takes the profile's time; it is modelled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading

from chaos.testcluster.aurora.core import AVAILABLE, MODIFYING, Core, Member
from chaos.testcluster.aurora.failover import Failover
from chaos.testcluster.aurora.instances import Instances
from chaos.testcluster.machine.health import Health

_INTERVAL_S = 0.02
_CRASHED_INSIDE = (
    1  # the postmaster's exit status once a process crashed, with restart_after_crash off
)


class Monitor:
    """Watches all members that are `available`: whether they run, and whether they answer."""

    def __init__(self, core: Core, failover: Failover, instances: Instances) -> None:
        self._core = core
        self._failover = failover
        self._instances = instances
        self._health = Health(core, self._notice_unanswered)
        self._noticed: set[int] = set()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)

    def start(self) -> None:
        """Begin to watch; it ends when the core closes."""
        self._thread.start()
        self._health.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of watching, after the core has closed."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._health.join(timeout_s)

    def _watch(self) -> None:
        while not self._core.closing.wait(_INTERVAL_S):
            for member in self._dead():
                self._notice(member)

    def _dead(self) -> list[Member]:
        """Return those whose process ended; nobody hears of that from a machine without power."""
        power = self._core.ground.power
        with self._core.lock:
            return [
                member
                for member in self._core.members.values()
                if member.status == AVAILABLE
                and not member.paused
                and not member.node.silence.lasts
                and power.reaches(member)
                and member.node.exit_status is not None
                and self._claim(member)
            ]

    def _claim(self, member: Member) -> bool:
        """Tell whether nobody reacts to this member yet, and from now on the caller does."""
        with self._core.lock:
            is_new = id(member) not in self._noticed
            self._noticed.add(id(member))
            return is_new

    def _notice(self, member: Member) -> None:
        core = self._core
        status = member.node.exit_status
        delays = core.pacer.next(f"detection of {member.id}")

        def react() -> None:
            try:
                if status != _CRASHED_INSIDE:
                    core.pause(delays.detect)
                with core.lock:
                    if member.status == AVAILABLE and member.node.pid is None:
                        self._react(member, failover=status != _CRASHED_INSIDE)
            finally:
                self._noticed.discard(id(member))

        core.background(f"detection of {member.id}", react, failed=lambda: None)

    def _notice_unanswered(self, member: Member, pid: int | None) -> None:
        core = self._core
        if not self._claim(member):
            return
        delays = core.pacer.next(f"detection of {member.id}")

        def react() -> None:
            try:
                core.pause(delays.detect)
                with core.lock:
                    if (
                        member.status == AVAILABLE
                        and member.node.pid == pid
                        and self._health.unanswered(member, pid)
                    ):
                        _condemn(pid)
                        self._react(member, failover=True)
            finally:
                self._noticed.discard(id(member))

        core.background(f"detection of {member.id}", react, failed=lambda: None)

    def _react(self, member: Member, *, failover: bool) -> None:
        core = self._core
        if (
            failover
            and core.writer == member.id
            and core.status in {AVAILABLE, MODIFYING}
            and self._failover.automatic(member)
        ):
            return
        self._instances.restart(member, planned=False)


def _condemn(pid: int | None) -> None:
    """Kill a postmaster at once; whoever then takes care of the instance ends its other processes."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
