"""One user's database client: carries out one operation at a time, as its arm's code would.

An operation is one or more attempts, each on a connection from the arm's driver, in a transaction
of its own, under the arm's deadline. Whatever ends it, also the end of the process, it is recorded.
"""

from __future__ import annotations

import gevent

from chaos.clock import Clock, MonotonicClock
from chaos.model.operation import NO_WRITE_ID, Failure, Outcome
from loadgen.arms import Arm
from loadgen.drivers.base import NOWHERE, Driver, Trouble
from loadgen.outcome import (
    DEADLINE,
    NO_SQLSTATE,
    STOPPED,
    DeadlineExceeded,
    Stage,
    outcome_of_failure,
    outcome_of_operation,
)
from loadgen.recorder import Recorder
from loadgen.retry import retry_after
from loadgen.work import Work


class Client:
    """Carries out operations of one kind through one driver; one for each user."""

    def __init__(
        self,
        arm: Arm,
        driver: Driver,
        work: Work,
        recorder: Recorder,
        clock: Clock | None = None,
    ) -> None:
        self._arm = arm
        self._driver = driver
        self._work = work
        self._recorder = recorder
        self._serves = (work.kind, work.endpoint)
        self._clock = clock or MonotonicClock()
        self._now = self._clock.now_ns
        self._client_errors: tuple[type[BaseException], ...] = (*driver.errors, DeadlineExceeded)
        # Of the current operation; no failures as long as nothing failed.
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
        started_ns = self._now()
        self._write_id = self._work.begin()
        self._waited_ns = 0
        try:
            self._attempt()
        except BaseException as error:  # noqa: BLE001 - recorded first, then raised again
            self._go_on_after(error, intended_ns, started_ns)
        else:
            self._succeeded(intended_ns, started_ns)

    def _succeeded(self, intended_ns: int, started_ns: int) -> None:
        ended_ns = self._now()
        work, seat, failures = self._work, self._seat, self._failures
        self._recorder.operations.operation(
            kind=work.kind,
            endpoint=work.endpoint,
            intended_ns=intended_ns,
            started_ns=started_ns,
            ended_ns=ended_ns,
            outcome=Outcome.OK,
            attempts=len(failures) + 1,
            instance=seat.instance,
            write_id=self._write_id,
            backend_pid=seat.backend_pid,
            waited_us=self._waited_ns // 1000,
            failures=failures,
        )
        self._recorder.served.add(self._serves)

    def _go_on_after(self, error: BaseException, intended_ns: int, started_ns: int) -> None:
        """Retry as the arm does after a failed first attempt; record the operation's end."""
        self._failures, self._outcomes = [], []
        try:
            self._note(error, started_ns)
            if not isinstance(error, self._client_errors):
                raise error  # noqa: TRY301 - one place records every end
            retry_after(
                error,
                self._attempt_again,
                self._trouble,
                retry=self._arm.retry,
                started_ns=started_ns,
                clock=self._clock,
            )
        except BaseException as last:
            self._failed(intended_ns, started_ns, interrupted=not isinstance(last, Exception))
            if not isinstance(last, self._client_errors):
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
        except self._client_errors:
            if self._stage is not Stage.ANSWERED:
                raise
            # Giving the connection back failed; the operation itself had been confirmed.

    def _attempt_in_time(self) -> None:
        """Make one attempt under the arm's deadline."""
        self._stage = Stage.CONNECT
        self._seat = NOWHERE
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
            self._stage = Stage.ANSWERED
            self._write_id = seen
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

    def _failed(self, intended_ns: int, started_ns: int, *, interrupted: bool) -> None:
        last = self._failures[-1]
        self._recorder.operations.operation(
            kind=self._work.kind,
            endpoint=self._work.endpoint,
            intended_ns=intended_ns,
            started_ns=started_ns,
            ended_ns=self._now(),
            outcome=outcome_of_operation(self._outcomes),
            attempts=len(self._failures),
            instance=last.instance,
            error=STOPPED if interrupted else last.error,
            write_id=self._write_id,
            backend_pid=last.backend_pid,
            waited_us=self._waited_ns // 1000,
            failures=self._failures,
        )
