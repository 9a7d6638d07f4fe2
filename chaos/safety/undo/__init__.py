"""Undo records, one union: what a journal may hold and `gameday recover` replays."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter

from chaos.safety.undo.base import UndoRecord
from chaos.safety.undo.cluster import (
    RestoreWriter,
    SetCapacity,
    SetEndpointMembers,
    StartCluster,
    SwitchBack,
)
from chaos.safety.undo.held import DropTables, EndDisturbance, EndSessions, ReleaseLease
from chaos.safety.undo.instances import CreateInstance, DeleteInstance, SetInstance

RECORDS: tuple[type[UndoRecord], ...] = (
    CreateInstance,
    DeleteInstance,
    SetInstance,
    SetCapacity,
    RestoreWriter,
    StartCluster,
    SetEndpointMembers,
    SwitchBack,
    DropTables,
    EndSessions,
    EndDisturbance,
    ReleaseLease,
)

if TYPE_CHECKING:  # The union grows with the records; mypy sees the base class.
    Undo = UndoRecord
else:
    Undo = Annotated[reduce(or_, RECORDS), Field(discriminator="action")]
_ADAPTER: TypeAdapter[UndoRecord] = TypeAdapter(Undo)

__all__ = [
    "RECORDS",
    "CreateInstance",
    "DeleteInstance",
    "DropTables",
    "EndDisturbance",
    "EndSessions",
    "ReleaseLease",
    "RestoreWriter",
    "SetCapacity",
    "SetEndpointMembers",
    "SetInstance",
    "StartCluster",
    "SwitchBack",
    "Undo",
    "undo_from_json",
]


def undo_from_json(fields: Mapping[str, Any]) -> UndoRecord:
    """Read an undo record of a journal.

    Raises:
        pydantic.ValidationError: it is not one of ours.
    """
    return _ADAPTER.validate_python(dict(fields))
