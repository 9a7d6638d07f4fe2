"""Everything the probes of one run watch, and what they write of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

from chaos.clock import NS, MonotonicClock
from chaos.errors import DatabaseError
from chaos.model.access import DatabaseAccess
from chaos.model.operation import PROBE_ARM, Kind, OperationWriter, Outcome
from chaos.model.record import LineWriter, Observation
from chaos.names import Answer
from loadgen.probes.config import ProbesConfig
from loadgen.probes.failures import MISSED
from loadgen.probes.resolver import Resolver, open_resolver
from loadgen.probes.session import Question, Turn
from loadgen.probes.sightings import NameSightings, RoleSightings
from loadgen.probes.stream import Stream
from loadgen.probes.table import table_of
from loadgen.probes.tasks import begin

OBSERVER = "probes"
FLUSH_S = 0.2
ALIVE_S = 1.0
OPEN_RETRY_S = 0.25
CLOSE_GRACE_S = 0.5
# A frozen server finds every connect that was given up in its queue, and forks for each when it
# thaws: fewer tell the end of a freeze better, more that of an outage which takes all connections
# with it, those too that were accepted while it lasted.
SPACING_S = 0.2
INSTANCE_SPACING_S = 1.0
CLUSTER_NAME_S = 0.05
READER_NAME_S = 0.1
INSTANCE_NAME_S = 0.2

_AURORA_WHO = "aurora_db_instance_identifier()"
_ROLE = (
    "pg_is_in_recovery(),"
    " to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
)


class Observer:
    """The streams and name watches of one run; `run` starts them, `close` flushes everything."""

    def __init__(self, config: ProbesConfig, access: DatabaseAccess, folder: Path) -> None:
        self._config = config
        self._access = access
        self._clock = MonotonicClock()
        self._operations = OperationWriter(folder / "operations", PROBE_ARM)
        self._observations = LineWriter(folder / "observations.jsonl")
        self._instances = access.instances
        self._roles = {instance: RoleSightings(instance) for instance in self._instances}
        self._names = {
            endpoint: NameSightings(endpoint, access.endpoints) for endpoint in access.endpoints
        }
        self._streams: dict[str, Stream] = {}
        self._resolver: Resolver | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._operating: set[asyncio.Task[None]] = set()
        self._broken = asyncio.Event()
        self._defect: Exception | None = None
        self._samples = 0

    async def open(self) -> None:
        """Reach the cluster and the reader endpoint once.

        Raises:
            DatabaseError: one of them did not answer in time; says why.
            HostError: no name server to ask.
        """
        asyncio.get_running_loop().set_exception_handler(self._failed)
        access, config = self._access, self._config
        self._resolver = await open_resolver(access.endpoints, access.name_server, self._heard)
        questions = self._questions()
        for question in questions:
            of_instance = question.endpoint in self._roles
            period_s = config.instance_period_s if of_instance else config.period_s
            self._streams[question.endpoint] = Stream(
                question,
                slots=config.instance_slots if of_instance else config.slots,
                spares=config.instance_spares if of_instance else config.spares,
                period_s=period_s,
                deadline_s=config.deadline_s,
                spacing_s=INSTANCE_SPACING_S if of_instance else SPACING_S,
                resolver=self._resolver,
                record=self._record,
                yields_to=[s for e, s in self._streams.items() if e not in self._roles]
                if of_instance
                else (),
            )
        for endpoint, stream in self._streams.items():
            required = endpoint not in self._roles
            turn = await stream.open(config.open_timeout_s if required else 0.0, OPEN_RETRY_S)
            if required and turn.outcome is not Outcome.OK:
                raise DatabaseError(
                    f"the {endpoint} endpoint {access.endpoints[endpoint]}:{access.port} did not"
                    f" answer a probe within {config.open_timeout_s:g} s ({turn.error}); check that"
                    " the cluster is available and reachable from here"
                )

    def start(self) -> None:
        """Begin the grid: every stream, every name, and the records of being alive."""
        assert self._resolver is not None
        self.resume(self._clock.now_ns() + NS // 100)
        for endpoint in self._access.endpoints:
            interval_s = {"cluster": CLUSTER_NAME_S, "reader": READER_NAME_S}.get(
                endpoint, INSTANCE_NAME_S
            )
            begin(self._resolver.watch(endpoint, interval_s), self._tasks)
        begin(self._keep_records(), self._tasks)

    def resume(self, origin_ns: int) -> None:
        """Begin the grid of every stream at an instant, for the first time or after a pause."""
        # The streams are staggered against each other too, by less than a grid step.
        for number, stream in enumerate(self._streams.values()):
            begin(stream.run(origin_ns + number * 1_700_000), self._operating)

    async def pause(self) -> None:
        """Let turns in flight end, for a moment, and close every session; names are watched on."""
        await _cancelled(self._operating)
        await asyncio.gather(*(stream.close(CLOSE_GRACE_S) for stream in self._streams.values()))
        self._operations.flush()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set.

        Raises:
            Exception: whatever nobody else caught, in a task or a callback: what it was to
                observe or to record is missing, and an outage must not look like none.
        """
        ends = [asyncio.create_task(event.wait()) for event in (stop, self._broken)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await _cancelled(ends)
        self._require_whole()

    async def close(self) -> None:
        """End the turns in flight, write what is left and close the files."""
        await _cancelled(self._tasks | self._operating)
        await asyncio.gather(*(stream.close(CLOSE_GRACE_S) for stream in self._streams.values()))
        if self._resolver is not None:
            self._resolver.close()
        self._operations.close()
        self._observations.close()
        self._require_whole()

    def _questions(self) -> list[Question]:
        access, who = self._access, self._who()
        table = table_of(self._config.run).as_string()
        write = (
            f"UPDATE {table} SET turns = turns + 1 WHERE slot = $1"  # noqa: S608 - quoted by table_of
            f" RETURNING {who}"
        )
        statements = [("cluster", Kind.WRITE, write), ("reader", Kind.READ, f"SELECT {who}")]
        statements += [(i, Kind.READ, f"SELECT {who}, {_ROLE}") for i in self._instances]
        return [
            Question(
                endpoint=endpoint,
                kind=kind,
                statement=statement.encode(),
                parameters={
                    "application_name": "gameday probe",
                    "gssencmode": "disable",
                    **access.parameters(endpoint),
                },
            )
            for endpoint, kind, statement in statements
        ]

    def _who(self) -> str:
        """Return SQL that says which instance answers.

        An instance in no cluster, whose own name is every endpoint, may not be Aurora and know itself.
        """
        names = self._access.endpoints
        alone = [i for i in self._instances if names[i] == names["cluster"]]
        return f"'{alone[0]}'::text" if alone else _AURORA_WHO

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep the first error that the loop was left with, which ends the probes; log them all."""
        loop.default_exception_handler(context)
        error = context.get("exception")
        if isinstance(error, Exception):
            self._defect = self._defect or error
            self._broken.set()

    def _require_whole(self) -> None:
        if self._defect is not None:
            raise self._defect

    def _record(self, question: Question, turn: Turn) -> None:
        self._samples += 1
        self._operations.operation(
            kind=question.kind,
            endpoint=question.endpoint,
            intended_ns=turn.intended_ns,
            started_ns=turn.started_ns,
            ended_ns=turn.ended_ns,
            outcome=turn.outcome,
            instance=turn.row[0] if turn.row else "",
            error=turn.error,
            backend_pid=turn.backend_pid,
            waited_us=turn.connecting_ns // 1000,
        )
        roles = self._roles.get(question.endpoint)
        if roles is not None and turn.error != MISSED:
            self._sight(roles, turn)

    def _sight(self, roles: RoleSightings, turn: Turn) -> None:
        if turn.outcome is Outcome.OK:
            identifier, recovering, since = turn.row
            seen = roles.answered(
                turn.started_ns,
                turn.ended_ns,
                answered_by=identifier,
                recovering=recovering == "t",
                since=since,
            )
        else:
            seen = roles.missed(turn.started_ns, turn.ended_ns, turn.error)
        for observation in seen:
            self._observations.append(observation)

    def _heard(self, endpoint: str, started_ns: int, ended_ns: int, answer: Answer) -> None:
        self._samples += 1
        names = self._names[endpoint]
        before = names.addresses
        observation = names.heard(started_ns, ended_ns, answer)
        if observation is not None:
            self._observations.append(observation)
        if names.addresses != before and endpoint in self._streams:
            self._streams[endpoint].endpoint_moved(names.addresses)

    async def _keep_records(self) -> None:
        alive_ns = self._clock.now_ns()
        while True:
            await asyncio.sleep(FLUSH_S)
            self._operations.flush()
            now_ns = self._clock.now_ns()
            if now_ns - alive_ns >= int((ALIVE_S - FLUSH_S / 2) * NS):
                self._say_alive(alive_ns, now_ns)
                alive_ns = now_ns

    def _say_alive(self, since_ns: int, now_ns: int) -> None:
        tallies = {endpoint: s.take_tally() for endpoint, s in self._streams.items()}
        lag_ns = max(tally.lateness_ns_max for tally in tallies.values())
        connects = {
            endpoint: [tally.connects, tally.connects_failed]
            for endpoint, tally in tallies.items()
            if tally.connects
        }
        self._observations.append(
            Observation(
                at_ns=now_ns,
                since_ns=since_ns,
                kind="alive",
                subject=OBSERVER,
                value=str(self._samples),
                detail={"lag_s_max": round(lag_ns / NS, 4), "connects": connects},
            )
        )


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
