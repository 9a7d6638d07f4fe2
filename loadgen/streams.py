"""One arm's streams, as its profile has them: arrivals, users, and what they carry out."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from chaos.model.access import DatabaseAccess
from chaos.model.operation import Kind
from chaos.model.shape import Shape
from loadgen.arm import Arm
from loadgen.client import Client
from loadgen.config import ArmTraffic
from loadgen.crew import Crew
from loadgen.drivers import connect_arm
from loadgen.drivers.base import Driver, of_user
from loadgen.outcome import QUEUE_FULL, STOPPED
from loadgen.profiles import StreamOf, Task, rates
from loadgen.recorder import Recorder
from loadgen.retry import Tokens
from loadgen.runtime import Runtime
from loadgen.schedule import Arrivals, Schedule
from loadgen.seats import Seats
from loadgen.tables import WriteIds, accounts_of
from loadgen.work import InsertRow, ReadNewest, ReadTold, Told, Work
from loadgen.work_transactions import ReadInsertUpdate, SumBalances, SumsSeen, Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One kind of operation on one endpoint: its arrivals and the users that carry them out."""

    kind: Kind
    endpoint: str
    arrivals: Arrivals
    users: Crew
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
        *,
        run: str,
        runtime: Runtime,
    ) -> None:
        self._arm = arm
        self._runtime = runtime
        self._traffic = traffic
        self._recorder = recorder
        self._accounts = accounts_of(run)
        self._rates = rates(traffic)
        self._told = Told()
        self._tokens = Tokens.of(arm.retry)
        self._sums = SumsSeen(arm.name, recorder.observe, time.monotonic_ns)
        seats = Seats(recorder.operations, runtime.clock)
        self.drivers: dict[str, Driver] = {
            endpoint: connect_arm(arm, access, endpoint, run, seats)
            for endpoint in dict.fromkeys(stream.endpoint for stream in self._rates)
        }

    def build(self, table: str, ids: WriteIds, seed: str, origin_ns: int) -> tuple[Stream, ...]:
        """Return the streams; nothing arrives before `origin_ns`."""
        draw = random.Random(f"{seed} accounts")
        return tuple(
            self._stream(
                stream,
                lambda stream=stream: self._work(stream, table, ids, draw),  # type: ignore[misc]
                f"{seed} {stream.name}",
                origin_ns,
            )
            for stream in self._rates
        )

    def _work(self, stream: StreamOf, table: str, ids: WriteIds, draw: random.Random) -> Work:
        """Return the work of one user."""
        arm, keyed = self._arm.name, self._arm.idempotent
        match stream.task:
            case Task.INSERT_ROW:
                return InsertRow(arm, table, ids, keyed=keyed, told=self._told)
            case Task.READ_NEWEST:
                return ReadNewest(arm, table)
            case Task.READ_TOLD:
                return ReadTold(arm, table, self._told, endpoint=stream.endpoint)
            case Task.READ_INSERT_UPDATE:
                return ReadInsertUpdate(arm, table, ids, keyed=keyed)
            case Task.TRANSFER:
                return Transfer(arm, table, self._accounts, ids, keyed=keyed, draw=draw)
            case Task.SUM_BALANCES:
                return SumBalances(arm, table, self._accounts, self._sums)
        assert_never(stream.task)

    def _stream(
        self, stream: StreamOf, maker: Callable[[], Work], seed: str, origin_ns: int
    ) -> Stream:
        recorder, driver, runtime = self._recorder, self.drivers[stream.endpoint], self._runtime
        shape = Shape.of(self._traffic.shape)
        arrivals = runtime.arrivals(
            Schedule(self._rates[stream], seed, origin_ns, shape),
            self._traffic.queue_max,
            lambda intended_ns, now_ns: recorder.unsent(
                stream.kind, stream.endpoint, intended_ns, now_ns, QUEUE_FULL
            ),
        )
        users = Crew(
            stream.name.title().replace(" ", ""),
            count=self._traffic.users,
            arrivals=arrivals,
            recorder=recorder,
            client_of_user=lambda: Client(
                self._arm,
                of_user(driver),
                maker(),
                recorder,
                clock=runtime.clock,
                limit=runtime.limit,
                tokens=self._tokens,
            ),
            think_time_s=self._traffic.think_time_s,
        )
        return Stream(
            kind=stream.kind,
            endpoint=stream.endpoint,
            arrivals=arrivals,
            users=users,
            recorder=recorder,
        )
