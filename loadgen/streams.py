"""One arm's streams: writes through the cluster endpoint, reads through the reader endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaos.clock import MonotonicClock
from chaos.model.access import DatabaseAccess
from chaos.model.operation import Kind
from loadgen.arms import Arm
from loadgen.client import Client
from loadgen.config import ArmTraffic
from loadgen.drivers import connect_arm
from loadgen.drivers.base import Driver
from loadgen.outcome import QUEUE_FULL, STOPPED
from loadgen.recorder import Recorder
from loadgen.schedule import Arrivals, Schedule
from loadgen.seats import Seats
from loadgen.tables import WriteIds
from loadgen.users import ArrivalUser, users_of
from loadgen.work import InsertRow, ReadNewest, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One kind of operation on one endpoint: its arrivals and the users that carry them out."""

    kind: Kind
    endpoint: str
    arrivals: Arrivals
    users: type[ArrivalUser]
    recorder: Recorder

    @property
    def served(self) -> bool:
        """Whether an operation has succeeded."""
        return (self.kind, self.endpoint) in self.recorder.served

    @property
    def idle(self) -> bool:
        """Whether nothing that has arrived is left to do."""
        return not self.arrivals.waiting and not self.users.busy

    def abandon(self, now_ns: int) -> None:
        """Record what still waits for a user as failed: it is never sent."""
        for intended_ns in self.arrivals.abandon():
            self.recorder.unsent(self.kind, self.endpoint, intended_ns, now_ns, STOPPED)


class Streams:
    """Builds the streams of one arm; its drivers connect before anything arrives."""

    def __init__(
        self,
        arm: Arm,
        traffic: ArmTraffic,
        access: DatabaseAccess,
        recorder: Recorder,
        run: str,
    ) -> None:
        self._arm = arm
        self._traffic = traffic
        self._recorder = recorder
        rates: tuple[tuple[type[Work], float], ...] = (
            (InsertRow, traffic.writes_per_s),
            (ReadNewest, traffic.reads_per_s),
        )
        self._rates = {work: rate for work, rate in rates if rate > 0}
        seats = Seats(recorder.operations, MonotonicClock())
        self.drivers: dict[str, Driver] = {
            work.endpoint: connect_arm(arm, access, work.endpoint, run, seats)
            for work in self._rates
        }

    def build(self, table: str, ids: WriteIds, seed: str, origin_ns: int) -> tuple[Stream, ...]:
        """Return the streams; nothing arrives before `origin_ns`."""
        arm = self._arm
        makers: dict[type[Work], Callable[[], Work]] = {
            InsertRow: lambda: InsertRow(arm.name, table, ids, keyed=arm.idempotent),
            ReadNewest: lambda: ReadNewest(arm.name, table),
        }
        return tuple(
            self._stream(work, makers[work], f"{seed} {work.kind.name}", origin_ns)
            for work in self._rates
        )

    def _stream(
        self, work: type[Work], maker: Callable[[], Work], seed: str, origin_ns: int
    ) -> Stream:
        recorder, driver = self._recorder, self.drivers[work.endpoint]
        arrivals = Arrivals(
            Schedule(self._rates[work], seed, origin_ns),
            self._traffic.queue_max,
            lambda intended_ns, now_ns: recorder.unsent(
                work.kind, work.endpoint, intended_ns, now_ns, QUEUE_FULL
            ),
        )
        users = users_of(
            f"{work.kind.name.title()}User",
            self._traffic.users,
            arrivals,
            recorder,
            lambda: Client(self._arm, driver, maker(), recorder),
        )
        return Stream(
            kind=work.kind,
            endpoint=work.endpoint,
            arrivals=arrivals,
            users=users,
            recorder=recorder,
        )
