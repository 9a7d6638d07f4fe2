"""Replaying undo records: the one way in which anything is put back, live or after a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chaos.clock import NS, Clock
from chaos.errors import ControlPlaneError, DatabaseError, GamedayError, RunInterrupted
from chaos.model.record import read_events
from chaos.run.journal import Journal
from chaos.safety.undo import UNCHANGED, DropTables, Restorer, Undo, undo_from_json
from chaos.wait import wait_until

UNDO_TIMEOUT_S = 900.0
TABLES_TIMEOUT_S = 60.0
# So long must "nothing to do" stay true: a change that was sent just before may not show yet.
UNCHANGED_S = 3.0


def open_records(journal: Path) -> dict[str, Undo]:
    """Return the undo records of a journal that were never replayed, oldest first."""
    records: dict[str, Undo] = {}
    for event in read_events(journal):
        if event.type == "undo":
            fields = {"action": event.data["action"], **event.data["parameters"]}
            records[event.data["id"]] = undo_from_json(fields)
        elif event.type == "undone":
            records.pop(event.data["id"], None)
    return records


def replay(
    journal: Journal,
    restorer: Restorer,
    clock: Clock,
    cluster: str,
    *,
    only: Callable[[Undo], bool] = lambda _: True,
    timeout_s: float = UNDO_TIMEOUT_S,
) -> list[str]:
    """Replay the open records in reverse order, each until it is done or its time is over.

    Returns:
        What could not be undone, each with its reason and the command that a person would type.
    """
    left: list[str] = []
    for number, record in reversed(list(journal.open_undo.items())):
        if not only(record):
            continue
        tables = isinstance(record, DropTables)
        try:
            result = wait_until(
                _Settling(record, restorer, clock),
                f"{record.action} to be possible",
                timeout_s=min(timeout_s, TABLES_TIMEOUT_S) if tables else timeout_s,
                interval_s=0.2,
                errors=(TransientError,),
                clock=clock,
            )
        except RunInterrupted:
            raise
        except GamedayError as error:
            left.append(f"{record.action}: {error}; by hand: {record.command(cluster)}")
        else:
            journal.undone(number, result)
    return left


class TransientError(Exception):
    """The service may do later what it did not do now."""


class _Settling:
    """Applies one record until it is done, or until there has been nothing to do for a while."""

    def __init__(self, record: Undo, restorer: Restorer, clock: Clock) -> None:
        self._record = record
        self._restorer = restorer
        self._clock = clock
        self._unchanged_since_ns: int | None = None

    def __call__(self) -> str:
        """Apply it once; empty: call again."""
        try:
            result = self._record.apply(self._restorer)
        except DatabaseError as error:
            raise TransientError(str(error)) from error
        except ControlPlaneError as error:
            if error.permanent:
                raise
            raise TransientError(str(error)) from error
        if result != UNCHANGED:
            self._unchanged_since_ns = None
            return result
        now_ns = self._clock.now_ns()
        if self._unchanged_since_ns is None:
            self._unchanged_since_ns = now_ns
        return result if now_ns - self._unchanged_since_ns >= UNCHANGED_S * NS else ""
