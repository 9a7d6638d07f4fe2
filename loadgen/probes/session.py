"""One session of a stream: takes its turns, keeps its connection, follows the endpoint.

    turn -> (resolve -> connect ->) ask -> ok: keep the connection
                                        -> failed: close it; the next turn begins anew

What ends a wait, by stage:

- resolving, and connecting to a host that does not answer: the deadline (its packets vanish, so
  the next turn tries afresh);
- connecting to a host that accepted: patience (its server is frozen or busy and has us in its
  queue; another attempt would only stand behind this one and burden it when it thaws);
- asking: the deadline of an impatient session, the patience of a patient one;
- any of them: the endpoint's name leads elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.clock import NS, MonotonicClock
from chaos.model.operation import Kind, Outcome
from loadgen.probes.failures import MISSED, outcome_of
from loadgen.probes.resolver import Resolver
from loadgen.probes.wire import Wire, WireError

PATIENCE_S = 5.0
"""How long a patient session waits for an answer that does not come."""
PATIENCE_OF_OUTAGE = 0.1
"""Patience grows to this share of an outage: attempts given up grow with its logarithm only."""
READ_ONLY = "25006"
RECONNECT_S = 1.0
"""How often a session reconnects to a read-only instance to which the name still leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a stream asks, of which endpoint. The first column of the answer is the instance."""

    endpoint: str
    kind: Kind
    statement: bytes
    parameters: Mapping[str, Any]
    """libpq's, without an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What became of one turn; instants are monotonic ns."""

    intended_ns: int
    started_ns: int
    ended_ns: int
    outcome: Outcome
    error: str = ""
    row: Sequence[str] = ()
    """The answer's columns; the first is the instance."""
    backend_pid: int = 0
    waiting: bool = False
    """Never sent, because an earlier turn still waited for its answer."""


def missed(intended_ns: int, now_ns: int, *, waiting: bool) -> Turn:
    """Return a turn that was never sent."""
    return Turn(
        intended_ns=intended_ns,
        started_ns=now_ns,
        ended_ns=now_ns,
        outcome=Outcome.FAILED,
        error=MISSED,
        waiting=waiting,
    )


class Session:
    """One of the sessions of a stream. `deadline_s` and `impatient` say when it gives up."""

    def __init__(
        self,
        question: Question,
        slot: int,
        resolver: Resolver,
        *,
        impatient: bool,
        deadline_s: float,
    ) -> None:
        self._question = question
        self._values = [str(slot).encode()] if question.kind is Kind.WRITE else []
        self._resolver = resolver
        self._impatient = impatient
        self._deadline_s = deadline_s
        self._clock = MonotonicClock()
        self._loop = asyncio.get_running_loop()
        self._wire = Wire(self._loop)
        self._busy = False
        self._sent = False
        self._connected_ns = 0
        self._stage_ns = 0
        self._suspect = False

    @property
    def idle(self) -> bool:
        """Connected, and not waiting for an answer."""
        return not self._busy and self._wire.open

    @property
    def queued(self) -> bool:
        """Connecting to a host that has accepted."""
        return self._wire.connecting and self._wire.reached

    @property
    def would_connect(self) -> bool:
        """Whether a turn now would begin with connecting."""
        return not self._busy and not self._wire.open

    async def turn(self, intended_ns: int, last_success_ns: int) -> Turn:
        """Do one operation that was due at `intended_ns`; missed if the last one still runs.

        `last_success_ns` is when the stream last succeeded, on which patience depends.
        """
        started_ns = self._clock.now_ns()
        if self._busy:
            return missed(intended_ns, started_ns, waiting=True)
        self._busy = True
        self._sent = False
        timer = _Timer(self._loop)
        self._stage_ns = started_ns
        timer.at(self._deadline_s, self._expire, timer, last_success_ns)
        row: Sequence[str] = ()
        outcome, error = Outcome.OK, ""
        try:
            row = await self._attempt(intended_ns + int(self._deadline_s * NS))
        except WireError as failed:
            error = failed.error
            outcome = outcome_of(self._question.kind, error, sent=self._sent)
            self._after_failure(error)
        finally:
            timer.cancel()
            self._busy = False
        return Turn(
            intended_ns=intended_ns,
            started_ns=started_ns,
            ended_ns=self._clock.now_ns(),
            outcome=outcome,
            error=error,
            row=row,
            backend_pid=self._wire.backend_pid,
        )

    def endpoint_moved(self, addresses: Collection[str]) -> None:
        """Give up what waits for an address to which the endpoint no longer leads."""
        if self._busy and self._wire.address and self._wire.address not in addresses:
            self._wire.drop("----- EndpointMoved")

    def close(self) -> None:
        """Close the connection; a turn that waits fails."""
        self._wire.drop("----- Stopped")

    async def _attempt(self, deadline_ns: int) -> Sequence[str]:
        if not self._wire.open or self._suspect:
            await self._connect(deadline_ns)
        self._stage_ns = self._clock.now_ns()
        self._sent = True
        row = await self._wire.ask(self._question.statement, self._values)
        self._suspect = False
        return [value.decode() if value is not None else "" for value in row]

    async def _connect(self, deadline_ns: int) -> None:
        remaining_s = max(0.01, (deadline_ns - self._clock.now_ns()) / NS)
        try:
            answer = await asyncio.wait_for(
                self._resolver.resolve(self._question.endpoint), remaining_s
            )
        except TimeoutError:
            raise WireError("----- NameTimeout") from None
        if not answer.addresses:
            raise WireError(f"----- Name{answer.error}")
        address = answer.addresses[0]
        now_ns = self._clock.now_ns()
        if self._wire.open:
            stands = address == self._wire.address
            if stands and now_ns - self._connected_ns < RECONNECT_S * NS:
                return
            self._wire.drop("----- Reconnect")
        self._stage_ns = self._connected_ns = now_ns
        self._suspect = False
        await self._wire.connect(self._question.parameters, address)

    def _after_failure(self, error: str) -> None:
        if error.startswith(READ_ONLY) and self._wire.open:
            self._suspect = True
        else:
            self._wire.drop(error)

    def _expire(self, timer: _Timer, last_success_ns: int) -> None:
        now_ns = self._clock.now_ns()
        limit_s = self._limit_s((now_ns - last_success_ns) / NS)
        left_s = limit_s - (now_ns - self._stage_ns) / NS
        if left_s > 0:
            timer.at(left_s, self._expire, timer, last_success_ns)
        elif self._wire.connecting:
            self._wire.drop("----- ConnectTimeout")
        else:
            self._wire.drop("----- Deadline")

    def _limit_s(self, outage_s: float) -> float:
        """Return how long the present stage may take."""
        queued = self._wire.connecting and self._wire.reached
        if self._wire.connecting and not queued:
            return self._deadline_s
        if queued or not self._impatient:
            base_s = self._deadline_s if self._impatient else PATIENCE_S
            return max(base_s, outage_s * PATIENCE_OF_OUTAGE)
        return self._deadline_s


class _Timer:
    """A timer that can be set again."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def at(self, delay_s: float, call: Any, *arguments: Any) -> None:
        self.cancel()
        self._handle = self._loop.call_later(delay_s, call, *arguments)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
