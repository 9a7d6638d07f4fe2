"""Noticing that a server died, and doing what Aurora does about it.

A writer that was killed fails over if a healthy reader exists. Everything else restarts in place: a
reader, a writer without readers, and a server that ended itself after a crash of one of its processes
(which is what `aurora_inject_crash()` causes). Detection takes the profile's time; it is modelled.
"""

from __future__ import annotations

import threading

from chaos.testcluster.core import AVAILABLE, MODIFYING, Core, Member
from chaos.testcluster.failover import Failover
from chaos.testcluster.instances import Instances

_INTERVAL_S = 0.02
_CRASHED_INSIDE = (
    1  # the postmaster's exit status once a process crashed, with restart_after_crash off
)


class Monitor:
    """Watches the processes of all members that are `available`."""

    def __init__(self, core: Core, failover: Failover, instances: Instances) -> None:
        self._core = core
        self._failover = failover
        self._instances = instances
        self._noticed: set[int] = set()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)

    def start(self) -> None:
        """Begin to watch; it ends when the core closes."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of watching, after the core has closed."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _watch(self) -> None:
        while not self._core.closing.wait(_INTERVAL_S):
            for member in self._dead():
                self._notice(member)

    def _dead(self) -> list[Member]:
        with self._core.lock:
            return [
                member
                for member in self._core.members.values()
                if member.status == AVAILABLE
                and id(member) not in self._noticed
                and member.node.exit_status is not None
            ]

    def _notice(self, member: Member) -> None:
        core = self._core
        status = member.node.exit_status
        delays = core.pacer.next(f"detection of {member.id}")
        self._noticed.add(id(member))

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
