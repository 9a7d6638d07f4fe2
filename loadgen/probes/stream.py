"""One stream: an operation on every step of a fixed grid of the monotonic clock.

An operation is asked by whichever session is connected; only while none is, connecting is part of
it. Connecting is dear: a server forks for it, and authenticates. A crowd of connects in the wake of
an outage would make the very delay that it is to measure. So they are spaced while one waits to be
let in or for its first answer, and while others serve; a refused one costs nothing and is repeated
on every step. Once somebody is served, those who wait to be let in for an operation leave the queue.

While an answer is overdue and nobody is free, the spare sessions connect. When service is back the
stream returns to `slots` connected sessions: it closes what is too many, mends what is missing, and
gives up an answer that has not come though others were served for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, replace

from chaos.clock import NS, MonotonicClock
from chaos.model.operation import Outcome
from loadgen.probes.failures import LEFT_QUEUE
from loadgen.probes.resolver import Resolver
from loadgen.probes.session import Question, Session, Turn, missed
from loadgen.probes.tasks import begin

YIELD_NS = 3 * NS // 10
"""How long a stream's next connect waits for one of a stream that matters more."""
RECONNECT_NS = NS
"""How often a stream looks whether a read-only address it is still led to has changed its mind."""

AFTERMATH_NS = NS
"""For how long others are served before an answer that has not come is given up."""
FIRST_ANSWER_S = 1.0
"""How long the first answer may take, however little is left of the time to open."""

Record = Callable[[Question, Turn], None]


@dataclass(slots=True)
class Tally:
    """What a stream did since someone last looked."""

    lateness_ns_max: int = 0
    connects: int = 0
    connects_failed: int = 0


class Stream:
    """`slots` sessions that ask, `spares` for need, and an operation every `period_s / slots`."""

    def __init__(
        self,
        question: Question,
        *,
        slots: int,
        spares: int,
        period_s: float,
        deadline_s: float,
        resolver: Resolver,
        spacing_s: float,
        record: Record,
        yields_to: Sequence[Stream] = (),
    ) -> None:
        """Open nothing yet.

        `spacing_s` is the pause between connects while another session serves, or may do so in a
        moment. Connects of this stream wait a little for those of `yields_to`.
        """
        self.question = question
        self._slots = slots
        self._step_ns = int(period_s / slots * NS)
        self._deadline_ns = int(deadline_s * NS)
        self._spacing_ns = int(spacing_s * NS)
        self._period_ns = int(period_s * NS)
        self._record = record
        self._clock = MonotonicClock()
        self._sessions = [
            Session(question, slot, resolver, deadline_s=deadline_s)
            for slot in range(slots + spares)
        ]
        self._yields_to = yields_to
        self._addresses: Collection[str] = ()
        self._scouts: set[Session] = set()
        self._work: set[asyncio.Task[None]] = set()
        self._success_ns = self._clock.now_ns()
        self._served_since_ns = self._success_ns
        self._connect_ns = 0
        self._reconnect_ns = 0
        self._tally = Tally()

    @property
    def queued(self) -> bool:
        """Whether a connect waits to be let in."""
        return any(session.queued for session in self._sessions)

    async def open(self, timeout_s: float, interval_s: float) -> Turn:
        """Try one operation until it succeeds, then connect the other sessions; record nothing.

        Return the last try of that operation, successful or not.
        """
        began_ns = self._clock.now_ns()
        deadline_ns = began_ns + int(timeout_s * NS)
        session, *others = self._sessions[: self._slots]
        while True:
            now_ns = self._clock.now_ns()
            turn = await session.connect(now_ns, began_ns)
            if turn.outcome is Outcome.OK:
                left_s = (deadline_ns - self._clock.now_ns()) / NS
                turn = await session.ask_for(max(left_s, FIRST_ANSWER_S), now_ns)
            if turn.outcome is Outcome.OK:
                break
            session.close()
            if self._clock.now_ns() >= deadline_ns:
                return turn
            await asyncio.sleep(interval_s)
        for other in others:
            # One after the other: the grid must not begin with a crowd of connects.
            await other.connect(self._clock.now_ns(), turn.ended_ns)
        return turn

    async def run(self, origin_ns: int) -> None:
        """Operate for ever; operation k is due at `origin_ns` plus k grid steps."""
        number = 0
        self._success_ns = origin_ns
        while True:
            intended_ns = origin_ns + number * self._step_ns
            now_ns = self._clock.now_ns()
            if now_ns < intended_ns:
                await asyncio.sleep((intended_ns - now_ns) / NS)
                now_ns = self._clock.now_ns()
            late_ns = now_ns - intended_ns
            self._tally.lateness_ns_max = max(self._tally.lateness_ns_max, late_ns)
            if late_ns > self._period_ns:
                self._record(self.question, missed(intended_ns, now_ns, waiting=False))
            else:
                self._dispatch(number, intended_ns, now_ns)
            number += 1
            if number % self._slots == 0:
                self._tidy(now_ns)
                await asyncio.sleep(0)  # catching up must not starve the answers

    def endpoint_moved(self, addresses: Collection[str]) -> None:
        """Tell every session to which addresses the endpoint leads now."""
        self._addresses = addresses
        for session in self._sessions:
            session.endpoint_moved(addresses)

    def take_tally(self) -> Tally:
        """Return what was counted since the last call."""
        tally, self._tally = self._tally, Tally()
        return tally

    async def close(self, grace_s: float) -> None:
        """Let operations in flight end for `grace_s`, then end them as failed."""
        if self._work:
            await asyncio.wait(self._work, timeout=grace_s)
        for session in self._sessions:
            session.close()
        if self._work:
            await asyncio.wait(self._work, timeout=grace_s)

    def _dispatch(self, number: int, intended_ns: int, now_ns: int) -> None:
        first = number % len(self._sessions)
        order = self._sessions[first:] + self._sessions[:first]
        serving = next((s for s in order if s.idle and not s.read_only), None)
        may_connect = self._may_connect(now_ns)
        closed = next((s for s in order if s.closed), None) if may_connect else None
        if closed is not None:
            self._connect_ns = now_ns
        read_only = next((s for s in order if s.idle and s.read_only), None)
        if serving is not None:
            self._begin(serving, self._ask, intended_ns)
            if closed is not None:
                self._begin(closed, self._mend, intended_ns)
        elif closed is not None:
            self._begin(closed, self._connect_and_ask, intended_ns)
        elif read_only is not None and now_ns - self._reconnect_ns > RECONNECT_NS:
            self._reconnect_ns = now_ns
            read_only.close()
            self._begin(read_only, self._connect_and_ask, intended_ns)
        elif read_only is not None:
            self._begin(read_only, self._ask, intended_ns)
        else:
            self._record(self.question, missed(intended_ns, now_ns, waiting=True))

    def _may_connect(self, now_ns: int) -> bool:
        since_ns = now_ns - self._connect_ns
        if since_ns < YIELD_NS and any(other.queued for other in self._yields_to):
            return False
        standing = sum(not session.closed for session in self._sessions)
        if standing >= self._slots and not self._stuck(now_ns):
            return False
        return since_ns >= self._spacing_ns or not any(
            session.promising(now_ns) for session in self._sessions
        )

    def _stuck(self, now_ns: int) -> bool:
        """Whether nobody is free, and an answer is overdue."""
        waits = [session.asks_for_ns(now_ns) for session in self._sessions]
        return max(waits) >= self._deadline_ns and not any(s.idle for s in self._sessions)

    def _tidy(self, now_ns: int) -> None:
        """Return to `slots` connected sessions after an outage."""
        if now_ns - self._success_ns > self._deadline_ns:
            return
        for session in self._sessions:
            waits_ns = session.asks_for_ns(now_ns)
            if min(waits_ns, now_ns - self._served_since_ns) > AFTERMATH_NS:
                session.give_up()
        standing = [session for session in self._sessions if not session.closed]
        if len(standing) > self._slots:
            spare = next((session for session in standing if session.idle), None)
            if spare is not None:
                spare.close()

    async def _mend(self, session: Session, intended_ns: int) -> None:
        await self._connect(session, intended_ns)

    async def _connect_and_ask(self, session: Session, intended_ns: int) -> None:
        self._scouts.add(session)
        try:
            connect = await self._connect(session, intended_ns)
        finally:
            self._scouts.discard(session)
        if connect.error == LEFT_QUEUE and connect.ended_ns - intended_ns < self._deadline_ns:
            # We ended it before it was due to be answered: it shows nothing of the service.
            self._record(self.question, missed(intended_ns, connect.ended_ns, waiting=True))
            return
        if connect.outcome is not Outcome.OK:
            self._record(self.question, connect)
            return
        asked = await session.ask(intended_ns)
        turn = replace(
            asked,
            started_ns=connect.started_ns,
            connecting_ns=connect.ended_ns - connect.started_ns,
        )
        self._learn(session, turn)
        self._record(self.question, turn)

    async def _connect(self, session: Session, intended_ns: int) -> Turn:
        turn = await session.connect(intended_ns, self._success_ns)
        self._tally.connects += 1
        self._tally.connects_failed += turn.outcome is not Outcome.OK
        return turn

    async def _ask(self, session: Session, intended_ns: int) -> None:
        turn = await session.ask(intended_ns)
        self._learn(session, turn)
        self._record(self.question, turn)

    def _learn(self, session: Session, turn: Turn) -> None:
        if turn.outcome is Outcome.OK:
            if turn.ended_ns - self._success_ns > self._deadline_ns:
                self._served_since_ns = turn.ended_ns
            self._success_ns = max(self._success_ns, turn.ended_ns)
            for waiting in self._scouts:
                waiting.leave_queue()
        elif session.read_only:
            for other in self._sessions:
                if other.idle and other.address == session.address:
                    other.suspect()
            self.endpoint_moved(self._addresses)

    def _begin(
        self,
        session: Session,
        work: Callable[[Session, int], Coroutine[None, None, None]],
        intended_ns: int,
    ) -> None:
        session.claim(self._clock.now_ns())  # at once: the next step may come before the task runs
        begin(work(session, intended_ns), self._work)
