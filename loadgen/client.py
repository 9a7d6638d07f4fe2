"""One user's database client: carries out one operation at a time, as its arm's code would.

An operation is one or more attempts, each on a connection from the arm's driver, in a transaction
of its own, under the arm's deadline. Whatever ends it, also the end of the process, it is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaos.clock import Clock, MonotonicClock
from chaos.model.gone import NO_SQLSTATE
from chaos.model.operation import NO_WRITE_ID, WRITING, Failure, Outcome
from loadgen.arm import Arm
from loadgen.drivers.base import NOWHERE, Driver, Seat, Trouble
from loadgen.outcome import (
    DEADLINE,
    STOPPED,
    DeadlineExceeded,
    Stage,
    outcome_of_failure,
    outcome_of_operation,
)
from loadgen.recorder import Recorder
from loadgen.retry import Tokens, retry_after
from loadgen.work import Work

Limit = Callable[[Callable[[], None], float], None]
"""Carries out a call and raises `DeadlineExceeded` when so many seconds are over."""


class Client:
    """Carries out operations of one kind through one driver; one for each user."""

    def __init__(
        self,
        arm: Arm,
        driver: Driver,
        work: Work,
        recorder: Recorder,
        *,
        clock: Clock | None = None,
        limit: Limit | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        """Make a client; without a `limit` its driver keeps the arm's deadline.

        `tokens` is the arm's retry budget, if it has one.
        """
        self.record: Callable[..., None] = recorder.operations.operation
        """Where operations go; replaced by whoever must be able to cut one off."""
        self._arm = arm
        self._tokens = tokens
        self._limit = limit if arm.deadline_s is not None else None
        self._driver = driver
        self._work = work
        self._recorder = recorder
        self._serves = (work.kind, work.endpoint)
        self._clock = clock or MonotonicClock()
        self._now = self._clock.now_ns
        self._client_errors: tuple[type[BaseException], ...] = (*driver.errors, DeadlineExceeded)
        # Of the current operation; no failures as long as nothing failed.
        self._intended_ns = self._started_ns = 0
        self._write_id = NO_WRITE_ID
        self._waited_ns = 0
        self._failures: list[Failure] = []
        self._outcomes: list[Outcome] = []
        # Where the current attempt is; read when it fails.
        self._stage = Stage.CONNECT
        self._seat = NOWHERE

    def perform(self, intended_ns: int) -> None:
        """Carry out one operation and record it.

        Raises:
            BaseException: what is no answer of a database (a kill, a defect), once recorded.
        """
        self._intended_ns = intended_ns
        self._started_ns = self._now()
        self._write_id = self._work.begin()
        self._waited_ns = 0
        try:
            self._attempt()
        except BaseException as error:
            if self._stage is Stage.ANSWERED:
                self._succeeded()
                raise
            self._go_on_after(error)
        else:
            self._succeeded()

    def cut_off(self) -> dict[str, Any]:
        """Return the record of an operation whose end nobody will wait for; for other threads.

        What it does meanwhile cannot be stopped: a write may yet be made, so it is unknown. One that
        was confirmed, and only gives its connection back, succeeded.
        """
        if self._stage is Stage.ANSWERED:
            return self._success()
        cut = Failure(
            started_ns=self._started_ns,
            ended_ns=self._now(),
            error=STOPPED,
            instance=self._seat.instance,
            backend_pid=self._seat.backend_pid,
        )
        outcome = Outcome.UNKNOWN if self._work.kind in WRITING else Outcome.FAILED
        return self._ended(outcome, cut, [*self._failures, cut], STOPPED)

    def _success(self) -> dict[str, Any]:
        return self._ended(Outcome.OK, self._seat, self._failures)

    def _ended(
        self, outcome: Outcome, at: Seat | Failure, failures: list[Failure], error: str = ""
    ) -> dict[str, Any]:
        """Return the record of the current operation, which has ended now; `at` says where."""
        ended_ns = self._now()
        work = self._work
        return {
            "kind": work.kind,
            "endpoint": work.endpoint,
            "intended_ns": self._intended_ns,
            "started_ns": self._started_ns,
            "ended_ns": ended_ns,
            "outcome": outcome,
            "attempts": len(failures) + (outcome is Outcome.OK),
            "instance": at.instance,
            "error": error,
            "write_id": self._write_id,
            "backend_pid": at.backend_pid,
            "waited_us": self._waited_ns // 1000,
            "failures": failures,
        }

    def _succeeded(self) -> None:
        self.record(**self._success())
        self._recorder.served.add(self._serves)
        self._work.acknowledged(self._write_id)
        if self._tokens is not None:
            self._tokens.put_back()
        # Of the next one, which may be cut off before its first attempt.
        self._stage = Stage.CONNECT

    def _go_on_after(self, error: BaseException) -> None:
        """Retry as the arm does after a failed first attempt; record the operation's end."""
        self._failures, self._outcomes = [], []
        try:
            self._note(error, self._started_ns)
            if not isinstance(error, self._client_errors):
                raise error  # noqa: TRY301 - one place records every end
            retry_after(
                error,
                self._attempt_again,
                self._trouble,
                retry=self._arm.retry,
                started_ns=self._started_ns,
                clock=self._clock,
                tokens=self._tokens,
            )
        except BaseException as last:
            if self._stage is Stage.ANSWERED:
                self._succeeded()
            else:
                self._failed(interrupted=not isinstance(last, Exception))
            if not isinstance(last, self._client_errors):
                raise
        else:
            self._succeeded()
        finally:
            self._failures, self._outcomes = [], []

    def _attempt_again(self) -> None:
        started_ns = self._now()
        try:
            self._attempt()
        except BaseException as error:
            if self._stage is not Stage.ANSWERED:
                self._note(error, started_ns)
            raise

    def _attempt(self) -> None:
        """Make one attempt, under the arm's deadline."""
        self._stage = Stage.CONNECT
        self._seat = NOWHERE
        try:
            if self._limit is None:
                self._on_connection()
            else:
                self._limit(self._on_connection, self._arm.deadline_s or 0.0)
        except self._client_errors:
            if self._stage is not Stage.ANSWERED:
                raise
            # Giving the connection back failed; the operation itself had been confirmed.

    def _on_connection(self) -> None:
        asked_ns = self._now()
        try:
            session = self._driver.session()
        finally:
            self._waited_ns += self._now() - asked_ns
        try:
            self._seat = session.seat
            self._stage = Stage.STATEMENT
            seen = self._work.execute(session, len(self._failures) + 1)
            if self._work.commits:
                self._stage = Stage.COMMIT
                session.commit()
            self._write_id = seen
            self._stage = Stage.ANSWERED
        finally:
            session.close()

    def _note(self, error: BaseException, started_ns: int) -> None:
        """Keep a failed attempt."""
        trouble = self._trouble(error)
        self._outcomes.append(outcome_of_failure(self._work.kind, self._stage, trouble.sqlstate))
        self._failures.append(
            Failure(
                started_ns=started_ns,
                ended_ns=self._now(),
                error=trouble.error,
                instance=self._seat.instance,
                backend_pid=self._seat.backend_pid,
            )
        )
        self._recorder.last_error = trouble.message

    def _trouble(self, error: BaseException) -> Trouble:
        if isinstance(error, DeadlineExceeded):
            return Trouble(error=DEADLINE, message=str(error), gave_up=True)
        if isinstance(error, self._driver.errors):
            return self._driver.trouble(error)
        if isinstance(error, Exception):
            return Trouble(error=f"{NO_SQLSTATE} {type(error).__name__}", message=repr(error))
        return Trouble(error=STOPPED, message="stopped")

    def _failed(self, *, interrupted: bool) -> None:
        last = self._failures[-1]
        outcome = outcome_of_operation(self._outcomes)
        error = STOPPED if interrupted else last.error
        self.record(**self._ended(outcome, last, self._failures, error))
