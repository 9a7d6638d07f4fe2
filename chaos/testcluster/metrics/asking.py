"""One question to many servers at the same time, with one kept session each, and never waiting long.

A server may be stopped, silent or gone while its session stands. So everything is libpq's non-blocking
interface and one selector: who has not answered in time is left out, and asked again once the old answer
has come or the session is given up.
"""

from __future__ import annotations

import enum
import logging
import selectors
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq

from chaos.clock import NS, Clock, MonotonicClock

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""After this long without an answer a session is closed, and no new one begun for as long."""

_STATEMENT = b"question"

Row = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A server process: where it listens and who may ask; another `pid` is another server."""

    address: str
    port: int
    user: str
    password: str = field(repr=False)
    pid: int

    def conninfo(self) -> bytes:
        """Return libpq's words for it."""
        return psycopg.conninfo.make_conninfo(
            hostaddr=self.address,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname="postgres",
            sslmode="disable",
            gssencmode="disable",
            application_name="metrics",
        ).encode()


class _Phase(enum.Enum):
    CONNECTING = enum.auto()
    PREPARING = enum.auto()
    IDLE = enum.auto()
    ASKED = enum.auto()
    OVER = enum.auto()


class _Session:
    """One connection, moved on whenever its socket is ready."""

    def __init__(self, place: Place, question: bytes, now_ns: int) -> None:
        self._question = question
        self._connection = pq.PGconn.connect_start(place.conninfo())
        self.phase = _Phase.CONNECTING
        self.events = selectors.EVENT_WRITE
        self.since_ns = now_ns  # when it began to wait for what it waits for
        self.is_late = False  # what it waits for was asked in an earlier round
        if self._connection.status == pq.ConnStatus.BAD:
            self.close()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._connection.socket

    @property
    def is_waiting(self) -> bool:
        """Whether something is to come from the server."""
        return self.phase not in {_Phase.IDLE, _Phase.OVER}

    def close(self) -> None:
        """End the connection."""
        self._connection.finish()
        self.phase = _Phase.OVER

    def ask(self, now_ns: int) -> None:
        """Send the question."""
        self.since_ns, self.is_late = now_ns, False
        try:
            self._connection.send_query_prepared(_STATEMENT, None)
            self._sent(_Phase.ASKED)
        except psycopg.Error as error:
            self._fail(error)

    def move_on(self) -> Row | None:
        """Do what can be done without waiting; return the answer if it has come."""
        try:
            if self.phase is _Phase.CONNECTING:
                self._connect()
                return None
            self._connection.consume_input()
            if self._connection.flush():
                return None
            self.events = selectors.EVENT_READ
            if self._connection.is_busy():
                return None
            return self._finished()
        except psycopg.Error as error:
            self._fail(error)
            return None

    def _connect(self) -> None:
        match self._connection.connect_poll():
            case pq.PollingStatus.READING:
                self.events = selectors.EVENT_READ
            case pq.PollingStatus.WRITING:
                self.events = selectors.EVENT_WRITE
            case pq.PollingStatus.OK:
                self._connection.nonblocking = 1
                self._connection.send_prepare(_STATEMENT, self._question)
                self._sent(_Phase.PREPARING)
            case _:
                raise psycopg.OperationalError(self._connection.get_error_message())

    def _sent(self, phase: _Phase) -> None:
        self.phase = phase
        self.events = selectors.EVENT_READ
        if self._connection.flush():
            self.events |= selectors.EVENT_WRITE

    def _finished(self) -> Row | None:
        row: Row | None = None
        while (result := self._connection.get_result()) is not None:
            if result.status == pq.ExecStatus.TUPLES_OK and result.ntuples:
                values = [result.get_value(0, column) for column in range(result.nfields)]
                row = tuple(None if value is None else value.decode() for value in values)
            elif result.status not in {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK}:
                raise psycopg.OperationalError(result.get_error_message())
        self.phase = _Phase.IDLE
        return row

    def _fail(self, error: Exception) -> None:
        log.debug("a session of the metrics ended: %s", error)
        self.close()


class Questioner:
    """Asks one question of the servers it is told of; not for several threads.

    Args:
        question: a query whose first row is the answer.
        clock: virtual in tests.
    """

    def __init__(self, question: str, clock: Clock | None = None) -> None:
        self._question = question.encode()
        self._clock = clock or MonotonicClock()
        self._sessions: dict[Place, _Session] = {}
        self._given_up: dict[Place, int] = {}

    def ask(
        self, places: Mapping[str, Place], timeout_s: float, *, keep: Collection[Place] = ()
    ) -> dict[str, Row]:
        """Return the answers that come within `timeout_s`, by the places' names.

        Sessions with servers that are neither asked nor among `keep` are closed.
        """
        self._keep({*places.values(), *keep})
        names = {place: name for name, place in places.items()}
        answers: dict[str, Row] = {}
        deadline = self._clock.now_ns() + int(timeout_s * NS)
        self._begin(names)
        with selectors.DefaultSelector() as selector:
            while waiting := {
                p: s for p, s in self._sessions.items() if p in names and s.is_waiting
            }:
                left_s = (deadline - self._clock.now_ns()) / NS
                if left_s <= 0:
                    break
                for key in list(selector.get_map().values()):
                    selector.unregister(key.fileobj)
                for place, session in waiting.items():
                    selector.register(session.fileno(), session.events, place)
                for key, _ in selector.select(left_s):
                    place = key.data
                    row = self._moved(self._sessions[place])
                    if row is not None:
                        answers[names[place]] = row
        self._give_up()
        return answers

    def close(self) -> None:
        """End all sessions."""
        self._keep(set())

    def _keep(self, places: set[Place]) -> None:
        for place in self._sessions.keys() - places:
            self._sessions.pop(place).close()
        self._given_up = {p: at for p, at in self._given_up.items() if p in places}

    def _begin(self, places: Mapping[Place, Any]) -> None:
        """Ask whoever can be asked, and begin the sessions that are missing."""
        now = self._clock.now_ns()
        for place in places:
            session = self._sessions.get(place)
            if session is None or session.phase is _Phase.OVER:
                if now - self._given_up.get(place, -(10**18)) >= PATIENCE_S * NS:
                    self._sessions[place] = _Session(place, self._question, now)
            elif session.phase is _Phase.IDLE:
                session.ask(now)
            else:
                session.is_late = True

    def _moved(self, session: _Session) -> Row | None:
        """Move a session on; a late answer is thrown away and the question asked anew."""
        was, is_late = session.phase, session.is_late
        row = session.move_on()
        if session.phase is _Phase.IDLE and (was is _Phase.PREPARING or is_late):
            session.ask(self._clock.now_ns())
            return None
        return row

    def _give_up(self) -> None:
        now = self._clock.now_ns()
        for place, session in tuple(self._sessions.items()):
            if session.is_waiting and now - session.since_ns > PATIENCE_S * NS:
                session.close()
                self._given_up[place] = now
            if session.phase is _Phase.OVER:
                del self._sessions[place]
