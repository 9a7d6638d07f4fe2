"""One stream: sessions that take turns on a fixed grid of the monotonic clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from chaos.clock import NS, MonotonicClock
from chaos.model.operation import Outcome
from loadgen.probes.resolver import Resolver
from loadgen.probes.session import Question, Session, Turn, missed

CONNECT_SPACING_NS = NS // 10
"""Pause between connects while one waits for an accepting server, or while others are served."""

Record = Callable[[Question, Turn], None]


class Stream:
    """`slots` sessions, each due every `period_s`, so that one is due every `period_s / slots`."""

    def __init__(
        self,
        question: Question,
        *,
        slots: int,
        period_s: float,
        deadline_s: float,
        resolver: Resolver,
        record: Record,
    ) -> None:
        self.question = question
        self._step_ns = int(period_s / slots * NS)
        self._period_ns = int(period_s * NS)
        self._record = record
        self._clock = MonotonicClock()
        self._sessions = [
            Session(question, slot, resolver, impatient=slot % 2 == 0, deadline_s=deadline_s)
            for slot in range(slots)
        ]
        self._turns: set[asyncio.Task[None]] = set()
        self._last_success_ns = self._clock.now_ns()
        self._last_connect_ns = 0
        self._served = False
        self.lateness_ns_max = 0
        """The worst lateness of a turn; whoever reads it sets it back to 0."""

    async def open(self, timeout_s: float, interval_s: float) -> Turn:
        """Try one operation until it succeeds, then connect every session; nothing is recorded.

        Return the last try of that operation, successful or not.
        """
        deadline_ns = self._clock.now_ns() + int(timeout_s * NS)
        while True:
            turn = await self._sessions[-1].turn(self._clock.now_ns(), self._last_success_ns)
            if turn.outcome is Outcome.OK:
                self._last_success_ns = turn.ended_ns
                # One after the other: the grid must begin on connections, not with a crowd.
                for session in self._sessions[:-1]:
                    await session.turn(self._clock.now_ns(), turn.ended_ns)
                return turn
            if self._clock.now_ns() >= deadline_ns:
                return turn
            await asyncio.sleep(interval_s)

    async def run(self, origin_ns: int) -> None:
        """Take turns for ever; turn k is due at `origin_ns` plus k grid steps."""
        number = 0
        while True:
            intended_ns = origin_ns + number * self._step_ns
            now_ns = self._clock.now_ns()
            if now_ns < intended_ns:
                await asyncio.sleep((intended_ns - now_ns) / NS)
                now_ns = self._clock.now_ns()
            late_ns = now_ns - intended_ns
            self.lateness_ns_max = max(self.lateness_ns_max, late_ns)
            if late_ns > self._period_ns:
                # The session's next turn is due as well: this one was never sent.
                self._record(self.question, missed(intended_ns, now_ns, waiting=False))
            elif session := self._session_of(number, now_ns):
                self._start_turn(session, intended_ns)
            else:
                self._record(self.question, missed(intended_ns, now_ns, waiting=True))
            number += 1
            if number % len(self._sessions) == 0:
                await asyncio.sleep(0)  # catching up must not starve the answers

    def endpoint_moved(self, addresses: Collection[str]) -> None:
        """Tell every session to which addresses the endpoint leads now."""
        for session in self._sessions:
            session.endpoint_moved(addresses)

    async def close(self, grace_s: float) -> None:
        """Let turns in flight end for `grace_s`, then end them as failed."""
        if self._turns:
            await asyncio.wait(self._turns, timeout=grace_s)
        for session in self._sessions:
            session.close()
        if self._turns:
            await asyncio.wait(self._turns, timeout=grace_s)

    def _session_of(self, number: int, now_ns: int) -> Session | None:
        """Return who takes a turn: its own session, a stand-in while that may not connect, or None.

        Connecting is dear: a server forks for it, and authenticates. A crowd of connects in the wake
        of an outage would make the very delay that they are to measure.
        """
        session = self._sessions[number % len(self._sessions)]
        if not session.would_connect:
            return session
        queued = any(other.queued for other in self._sessions)
        if now_ns - self._last_connect_ns < CONNECT_SPACING_NS and (queued or self._served):
            return self._stand_in(number)
        self._last_connect_ns = now_ns
        return session

    def _stand_in(self, number: int) -> Session | None:
        """Return the next session that could ask at once."""
        start = number % len(self._sessions)
        order = self._sessions[start:] + self._sessions[:start]
        return next((other for other in order if other.idle), None)

    def _start_turn(self, session: Session, intended_ns: int) -> None:
        task = asyncio.create_task(self._turn(session, intended_ns))
        self._turns.add(task)
        task.add_done_callback(self._turns.discard)

    async def _turn(self, session: Session, intended_ns: int) -> None:
        turn = await session.turn(intended_ns, self._last_success_ns)
        if turn.outcome is Outcome.OK:
            self._last_success_ns = max(self._last_success_ns, turn.ended_ns)
        self._served = turn.outcome is Outcome.OK
        self._record(self.question, turn)
