"""One session of a stream: keeps a connection, asks on it, and knows when to give up.

    closed -- connect --> idle -- ask --> idle         what fails closes the connection,
                                      `-> read-only    but for a server that is only read-only
What ends a wait, by stage:

- resolving, and connecting to a host that does not answer: the deadline (its packets vanish, so
  the next turn tries afresh);
- connecting to a host that accepted: patience (its server is frozen or busy and has us in its
  queue; another attempt would only stand behind this one and burden it when it thaws);
- asking: the stream, once others have been served for a while and this one has not;
- any of them: the endpoint's name leads elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaos.clock import NS, MonotonicClock
from chaos.model.operation import READ_ONLY, Kind, Outcome
from loadgen.probes.failures import LEFT_QUEUE, MISSED, MISSED_WAITING, outcome_of
from loadgen.probes.resolver import Resolver
from loadgen.probes.wire import Wire, WireError

QUEUE_PATIENCE_S = 0.4
"""How long a session waits to be let in by a server that accepted."""
PATIENCE_OF_OUTAGE = 0.1
"""Patience grows to this share of an outage: attempts given up grow with its logarithm only."""


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
    outcome: Outcome = Outcome.OK
    error: str = ""
    row: Sequence[str] = ()
    """The answer's columns; the first is the instance."""
    backend_pid: int = 0
    connecting_ns: int = 0
    """How much of it was spent on a connection."""


def missed(intended_ns: int, now_ns: int, *, waiting: bool) -> Turn:
    """Return a turn that was never sent; `waiting`: every session still waited for an earlier one."""
    return Turn(
        intended_ns=intended_ns,
        started_ns=now_ns,
        ended_ns=now_ns,
        outcome=Outcome.FAILED,
        error=MISSED_WAITING if waiting else MISSED,
    )


class Session:
    """One of the sessions of a stream. `deadline_s` is what a host may take to accept it."""

    def __init__(
        self,
        question: Question,
        slot: int,
        resolver: Resolver,
        *,
        deadline_s: float,
    ) -> None:
        self._question = question
        self._values = [str(slot).encode()] if question.kind is Kind.WRITE else []
        self._resolver = resolver
        self._deadline_s = deadline_s
        self._clock = MonotonicClock()
        self._loop = asyncio.get_running_loop()
        self._wire = Wire(self._loop)
        self._stage_ns = 0
        self.busy = False
        """Connecting, or waiting for an answer."""
        self.read_only = False
        """Connected to an instance that said it takes no writes."""

    @property
    def closed(self) -> bool:
        """Not connected, and not connecting."""
        return not self.busy and not self._wire.open

    @property
    def idle(self) -> bool:
        """Connected, and not waiting for an answer."""
        return not self.busy and self._wire.open

    @property
    def queued(self) -> bool:
        """Connecting to a host that has accepted."""
        return self._wire.connecting and self._wire.reached

    def asks_for_ns(self, now_ns: int) -> int:
        """For how long it has waited for an answer; 0 if it does not."""
        return now_ns - self._stage_ns if self.busy and self._wire.open else 0

    def promising(self, now_ns: int) -> bool:
        """Whether it serves, or may do so in a moment: let in soon, or answered soon."""
        if not self._wire.open:
            return self.queued
        return self.asks_for_ns(now_ns) < self._deadline_s * NS

    def claim(self, now_ns: int) -> None:
        """Be busy from now on, though its work begins a moment later."""
        self.busy = True
        self._stage_ns = now_ns

    @property
    def address(self) -> str:
        """Where it is or was connected."""
        return self._wire.address

    async def connect(self, intended_ns: int, outage_since_ns: int) -> Turn:
        """Resolve the endpoint and connect; `outage_since_ns` is when the stream last succeeded."""
        started_ns = self._begin()
        self._timer = self._loop.call_later(self._deadline_s, self._expire, outage_since_ns)
        error = ""
        try:
            await self._connect()
        except WireError as failed:
            error = failed.error
        finally:
            self._timer.cancel()
        return self._end(intended_ns, started_ns, error, Outcome.FAILED)

    async def ask(self, intended_ns: int) -> Turn:
        """Send the question on the connection and wait for the answer, without limit."""
        started_ns = self._begin()
        error = ""
        row: Sequence[bytes | None] = ()
        try:
            row = await self._wire.ask(self._question.statement, self._values)
        except WireError as failed:
            error = failed.error
            self.read_only = error.startswith(READ_ONLY)
            if not self.read_only:
                self._wire.drop(error)
        turn = self._end(intended_ns, started_ns, error, outcome_of(self._question.kind, error))
        return replace(turn, row=tuple((value or b"").decode() for value in row))

    async def ask_for(self, limit_s: float, intended_ns: int) -> Turn:
        """Ask, and give up after `limit_s`: where no stream is there to do so."""
        timer = self._loop.call_later(limit_s, self.give_up)
        try:
            return await self.ask(intended_ns)
        finally:
            timer.cancel()

    def leave_queue(self) -> None:
        """Stop waiting to be let in: another session is served, which shows what was to be seen."""
        if self.queued:
            self._wire.drop(LEFT_QUEUE)

    def give_up(self) -> None:
        """Stop waiting for an answer."""
        self._wire.drop("----- Deadline")

    def suspect(self) -> None:
        """Take what another session was told, that this address takes no writes, for granted."""
        self.read_only = True

    def endpoint_moved(self, addresses: Collection[str]) -> None:
        """Leave an address to which the endpoint no longer leads, unless it serves."""
        if (self.busy or self.read_only) and self.address and self.address not in addresses:
            self._wire.drop("----- EndpointMoved")

    def close(self) -> None:
        """Close the connection; what waits fails."""
        self._wire.drop("----- Stopped")

    def _begin(self) -> int:
        self.claim(self._clock.now_ns())
        return self._stage_ns

    def _end(self, intended_ns: int, started_ns: int, error: str, outcome: Outcome) -> Turn:
        self.busy = False
        return Turn(
            intended_ns=intended_ns,
            started_ns=started_ns,
            ended_ns=self._clock.now_ns(),
            outcome=outcome if error else Outcome.OK,
            error=error,
            backend_pid=self._wire.backend_pid,
        )

    async def _connect(self) -> None:
        try:
            answer = await asyncio.wait_for(
                self._resolver.resolve(self._question.endpoint), self._deadline_s
            )
        except TimeoutError:
            raise WireError("----- NameTimeout") from None
        if not answer.addresses:
            raise WireError(f"----- Name{answer.error}")
        self._stage_ns = self._clock.now_ns()
        self.read_only = False
        await self._wire.connect(self._question.parameters, answer.addresses[0])

    def _expire(self, outage_since_ns: int) -> None:
        now_ns = self._clock.now_ns()
        outage_s = (now_ns - outage_since_ns) / NS
        limit_s = self._deadline_s
        if self.queued:
            limit_s = max(QUEUE_PATIENCE_S, outage_s * PATIENCE_OF_OUTAGE)
        left_s = limit_s - (now_ns - self._stage_ns) / NS
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._expire, outage_since_ns)
        else:
            self._wire.drop("----- ConnectTimeout")
