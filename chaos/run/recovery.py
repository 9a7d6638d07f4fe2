"""`gameday recover`: what a run that died has left is undone, and the cluster is looked at again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaos.clock import Clock
from chaos.errors import ControlPlaneError, DatabaseError, GamedayError, HostError, WaitTimeout
from chaos.model.record import FORMAT, read_events
from chaos.model.snapshot import Snapshot, differences
from chaos.model.topology import Topology
from chaos.run.journal import Journal
from chaos.run.restore import TransientError, replay
from chaos.safety.ports import Control, Restorer
from chaos.safety.undo import EndDisturbance, Undo, undo_from_json
from chaos.wait import wait_until

HEALTHY_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a journal tells of a run that ended or died.

    `unreadable` has, for each open record that this version does not know, the command that a person
    would type, as the version that wrote it put it down.
    """

    records: Mapping[str, Undo] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    before: Snapshot | None = None

    def __bool__(self) -> bool:
        """Tell whether anything is to be undone."""
        return bool(self.records or self.unreadable)


def left_by(journal: Path) -> Left:
    """Read a journal. Torn lines are passed over: they hold nothing that was acted upon."""
    records: dict[str, Undo] = {}
    unreadable: dict[str, str] = {}
    before: Snapshot | None = None
    for event in read_events(journal):
        if event.type == "undo":
            number = str(event.data["id"])
            try:
                records[number] = _record(event.data)
            except (ValidationError, KeyError, TypeError) as error:
                unreadable[number] = _unreadable(event.data, error)
        elif event.type == "undone":
            records.pop(event.data["id"], None)
            unreadable.pop(event.data["id"], None)
        elif event.type == "snapshot" and before is None:
            before = _snapshot(event.data)
    return Left(records=records, unreadable=unreadable, before=before)


def _record(data: Mapping[str, Any]) -> Undo:
    return undo_from_json({"action": data["action"], **data["parameters"]})


def _snapshot(data: Mapping[str, Any]) -> Snapshot | None:
    try:
        return Snapshot.from_json(data["snapshot"])
    except (ValidationError, KeyError, TypeError):
        return None  # Of another version: what is told then is that nothing can be compared.


def _unreadable(data: Mapping[str, Any], error: Exception) -> str:
    what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else repr(error)
    return (
        f"{data.get('action', 'a record')}: not one of record format {FORMAT} ({what}); use the "
        f"version that wrote it, or by hand: {data.get('command', 'see the journal')}"
    )


def calm(left: Left, journal: Journal, control: Control | None) -> None:
    """Take back what was asked of a test cluster's control address, before anything else is asked.

    Such a disturbance may be one of the API itself, which could not even be described then. One that
    cannot be taken back stays open, for `recover` to tell why.
    """
    journal.resume(left.records)
    for number, record in reversed(list(left.records.items())):
        if isinstance(record, EndDisturbance) and control is not None:
            with suppress(HostError):
                journal.undone(number, "taken back" if control.end(record.name) else "over already")


def recover(
    left: Left, journal: Journal, restorer: Restorer, clock: Clock, cluster: str
) -> list[str]:
    """Replay what is open in the journal, wait until the cluster is steady, compare its shapes.

    Returns:
        What is not as it was, each with its reason and, where there is one, the command.
    """
    told = replay(journal, restorer, clock, cluster)
    told += left.unreadable.values()
    unsteady = _await_steady(restorer, clock)
    if unsteady:
        told.append(unsteady)
    told += _compared(left.before, restorer)
    journal.event("recovered", left=told)
    return told


def described(topology: Callable[[], Topology], clock: Clock) -> Topology:
    """Describe the cluster, waiting while the API throttles or is away.

    Raises:
        GamedayError: it refuses for good, or has not answered in time.
    """

    def ask() -> Topology:
        try:
            return topology()
        except ControlPlaneError as error:
            if error.permanent:
                raise
            raise TransientError(str(error)) from error

    return wait_until(
        ask,
        "the cluster to be described",
        timeout_s=HEALTHY_TIMEOUT_S,
        interval_s=0.5,
        errors=(TransientError,),
        clock=clock,
    )


def _await_steady(restorer: Restorer, clock: Clock) -> str:
    """Wait until everything is available, and each instance is by SQL what the API calls it."""

    def steady() -> bool:
        topology = restorer.rds.topology()
        # By its name: a member that was created again is none that the access knows by its id.
        return topology.all_available() and all(
            restorer.database.identify(member.endpoint).role is member.role
            for member in topology.members
        )

    try:
        wait_until(
            steady,
            "every member to be available and to be by SQL what the API calls it",
            timeout_s=HEALTHY_TIMEOUT_S,
            interval_s=0.5,
            errors=(ControlPlaneError, DatabaseError),
            clock=clock,
        )
    except WaitTimeout as error:
        return str(error)
    return ""


def _compared(before: Snapshot | None, restorer: Restorer) -> list[str]:
    if before is None:
        return []  # The run died before it changed anything, or is of an older version.
    try:
        now = take(restorer)
    except GamedayError as error:
        return [f"the cluster could not be compared with its first shape: {error}"]
    return [str(difference) for difference in differences(before, now)]


def take(restorer: Restorer) -> Snapshot:
    """Return the cluster's shape now.

    Raises:
        ControlPlaneError: it cannot be described.
    """
    topology = restorer.rds.topology()
    endpoints = restorer.rds.custom_endpoints() if topology.is_cluster else ()
    return Snapshot(topology=topology, custom_endpoints=endpoints)
