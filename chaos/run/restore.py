"""Replaying undo records: the one way in which anything is put back, live or after a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chaos.clock import Clock
from chaos.errors import ControlPlaneError, DatabaseError, GamedayError
from chaos.model.record import read_events
from chaos.run.journal import Journal
from chaos.safety.undo import Restorer, Undo, undo_from_json
from chaos.wait import wait_until

UNDO_TIMEOUT_S = 900.0


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
        try:
            result = wait_until(
                lambda record=record: record.apply(restorer),  # type: ignore[misc]
                f"{record.action} to be possible",
                timeout_s=timeout_s,
                interval_s=0.2,
                errors=(ControlPlaneError, DatabaseError),
                clock=clock,
            )
        except GamedayError as error:
            left.append(f"{record.action} failed: {error}; by hand: {record.command(cluster)}")
        else:
            journal.undone(number, result)
    return left
