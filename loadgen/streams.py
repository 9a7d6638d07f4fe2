"""One arm's streams: writes through the cluster endpoint, reads through the reader endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from chaos.model.access import DatabaseAccess
from chaos.model.operation import Outcome
from loadgen.arms import Arm
from loadgen.client import Client, ReadClient, WriteClient
from loadgen.config import ArmTraffic
from loadgen.engine import build_engine
from loadgen.outcome import QUEUE_FULL, STOPPED
from loadgen.recorder import Recorder
from loadgen.schedule import Arrivals, Schedule
from loadgen.tables import WriteIds
from loadgen.users import ArrivalUser, users_of


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of operation on one endpoint: its arrivals and the users that carry them out."""

    client: type[Client]
    arrivals: Arrivals
    users: type[ArrivalUser]
    recorder: Recorder

    @property
    def served(self) -> bool:
        """Whether an operation has succeeded."""
        return self.client.kind in self.recorder.served

    @property
    def idle(self) -> bool:
        """Whether nothing that has arrived is left to do."""
        return not self.arrivals.waiting and not self.users.busy

    def abandon(self, now_ns: int) -> None:
        """Record what still waits for a user as failed: it is never sent."""
        for intended_ns in self.arrivals.abandon():
            record_unsent(self.recorder, self.client, intended_ns, now_ns, STOPPED)


class Streams:
    """Builds the streams of one arm; its engines connect before anything arrives."""

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
        rates = ((WriteClient, traffic.writes_per_s), (ReadClient, traffic.reads_per_s))
        self._rates: dict[type[Client], float] = {c: rate for c, rate in rates if rate > 0}
        self.engines = {c: build_engine(arm, access, c.endpoint, run) for c in self._rates}

    def build(self, table: str, ids: WriteIds, seed: str, origin_ns: int) -> tuple[Stream, ...]:
        """Return the streams; nothing arrives before `origin_ns`."""
        makers: dict[type[Client], Callable[[Engine], Client]] = {
            WriteClient: lambda engine: WriteClient(
                self._arm, engine, self._recorder, table=table, ids=ids
            ),
            ReadClient: lambda engine: ReadClient(self._arm, engine, self._recorder, table=table),
        }
        return tuple(
            self._stream(client, makers[client], f"{seed} {client.kind.name}", origin_ns)
            for client in self._rates
        )

    def _stream(
        self,
        client: type[Client],
        maker: Callable[[Engine], Client],
        seed: str,
        origin_ns: int,
    ) -> Stream:
        recorder, engine = self._recorder, self.engines[client]
        arrivals = Arrivals(
            Schedule(self._rates[client], seed, origin_ns),
            self._traffic.queue_max,
            lambda intended_ns, now_ns: record_unsent(
                recorder, client, intended_ns, now_ns, QUEUE_FULL
            ),
        )
        users = users_of(
            f"{client.kind.name.title()}User",
            self._traffic.users,
            arrivals,
            recorder,
            lambda: maker(engine),
        )
        return Stream(client, arrivals, users, recorder)


def record_unsent(
    recorder: Recorder, client: type[Client], intended_ns: int, now_ns: int, error: str
) -> None:
    """Record an arrival that no user ever carried out."""
    recorder.operations.operation(
        kind=client.kind,
        endpoint=client.endpoint,
        intended_ns=intended_ns,
        started_ns=now_ns,
        ended_ns=now_ns,
        outcome=Outcome.FAILED,
        attempts=0,
        error=error,
    )
