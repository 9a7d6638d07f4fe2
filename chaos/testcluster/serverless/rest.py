"""Pausing instances and waking them: the servers' processes are stopped by signal, and run again.

    idle --0370--> checked again --stopped--> 0372 paused, 0 ACU
                         +--a user came--> 0371
    paused --a connection waits--> 0373 --the profile's time--> runs, 0374

The kernel keeps completing TCP handshakes for a stopped server, so the first connection waits in the
listening socket's queue, and is served, or refused its login, after the wake-up. An instance's status
stays `available` all the time. Static settings that wait for a restart get it just before the pause,
when nobody is connected: after it they are in force, as on Aurora, and no waiting connection is lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from chaos.testcluster import events
from chaos.testcluster.aurora.core import AVAILABLE, Core, Member
from chaos.testcluster.aurora.readers import restart
from chaos.testcluster.serverless.capacity import within
from chaos.testcluster.serverless.census import Census
from chaos.testcluster.serverless.listening import addresses_called
from chaos.testcluster.serverless.pausing import to_wake
from chaos.testcluster.serverless.topology import resting
from chaos.wait import wait_until

log = logging.getLogger(__name__)

PAUSED = "paused"
WAKING_ACU = 2.0
"""With what an instance wakes, whatever it had before: "a relatively small capacity"."""

_DEEP_AFTER_S = 86_400.0
_WAKE_TIMEOUT_S = 120.0
_ATTEMPTS = 5
_SETTLE_S = 0.1


class Rest:
    """The pauses of one cluster's instances."""

    def __init__(self, core: Core, now_s: Callable[[], float]) -> None:
        self._core = core
        self._now_s = now_s
        self._lock = threading.Lock()
        self._moving: list[Member] = []  # not by name: one may be renamed meanwhile
        self._paused_at: dict[str, float] = {}

    @property
    def moving(self) -> frozenset[str]:
        """The instances that are being paused or woken."""
        with self._lock:
            return frozenset(member.id for member in self._moving)

    # -- pausing ---------------------------------------------------------------------------------

    def pause(self, instances: Sequence[str], *, still_idle: Callable[[Member], bool]) -> None:
        """Begin to pause instances, all or none.

        Args:
            instances: their identifiers, the writer's first.
            still_idle: asked of each again and again until it is stopped.
        """
        core = self._core
        members = self._take(instances)
        if len(members) < len(instances):
            self._give_back(members)
            return
        delays = core.pacer.next("pause")

        def work() -> None:
            try:
                for member in members:
                    core.record(events.PAUSE_STARTED, member.id)
                paused = self._stays_idle(members, delays.pause, still_idle)
                # Readers first, for their stream needs the writer.
                for member in reversed(members) if paused else ():
                    self._apply_waiting_settings(member)
                paused = paused and all(map(self._stop, reversed(members)))
                if not paused:
                    self._run(members, capacity=False)
                kind = events.PAUSED if paused else events.PAUSE_CANCELLED
                for member in members:
                    core.record(kind, member.id)
            finally:
                self._give_back(members)

        core.background("pause", work, failed=lambda: self._run(members, capacity=False))

    def _stays_idle(
        self, members: Sequence[Member], for_s: float, still_idle: Callable[[Member], bool]
    ) -> bool:
        end_s = self._now_s() + for_s
        while all(map(still_idle, members)):
            left_s = end_s - self._now_s()
            if left_s <= 0:
                return True
            self._core.pause(min(left_s, _SETTLE_S))
        return False

    def _apply_waiting_settings(self, member: Member) -> None:
        core = self._core
        with core.lock:
            if not (core.settings.wait_for_restart(member) and self._undisturbed(member)):
                return
            member.paused = True  # Nobody is to take it for dead.
        try:
            restart(core, member, 0.0)
        finally:
            with core.lock:
                member.paused = False

    def _stop(self, member: Member) -> bool:
        """Stop an instance, unless something happens to it; tell whether it is stopped."""
        core, node = self._core, member.node
        with core.lock:
            if not self._undisturbed(member):
                return False
            member.paused = True  # From now on nobody of ours asks it anything.
        for _ in range(_ATTEMPTS):
            node.freeze(PAUSED)
            core.pause(_SETTLE_S)  # Until questions that were asked a moment ago have arrived.
            if self._is_quiet(member):
                with core.lock:
                    member.capacity_acu = 0.0
                    self._paused_at[member.id] = self._now_s()
                return True
            # Who arrived a moment ago may be a health check: served, it is told from a user.
            node.thaw(PAUSED)
            core.pause(_SETTLE_S)
            if _users_on(member):
                return False
        return False

    def _is_quiet(self, member: Member) -> bool:
        """Tell whether a stopped server has no sessions of users, nor any that just begin."""
        port = self._core.foundation.port
        return not _users_on(member, or_new=True) and not addresses_called(
            [(member.node.address, port)]
        )

    def _undisturbed(self, member: Member) -> bool:
        core = self._core
        with core.lock:
            return (
                core.status == AVAILABLE
                and core.members.get(member.id) is member
                and member.healthy
                and not member.node.freezer.frozen
            )

    # -- waking ----------------------------------------------------------------------------------

    def wake(self, called: Collection[str]) -> None:
        """Begin to wake paused instances, and those that wake with them; others are left out."""
        core = self._core
        with core.lock:
            waves = to_wake(resting(core, {}, self.moving), called)
        taken = [members for wave in waves if (members := self._take(wave))]
        if not taken:
            return
        delays = core.pacer.next("resume")
        deep = any(
            self._now_s() - self._paused_at.get(m.id, self._now_s())
            > _DEEP_AFTER_S * core.pacer.profile.idle_time_scale
            for members in taken
            for m in members
        )
        every = [member for members in taken for member in members]

        def work() -> None:
            waited = 0.0
            try:
                for members in taken:
                    for member in members:
                        core.record(events.RESUME_STARTED, member.id)
                    total = delays.resume_deep if deep else delays.resume
                    # A reader that is woken after the writer takes a little longer.
                    core.pause(total - waited if not waited else total / 5)
                    waited = total
                    self._run(members, capacity=True)
                    for member in members:
                        core.record(events.RESUMED, member.id)
            finally:
                self._give_back(every)

        core.background("resume", work, failed=lambda: self._run(every, capacity=True))

    def await_awake(self, members: Iterable[Member]) -> None:
        """Wake instances, and return when they run; for work that is going to use them.

        Raises:
            WaitTimeout: they did not wake within two minutes.
            Closing: the cluster closes.
        """
        wanted = list(members)

        def awake() -> bool:
            self._core.pause(0)
            with self._core.lock:
                asleep = [m.id for m in wanted if m.paused]
            if asleep:
                self.wake(asleep)
            return not asleep

        wait_until(awake, "paused instances to wake", timeout_s=_WAKE_TIMEOUT_S, interval_s=0.02)

    def forget_dead(self) -> None:
        """Notice paused instances whose servers were killed or started anew."""
        with self._core.lock:
            for member in self._core.members.values():
                if (
                    member.paused
                    and member.id not in self.moving
                    and not (member.node.pid and member.node.freezer.frozen_for(PAUSED))
                ):
                    self._show_awake(member)

    def _run(self, members: Iterable[Member], *, capacity: bool) -> None:
        for member in members:
            member.node.thaw(PAUSED)
            with self._core.lock:
                if member.paused:
                    self._show_awake(member, keep=not capacity)

    def _show_awake(self, member: Member, *, keep: bool = False) -> None:
        member.paused = False
        bounds = self._core.bounds
        if bounds is not None and not (keep and member.capacity_acu):
            member.capacity_acu = within(WAKING_ACU, bounds)

    # -- one thing at a time ---------------------------------------------------------------------

    def _take(self, instances: Iterable[str]) -> list[Member]:
        """Return the members of these names with which nothing else is going on yet."""
        with self._core.lock, self._lock:
            moving = {member.id for member in self._moving}
            found = [
                member
                for name in instances
                if name not in moving and (member := self._core.members.get(name)) is not None
            ]
            self._moving += found
            return found

    def _give_back(self, members: Iterable[Member]) -> None:
        with self._lock:
            given = {id(member) for member in members}
            self._moving = [member for member in self._moving if id(member) not in given]


def _users_on(member: Member, *, or_new: bool = False) -> bool:
    """Tell whether a server has sessions of users, or processes that may become ones."""
    postmaster = member.node.pid
    if postmaster is None:
        return True
    census = Census()
    census.count([postmaster])
    return census.has_users(postmaster) if or_new else bool(census.sessions(postmaster))
