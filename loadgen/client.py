"""One user's database client: carries out one operation at a time, as its arm's code would.

An operation is one or more attempts, each on a connection from the arm's pool, in a transaction of
its own, under the arm's deadline. Whatever ends it, also the end of the process, it is recorded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import gevent
import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chaos.clock import Clock, MonotonicClock
from chaos.model.operation import NO_WRITE_ID, Failure, Kind, Outcome
from loadgen.arms import Arm
from loadgen.engine import INFO_KEY, Identity
from loadgen.outcome import (
    DEADLINE,
    POOL_TIMEOUT,
    STOPPED,
    DeadlineExceeded,
    Stage,
    name_of_error,
    outcome_of_failure,
    outcome_of_operation,
)
from loadgen.recorder import Recorder
from loadgen.retry import retry_after, sqlstate_of
from loadgen.tables import READ, WRITE, WRITE_KEYED, WriteIds

NOWHERE: Identity = ("", 0)
_CLIENT_ERRORS = (SQLAlchemyError, psycopg.Error, DeadlineExceeded)
"""What a client sees when a database fails. Anything else is a defect of ours and goes on up."""


class Client(ABC):
    """Carries out operations of one kind through one engine; one for each user."""

    kind: ClassVar[Kind]
    endpoint: ClassVar[str]

    def __init__(
        self, arm: Arm, engine: Engine, recorder: Recorder, clock: Clock | None = None
    ) -> None:
        self._arm = arm
        self._engine = engine
        self._recorder = recorder
        self._clock = clock or MonotonicClock()
        self._now = self._clock.now_ns
        self._write_id = NO_WRITE_ID
        # Where the current attempt is; read when it fails.
        self._stage = Stage.CONNECT
        self._identity = NOWHERE
        # Of the current operation; empty as long as nothing failed.
        self._failures: list[Failure] = []
        self._outcomes: list[Outcome] = []

    @abstractmethod
    def _begin(self) -> None:
        """Prepare the next operation."""

    @abstractmethod
    def _execute(self, connection: Connection) -> None:
        """Send the statements of one attempt, moving `_stage` along."""

    def perform(self, intended_ns: int) -> None:
        """Carry out one operation and record it.

        Raises:
            BaseException: what is no answer of a database (a kill, a defect), once recorded.
        """
        started_ns = self._now()
        self._begin()
        try:
            self._attempt()
        except BaseException as error:  # noqa: BLE001 - recorded first, then raised again
            self._go_on_after(error, intended_ns, started_ns)
        else:
            self._succeeded(intended_ns, started_ns)

    def _succeeded(self, intended_ns: int, started_ns: int) -> None:
        ended_ns = self._now()
        instance, backend_pid = self._identity
        failures = self._failures
        self._recorder.operations.operation(
            kind=self.kind,
            endpoint=self.endpoint,
            intended_ns=intended_ns,
            started_ns=started_ns,
            ended_ns=ended_ns,
            outcome=Outcome.OK,
            attempts=len(failures) + 1,
            instance=instance,
            write_id=self._write_id,
            backend_pid=backend_pid,
            failures=failures,
        )
        self._recorder.served.add(self.kind)

    def _go_on_after(self, error: BaseException, intended_ns: int, started_ns: int) -> None:
        """Retry as the arm does after a failed first attempt; record the operation's end."""
        self._failures, self._outcomes = [], []
        try:
            self._note(error, started_ns)
            if not isinstance(error, _CLIENT_ERRORS):
                raise error  # noqa: TRY301 - one place records every end
            retry_after(error, self._attempt_again, self._arm.retry, started_ns, self._clock)
        except BaseException as last:
            self._failed(intended_ns, started_ns, interrupted=not isinstance(last, Exception))
            if not isinstance(last, _CLIENT_ERRORS):
                raise
        else:
            self._succeeded(intended_ns, started_ns)
        finally:
            self._failures, self._outcomes = [], []

    def _attempt_again(self) -> None:
        started_ns = self._now()
        try:
            self._attempt()
        except BaseException as error:
            self._note(error, started_ns)
            raise

    def _attempt(self) -> None:
        """Make one attempt."""
        try:
            self._attempt_in_time()
        except _CLIENT_ERRORS:
            if self._stage is not Stage.ANSWERED:
                raise
            # Giving the connection back failed; the operation itself had been confirmed.

    def _attempt_in_time(self) -> None:
        """Make one attempt under the arm's deadline."""
        self._stage = Stage.CONNECT
        self._identity = NOWHERE
        deadline_s = self._arm.deadline_s
        if deadline_s is None:
            self._on_connection()
            return
        timer = gevent.Timeout.start_new(deadline_s)
        try:
            self._on_connection()
        except gevent.Timeout as expired:
            if expired is not timer:
                raise
            raise DeadlineExceeded(f"no answer within {deadline_s:g} s") from None
        finally:
            timer.close()

    def _on_connection(self) -> None:
        connection = self._engine.connect()
        try:
            self._identity = connection.info[INFO_KEY]
            self._stage = Stage.STATEMENT
            self._execute(connection)
        finally:
            connection.close()

    def _note(self, error: BaseException, started_ns: int) -> None:
        """Keep a failed attempt."""
        sqlstate = sqlstate_of(error)
        instance, backend_pid = self._identity
        self._outcomes.append(outcome_of_failure(self.kind, self._stage, sqlstate))
        self._failures.append(
            Failure(
                started_ns=started_ns,
                ended_ns=self._now(),
                error=_name(error, sqlstate),
                instance=instance,
                backend_pid=backend_pid,
            )
        )
        self._recorder.last_error = _first_line(error)

    def _failed(self, intended_ns: int, started_ns: int, *, interrupted: bool) -> None:
        last = self._failures[-1]
        self._recorder.operations.operation(
            kind=self.kind,
            endpoint=self.endpoint,
            intended_ns=intended_ns,
            started_ns=started_ns,
            ended_ns=self._now(),
            outcome=outcome_of_operation(self._outcomes),
            attempts=len(self._failures),
            instance=last.instance,
            error=STOPPED if interrupted else last.error,
            write_id=self._write_id,
            backend_pid=last.backend_pid,
            failures=self._failures,
        )


class WriteClient(Client):
    """Inserts one row with an id of its own through the cluster endpoint."""

    kind = Kind.WRITE
    endpoint = "cluster"

    def __init__(
        self,
        arm: Arm,
        engine: Engine,
        recorder: Recorder,
        *,
        table: str,
        ids: WriteIds,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(arm, engine, recorder, clock)
        self._ids = ids
        self._statement = text((WRITE_KEYED if arm.idempotent else WRITE).format(table=table))

    def _begin(self) -> None:
        self._write_id = self._ids.next()

    def _execute(self, connection: Connection) -> None:
        parameters: dict[str, Any] = {
            "arm": self._arm.name,
            "write_id": self._write_id,
            "attempt": len(self._failures) + 1,
        }
        connection.execute(self._statement, parameters)
        self._stage = Stage.COMMIT
        connection.commit()
        self._stage = Stage.ANSWERED


class ReadClient(Client):
    """Reads its arm's newest row through the reader endpoint."""

    kind = Kind.READ
    endpoint = "reader"

    def __init__(
        self,
        arm: Arm,
        engine: Engine,
        recorder: Recorder,
        *,
        table: str,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(arm, engine, recorder, clock)
        self._statement = text(READ.format(table=table))
        self._parameters = {"arm": arm.name}

    def _begin(self) -> None:
        """Do nothing: a read needs no preparation."""

    def _execute(self, connection: Connection) -> None:
        connection.execute(self._statement, self._parameters).first()


def _name(error: BaseException, sqlstate: str | None) -> str:
    if isinstance(error, DeadlineExceeded):
        return DEADLINE
    if isinstance(error, PoolTimeout):
        return POOL_TIMEOUT
    if not isinstance(error, Exception):
        return STOPPED
    original = getattr(error, "orig", None) or error
    return name_of_error(sqlstate, type(original).__name__, str(original))


def _first_line(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return (str(original).strip().splitlines() or [type(original).__name__])[0]
