"""Traffic, probes and their tables as one workload, in the shape that the runner asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.clock import MonotonicClock
from chaos.model.access import DatabaseAccess
from chaos.model.ledger import Ledger, LostSoFar
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.configured import described, keep_sources
from loadgen.distributed.force import Force, ForceTraffic
from loadgen.probes import table as probe_table
from loadgen.probes.config import ProbesConfig
from loadgen.probes.driver import Probes
from loadgen.profiles import find, rates
from loadgen.traffic import Traffic
from loadgen.watched_writes import WatchedWrites


class LocustWorkload:
    """Locust traffic in every arm, and probes beside it."""

    def __init__(self, arms: tuple[ArmTraffic, ...], seed: int, force: Force | None = None) -> None:
        """Describe the workload; nothing is started. `force` are the workers that send it, if any."""
        self._arms = arms
        self._seed = seed
        self._force = force

    def settings(self) -> Mapping[str, Any]:
        """Return each arm's rates and client settings, for the record."""
        return {
            traffic.arm: {
                **described(traffic),
                "profile": traffic.profile,
                "streams": {stream.name: rate for stream, rate in rates(traffic).items()},
                "users": traffic.users,
                "queue_max": traffic.queue_max,
                "think_time_s": traffic.think_time_s,
            }
            for traffic in self._arms
        }

    def prepare(self, access: DatabaseAccess, run: str) -> None:
        """Create the tables of traffic and probes."""
        money = (arm.arm for arm in self._arms if find(arm.profile).moves_money)
        ledger.prepare(access, run, holders=money)
        probe_table.prepare(access, run)

    def workers(
        self, access: DatabaseAccess, folder: Path
    ) -> Sequence[Traffic | ForceTraffic | Probes]:
        """Make the probes and the traffic of every arm, not started yet."""
        keep_sources(self._arms, folder)
        traffic = TrafficConfig(run=folder.name, arms=self._arms, seed=self._seed)
        probes = Probes(ProbesConfig(run=folder.name), access, folder)
        if self._force is None:
            return probes, Traffic(traffic, access, folder)
        return probes, self._force.traffic(traffic, access)

    def watched(self, access: DatabaseAccess, folder: Path) -> Callable[[], LostSoFar]:
        """Return what looks for acknowledged writes on the writer while traffic lasts."""
        writes, clock = WatchedWrites(access, folder, folder.name), MonotonicClock()
        return lambda: writes.look(clock.now_ns())

    def reconcile(self, access: DatabaseAccess, folder: Path, run: str) -> Ledger:
        """Compare what was acknowledged with what the table holds."""
        return ledger.reconcile(access, folder, run)

    def drop(self, access: DatabaseAccess, run: str) -> None:
        """Remove every table of the run."""
        probe_table.drop(access, run)
        ledger.drop(access, run)
