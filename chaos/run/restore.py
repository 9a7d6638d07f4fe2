"""Replaying undo records: the one way in which anything is put back, live or after a crash."""

from __future__ import annotations

from collections.abc import Callable, Collection

from chaos.clock import NS, Clock
from chaos.errors import (
    ControlPlaneError,
    DatabaseError,
    GamedayError,
    HostError,
    RunAborted,
    RunInterrupted,
)
from chaos.run.journal import Journal
from chaos.safety.ports import Restorer
from chaos.safety.undo import DropTables, Undo
from chaos.safety.undo.base import Look, State
from chaos.wait import wait_until

UNDO_TIMEOUT_S = 900.0
TABLES_TIMEOUT_S = 60.0
SEND_AGAIN_S = 15.0
"""A request that shows no effect for so long is sent again: services accept and forget."""


def replay(
    journal: Journal,
    restorer: Restorer,
    clock: Clock,
    cluster: str,
    *,
    only: Collection[str] | None = None,
    timeout_s: float = UNDO_TIMEOUT_S,
    sent: Callable[[], None] = lambda: None,
) -> list[str]:
    """Replay the open records in reverse order, each until it is right or its time is over.

    One that could not even be requested is looked at once more after the others.

    Args:
        journal: holds the open records, and is told of each that was replayed.
        restorer: what they act through.
        clock: bounds the waits.
        cluster: identifier, for the commands that are told.
        only: ids of the records to replay; None: all.
        timeout_s: seconds for each record.
        sent: called when a request was made, so that recovery is under way.

    Returns:
        What could not be undone, each with its reason and the command that a person would type.
    """
    left: dict[str, str] = {}
    waited: list[str] = []
    open_undo = journal.open_undo

    def attempt(number: str) -> None:
        record = open_undo[number]
        settling = _Settling(record, restorer, clock, sent)
        tables = isinstance(record, DropTables)
        try:
            result = wait_until(
                settling,
                f"{record.action} to be done",
                timeout_s=min(timeout_s, TABLES_TIMEOUT_S) if tables else timeout_s,
                interval_s=0.2,
                errors=(TransientError,),
                clock=clock,
            )
        except (RunInterrupted, RunAborted):
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours must not keep the others open
            told = str(error) if isinstance(error, GamedayError) else f"our own error, {error!r}"
            left[number] = (
                f"{record.action}: {told}{settling.why}; by hand: {record.command(cluster)}"
            )
            if settling.is_waiting:
                waited.append(number)
        else:
            journal.undone(number, result)
            left.pop(number, None)

    for number in reversed(list(open_undo)):
        if only is None or number in only:
            attempt(number)
    # What was in their way may have been undone since.
    for number in [n for n in waited if _is_needed(open_undo[n], restorer)]:
        attempt(number)
    return list(left.values())


def _is_needed(record: Undo, restorer: Restorer) -> bool:
    try:
        return record.look(restorer).state is State.NEEDED
    except (ControlPlaneError, DatabaseError, HostError):
        return False  # It is told already that it was not done, and why.


class TransientError(Exception):
    """The service may do later what it did not do now."""


class _Settling:
    """Brings one record about: looks, sends what is needed, looks until it is right."""

    def __init__(
        self, record: Undo, restorer: Restorer, clock: Clock, sent: Callable[[], None]
    ) -> None:
        self._record = record
        self._sent = sent
        self._restorer = restorer
        self._clock = clock
        self._right_since_ns: int | None = None
        self._sent_ns: int | None = None
        self._look = Look(State.NEEDED)

    @property
    def is_waiting(self) -> bool:
        """Whether the last look said that nothing can be sent now."""
        return self._look.state is State.WAITING

    @property
    def why(self) -> str:
        """What the last look said, as the end of an error."""
        return f" ({self._look.why})" if self._look.why else ""

    def __call__(self) -> str:
        """Look once, send if needed; empty: call again."""
        try:
            return self._step()
        except (DatabaseError, HostError) as error:
            raise TransientError(str(error)) from error
        except ControlPlaneError as error:
            if error.permanent:
                raise
            raise TransientError(str(error)) from error

    def _step(self) -> str:
        now_ns = self._clock.now_ns()
        look = self._look = self._record.look(self._restorer)
        if look.state is State.LEFT:
            return f"left alone: {look.why}"
        if look.state is State.RIGHT:
            if self._sent_ns is not None:
                return "restored"
            if self._right_since_ns is None:
                self._right_since_ns = now_ns
            settled = now_ns - self._right_since_ns >= self._record.settles_s * NS
            return "is right already" if settled else ""
        self._right_since_ns = None
        due = self._sent_ns is None or now_ns - self._sent_ns >= SEND_AGAIN_S * NS
        if look.state is State.NEEDED and due:
            self._sent_ns = now_ns
            self._record.send(self._restorer)
            self._sent()
            if self._record.done_when_sent:
                return "done"
        return ""
