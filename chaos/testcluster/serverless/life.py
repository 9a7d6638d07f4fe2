"""Serverless v2 as it happens to one cluster: capacity follows load, idle instances pause.

A thread looks ten times a second at what the governor saw of each instance: it moves capacities by the
rules of `capacity.py`, tells the governor the shares that go with them, and has `rest.py` pause and
wake what `pausing.py` names. The pace is the profile's, modelled; so is the idle time, which passes
`1 / idle_time_scale` times as fast as AWS's (a profile of 1 is true to it).

A user's connection is one that is seen, ten times a second, or that PostgreSQL counted as a
session in a database other than `postgres`, to which the control plane connects.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chaos.clock import NS, Clock, MonotonicClock
from chaos.testcluster.aurora.core import AVAILABLE, MODIFYING, Core, Member
from chaos.testcluster.records import ApiError, ServerlessBounds
from chaos.testcluster.serverless import bounds as limits
from chaos.testcluster.serverless.capacity import Load, Scaler, wanted_capacity, with_writer
from chaos.testcluster.serverless.census import supported
from chaos.testcluster.serverless.listening import addresses_called
from chaos.testcluster.serverless.pausing import to_pause
from chaos.testcluster.serverless.rest import Rest
from chaos.testcluster.serverless.share import Governor, Usage
from chaos.testcluster.serverless.topology import is_serverless, place, resting

log = logging.getLogger(__name__)

_TICK_S = 0.1
_SESSIONS_AFTER_S = 0.3  # Sessions of users are counted for the first time once so long idle.
_HOLD_S = 1200.0  # Woken for administration, an instance stays awake for 20 minutes.
_SESSIONS = (
    "SELECT coalesce(sum(sessions), 0)::bigint FROM pg_stat_database WHERE datname <> 'postgres'"
)


@dataclass(slots=True)
class _Watched:
    """What is remembered of one awake instance."""

    scaler: Scaler
    seen_at_s: float
    usage: Usage | None = None
    cores: float = 0.0
    connections: int = 0
    held_back: bool = False
    idle_since_s: float = math.inf
    sessions: int | None = None
    """How many sessions of users there had been, early in the idle time."""


class Serverless:
    """Scaling and pausing of one cluster.

    Args:
        core: the cluster.
        restart: restarts an instance in place, in the background; called under the core's lock.
    """

    def __init__(
        self, core: Core, restart: Callable[[Member], None], clock: Clock | None = None
    ) -> None:
        self._core = core
        self._restart = restart
        self._clock = clock or MonotonicClock()
        self._governor = Governor(self._clock)
        self._rest = Rest(core, self._now_s)
        self._watched: dict[str, tuple[Member, _Watched]] = {}
        self._held_until_s = -math.inf
        self._can_see = supported()
        self._thread = threading.Thread(target=self._live, name="serverless", daemon=True)
        core.await_awake = self._rest.await_awake

    def start(self) -> None:
        """Begin; it ends when the core closes."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """End, after the core has closed; every stopped session runs again."""
        if self._thread.ident is not None:
            self._thread.join(5)
        self._governor.close()

    def wake(self, instances: Iterable[str]) -> None:
        """Begin to wake paused instances for an administrative purpose; then they stay awake."""
        asleep = [name for name in instances if self._is_paused(name)]
        if asleep:
            scale = self._core.pacer.profile.idle_time_scale
            self._held_until_s = self._now_s() + _HOLD_S * scale
            self._rest.wake(asleep)

    # -- bounds ----------------------------------------------------------------------------------

    def modify(self, bounds: ServerlessBounds) -> None:
        """Accept ModifyDBCluster's new bounds.

        Raises:
            ApiError: AWS refuses such bounds, or the cluster is busy.
        """
        core = self._core
        limits.validate(bounds, engine_version=core.foundation.binaries.version)
        with core.lock:
            if core.status != AVAILABLE:
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"DBCluster {core.spec.id} is not in available state; it is {core.status}.",
                )
            core.status = MODIFYING
        delays = core.pacer.next("modification")

        def work() -> None:
            core.pause(delays.modify)
            with core.lock:
                core.bounds = core.defects.settable(bounds, core.bounds)
                self._leave_modifying()
                members = list(core.members.values())
                for member in members:
                    if member.capacity_acu is None and is_serverless(core, member):
                        member.capacity_acu = core.first_capacity(member.spec)
            for member in members:
                member.node.reconfigure()
            self.wake([member.id for member in members])

        core.background("change of capacity", work, failed=self._leave_modifying)

    def _leave_modifying(self) -> None:
        if self._core.status == MODIFYING:  # A failover may have begun meanwhile.
            self._core.status = AVAILABLE

    # -- the thread ------------------------------------------------------------------------------

    def _now_s(self) -> float:
        return self._clock.now_ns() / NS

    def _live(self) -> None:
        while not self._core.closing.wait(_TICK_S):
            try:
                self._look(self._now_s())
            except Exception:
                if not self._core.closing.is_set():
                    log.exception("scaling of test cluster %s failed", self._core.spec.id)

    def _look(self, now_s: float) -> None:
        core = self._core
        self._rest.forget_dead()
        with core.lock:
            bounds = core.bounds
            awake = [
                member
                for member in core.members.values()
                if is_serverless(core, member) and member.healthy and not member.paused
            ]
            asleep = [member for member in core.members.values() if member.paused]
        self._watch(awake, now_s)
        if bounds is not None:
            if not core.defects.capacity_stays:
                self._scale(bounds, now_s)
            self._lie_down(bounds, now_s)
        self._get_up(asleep)
        self._keep_readers_following()

    def _watch(self, awake: Iterable[Member], now_s: float) -> None:
        """Take in what the governor saw since the last look."""
        core, profile = self._core, self._core.pacer.profile
        before, self._watched = self._watched, {}
        for member in awake:
            known = before.get(member.id)
            if known is None or known[0] is not member:
                step_s = core.pacer.next(f"capacity of {member.id}").capacity_step
                scaler = Scaler(step_s=step_s, hold_s=profile.capacity_hold_s)
                known = (member, _Watched(scaler, now_s, idle_since_s=now_s))
            self._watched[member.id] = known
            watched = known[1]
            usage = self._governor.usage(member.node)
            if usage is None or watched.usage is None or usage.used_s < watched.usage.used_s:
                watched.usage, watched.seen_at_s = usage, now_s
                continue
            passed_s = max(now_s - watched.seen_at_s, 1e-3)
            cores = (usage.used_s - watched.usage.used_s) / passed_s
            weight = 1 - math.exp(-passed_s / profile.load_window_s)
            watched.cores += (cores - watched.cores) * weight
            watched.held_back = usage.stopped_s > watched.usage.stopped_s
            watched.connections = usage.connections
            watched.usage, watched.seen_at_s = usage, now_s
            if usage.connections:
                watched.idle_since_s, watched.sessions = now_s, None

    def _scale(self, bounds: ServerlessBounds, now_s: float) -> None:
        core = self._core
        cores_per_acu = core.pacer.profile.cores_per_acu
        own: dict[str, float] = {}
        for name, (member, watched) in self._watched.items():
            load = Load(
                cores=watched.cores, connections=watched.connections, held_back=watched.held_back
            )
            current = member.capacity_acu or limits.STEP_ACU
            wanted = wanted_capacity(load, current, cores_per_acu)
            own[name] = watched.scaler.next(now_s, current, wanted, bounds)
        with core.lock:
            places = [place(core, member) for member in core.members.values()]
            capacities = with_writer(places, own, bounds)
            for name, capacity in capacities.items():
                member = self._watched[name][0]
                if not member.paused and core.bounds is bounds:
                    member.capacity_acu = capacity
        self._governor.assign(
            {
                self._watched[name][0].node: capacity * cores_per_acu
                for name, capacity in capacities.items()
            }
        )

    # -- pausing ---------------------------------------------------------------------------------

    def _lie_down(self, bounds: ServerlessBounds, now_s: float) -> None:
        core = self._core
        asked_s = limits.pause_after_s(bounds)
        if asked_s is None or now_s < self._held_until_s or core.source is not None:
            return
        if not self._can_see:
            return  # Who is connected, that is.
        after_s = asked_s * core.pacer.profile.idle_time_scale
        self._count_sessions(now_s)
        idle_s = {
            name: now_s - watched.idle_since_s for name, (_, watched) in self._watched.items()
        }
        needed = core.is_needed_elsewhere()
        with core.lock:
            if core.status != AVAILABLE:
                return
            writer = core.writer_member()
            if writer is not None and writer.node.started_with("wal_level") == "logical":
                needed = True
            seen = resting(core, idle_s, self._rest.moving)
        names = to_pause(seen, after_s, writer_needed=needed)
        if names and all(self._was_quiet(name) for name in names):
            self._rest.pause(names, still_idle=lambda m: not self._governor.users_on(m.node))

    def _count_sessions(self, now_s: float) -> None:
        for member, watched in self._watched.values():
            idle_s = now_s - watched.idle_since_s
            if watched.sessions is None and idle_s >= _SESSIONS_AFTER_S:
                watched.sessions = _sessions_on(member)

    def _was_quiet(self, name: str) -> bool:
        """Tell whether no session began and ended unseen; if one did, idleness begins anew."""
        member, watched = self._watched[name]
        sessions = _sessions_on(member)
        if sessions is not None and sessions == watched.sessions:
            return True
        watched.idle_since_s, watched.sessions = self._now_s(), None
        return False

    def _get_up(self, asleep: Iterable[Member]) -> None:
        port = self._core.foundation.port
        by_address = {member.node.address: member.id for member in asleep}
        called = addresses_called([(address, port) for address in by_address])
        if called:
            self._rest.wake([by_address[address] for address in called])

    def _is_paused(self, name: str) -> bool:
        with self._core.lock:
            member = self._core.members.get(name)
            return member is not None and member.paused

    # -- settings --------------------------------------------------------------------------------

    def _keep_readers_following(self) -> None:
        """Restart a reader that cannot replay on, since it allows less than the writer does.

        PostgreSQL wants that, not Aurora. It happens where the writer was restarted for a larger
        maximum capacity, and a reader was not.
        """
        core = self._core
        with core.lock:
            for reader in core.others(core.writer_member()):
                if reader.healthy and not reader.paused and core.settings.cannot_follow(reader):
                    log.info("%s restarts, to allow as many connections as the writer", reader.id)
                    self._restart(reader)


def _sessions_on(member: Member) -> int | None:
    row = member.node.ask(_SESSIONS)
    return None if row is None else int(row[0])
