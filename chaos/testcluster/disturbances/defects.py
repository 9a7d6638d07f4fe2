"""Planted defects: what a cluster may do wrong, to prove that a check notices it.

Each is planted in one cluster and lifted again, which also heals what it broke. `caught_by` names the
check that has to fail because of it (tests/acceptance/test_defects.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from chaos.testcluster.aurora.core import AVAILABLE, Core, Member
from chaos.testcluster.aurora.sabotage import replay
from chaos.testcluster.disturbances.base import Disturbance, Ending
from chaos.testcluster.disturbances.commands import CLUSTER, TIMES, fake_failovers
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

_WATCH_S = 0.1


class Defect(Disturbance):
    """One defect of one cluster."""

    category: ClassVar[Literal["fault", "defect"]] = "defect"
    caught_by: ClassVar[str]
    """The check that fails because of it; empty while none does."""

    cluster: str | None = Field(None, description=CLUSTER)

    def begin(self, estate: Estate) -> Ending:
        """Plant it.

        Raises:
            ApiError: it is planted already, or the cluster has not what it needs.
        """
        core = estate.database(self.cluster).core
        self.require(core)
        with core.lock:
            if self.kind in core.defects.planted:
                raise ApiError(
                    "InvalidParameterCombination",
                    f"{self.kind} is planted in cluster {core.spec.id} already",
                )
            core.defects.planted.add(self.kind)
        try:
            self.plant(core)
        except BaseException:
            core.defects.planted.discard(self.kind)
            raise

        def ending() -> None:
            self.lift(core)
            with core.lock:
                core.defects.planted.discard(self.kind)

        return ending

    def require(self, core: Core) -> None:
        """Refuse a cluster in which it could not show.

        Raises:
            ApiError: says what is missing.
        """
        with core.lock:
            if not core.others(core.writer_member()):
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"{self.kind} needs a reader in cluster {core.spec.id}",
                )

    def plant(self, core: Core) -> None:
        """Throw the switches."""
        raise NotImplementedError

    def lift(self, core: Core) -> None:
        """Throw them back, and heal."""
        raise NotImplementedError


class LosesAcknowledgedWrites(Defect):
    """A reader is promoted without the last writes that clients were told are committed."""

    caught_by: ClassVar[str] = "acknowledged-writes"
    kind: Literal["loses-acknowledged-writes"] = "loses-acknowledged-writes"
    lost_s: float = Field(
        0.5, gt=0, le=60, description="Seconds of commits that the promoted reader lacks."
    )

    def plant(self, core: Core) -> None:
        """Let readers replay late; whoever is promoted loses what it has not replayed."""
        late_s = self.lost_s + core.pacer.profile.detect.high_s  # It goes on until then.
        self._delay(core, f"{round(late_s * 1000)}ms")
        core.defects.loses_tail = True

    def lift(self, core: Core) -> None:
        """Let readers replay at once again."""
        core.defects.loses_tail = False
        self._delay(core, None)
        for member in core.others(core.writer_member()):
            replay(member, "resume")

    @staticmethod
    def _delay(core: Core, delay: str | None) -> None:
        for member in core.others():
            member.node.set({"recovery_min_apply_delay": delay})


class TwoWriters(Defect):
    """After FailoverDBCluster the old writer stays up, reachable and writable beside the new one."""

    caught_by: ClassVar[str] = "single-writer"
    kind: Literal["two-writers"] = "two-writers"

    def plant(self, core: Core) -> None:
        """Fence no writer from now on."""
        core.defects.keeps_old_writer = True

    def lift(self, core: Core) -> None:
        """Fence again; a second writer becomes a reader with the first one's data."""
        core.defects.keeps_old_writer = False


class DnsNeverMoves(Defect):
    """The cluster endpoint's name keeps leading to the old writer after a failover."""

    caught_by: ClassVar[str] = "interruption"
    kind: Literal["dns-never-moves"] = "dns-never-moves"

    def plant(self, core: Core) -> None:
        """Hold the name where it is."""
        core.defects.dns_stays = True

    def lift(self, core: Core) -> None:
        """Let the name follow."""
        with core.lock:
            core.defects.dns_stays = False
            if core.status == AVAILABLE:
                core.dns_writer = core.writer


class ReadersNeverReturn(Defect):
    """A reader that went down, the old writer among them, is `rebooting` for ever."""

    caught_by: ClassVar[str] = "restored"
    kind: Literal["readers-never-return"] = "readers-never-return"

    def plant(self, core: Core) -> None:
        """Start no reader from now on."""
        core.defects.readers_stay_away = True

    def lift(self, core: Core) -> None:
        """Start those that wait."""
        core.defects.readers_stay_away = False


class StaleReader(Defect):
    """A reader serves for ever what it had when the defect was planted; its stream goes on."""

    caught_by: ClassVar[str] = "staleness"
    kind: Literal["stale-reader"] = "stale-reader"
    instance: str | None = Field(None, description="The reader; absent: the first by name.")

    def require(self, core: Core) -> None:
        """Refuse a cluster without that reader."""
        super().require(core)
        self._reader(core)

    def plant(self, core: Core) -> None:
        """Pause its replay, and again whenever it comes back as a reader."""
        reader = self._reader(core)

        def watch() -> None:
            while self.kind in core.defects.planted:
                if reader.status == AVAILABLE and core.writer != reader.id:
                    replay(reader, "pause")
                core.pause(_WATCH_S)
            replay(reader, "resume")  # It may have been paused once more while this was lifted.

        replay(reader, "pause")
        core.background(f"staleness of {reader.id}", watch, failed=lambda: None)

    def lift(self, core: Core) -> None:
        """Let it replay what it has received."""
        with core.lock:
            core.defects.planted.discard(self.kind)
        for member in core.others(core.writer_member()):
            replay(member, "resume")

    def _reader(self, core: Core) -> Member:
        wanted = self.instance.lower() if self.instance is not None else None
        readers = {member.id: member for member in core.others(core.writer_member())}
        chosen = wanted or min(readers)
        if chosen not in readers:
            raise ApiError("DBInstanceNotFound", f"{chosen} is no reader of {core.spec.id}.")
        return readers[chosen]


class PoisonedPromotion(Defect):
    """The old writer is a reader at once and the cluster endpoint leads to it for long: 25006."""

    caught_by: ClassVar[str] = "poisoned-pool"
    kind: Literal["poisoned-promotion"] = "poisoned-promotion"
    dns_lag_s: float = Field(
        10.0, gt=0, le=3600, description="Seconds by which the endpoint follows later than usual."
    )

    def plant(self, core: Core) -> None:
        """Demote first and promote then; let the name lag."""
        core.defects.demotes_at_once = True
        core.defects.dns_extra_s = self.dns_lag_s

    def lift(self, core: Core) -> None:
        """Leave it to the next failover to be a good one."""
        core.defects.demotes_at_once = False
        core.defects.dns_extra_s = 0.0


class SlowRecovery(Defect):
    """Promotions and restarts take far longer than they should."""

    caught_by: ClassVar[str] = "interruption"
    kind: Literal["slow-recovery"] = "slow-recovery"
    extra_s: float = Field(10.0, gt=0, le=3600, description="Seconds that are added to each.")

    def plant(self, core: Core) -> None:
        """Be slow."""
        core.defects.slow_s = self.extra_s

    def lift(self, core: Core) -> None:
        """Be as fast as the profile says."""
        core.defects.slow_s = 0.0


class TopologyDisagrees(Defect):
    """The API, or `aurora_replica_status()`, names a reader as the writer."""

    caught_by: ClassVar[str] = "restored"
    kind: Literal["topology-disagrees"] = "topology-disagrees"
    wrong: Literal["api", "sql"] = Field(
        "api", description="Who is wrong: the RDS API, or the SQL topology that drivers read."
    )

    def plant(self, core: Core) -> None:
        """Name the first reader by name."""
        impostor = min(member.id for member in core.others(core.writer_member()))
        self._name(core, impostor)

    def lift(self, core: Core) -> None:
        """Name whoever it is."""
        self._name(core, "")

    def _name(self, core: Core, instance: str) -> None:
        with core.lock:
            if self.wrong == "api":
                core.defects.api_names = instance
            else:
                core.defects.sql_names = instance
        core.publish_topology()


class FailoverDoesNothing(Defect):
    """FailoverDBCluster is announced, shown and completed by the API, and no server is touched."""

    caught_by: ClassVar[str] = "restored"
    kind: Literal["failover-does-nothing"] = "failover-does-nothing"

    times: int | None = Field(None, ge=1, description=TIMES)

    def plant(self, core: Core) -> None:
        """Pretend from now on."""
        fake_failovers(core, "pretended", self.kind, self.times)

    def lift(self, core: Core) -> None:
        """Tell the truth."""
        fake_failovers(core, "", self.kind)


class CapacityNeverRestored(Defect):
    """The Serverless v2 bounds can be changed, but not back to what they were."""

    caught_by: ClassVar[str] = "restored"
    kind: Literal["capacity-never-restored"] = "capacity-never-restored"

    def require(self, core: Core) -> None:
        """Refuse a cluster without Serverless v2."""
        if core.bounds is None:
            raise ApiError(
                "InvalidDBClusterStateFault",
                f"{self.kind} needs Serverless v2 capacity in cluster {core.spec.id}",
            )

    def plant(self, core: Core) -> None:
        """Accept the bounds of now, and do not set them again."""
        core.defects.kept_from = core.bounds

    def lift(self, core: Core) -> None:
        """Set what is asked for."""
        core.defects.kept_from = None


DEFECTS: tuple[type[Defect], ...] = (
    LosesAcknowledgedWrites,
    TwoWriters,
    DnsNeverMoves,
    ReadersNeverReturn,
    StaleReader,
    PoisonedPromotion,
    SlowRecovery,
    TopologyDisagrees,
    FailoverDoesNothing,
    CapacityNeverRestored,
)
