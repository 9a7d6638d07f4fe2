"""The form of an undo record: the inverse of a change, on disk before the change.

It is replayed after a crash against a cluster that may have moved on: `look` only reads, and tells
whether anything is to be done; `send` makes the one request. Who replays them (`chaos.run.restore`)
looks until it is right, and sends again where the service forgot.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from chaos.safety.calls import Call
from chaos.safety.ports import Restorer


class State(StrEnum):
    """What a look at the cluster tells about one record."""

    RIGHT = "right"
    NEEDED = "needed"
    WAITING = "waiting"
    """The service is at it, or must first finish something else."""
    LEFT = "left"
    """It is not ours any more: somebody else has changed it since."""


@dataclass(frozen=True, slots=True)
class Look:
    """A state and, where it is not self-evident, why."""

    state: State
    why: str = ""


RIGHT = Look(State.RIGHT)
NEEDED = Look(State.NEEDED)


def waiting(why: str) -> Look:
    """Return that nothing can be sent now."""
    return Look(State.WAITING, why)


def left(why: str) -> Look:
    """Return that it is left alone for good."""
    return Look(State.LEFT, why)


class UndoRecord(BaseModel):
    """One inverse. `action` names its kind in the journal; the other fields are its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settles_s: ClassVar[float] = 3.0
    """So long must `right` stay true where nothing was sent: a change that was sent just before a
    crash may not show yet."""

    done_when_sent: ClassVar[bool] = False
    """Whether an answered request is the proof, so that no look is needed after it."""

    action: str

    @abstractmethod
    def command(self, cluster: str) -> str:
        """Return what a person would type."""

    def calls(self) -> tuple[Call, ...]:
        """Return the changing API calls of `send`."""
        return ()

    @abstractmethod
    def look(self, restorer: Restorer) -> Look:
        """Read, and tell what is to be done.

        Raises:
            ControlPlaneError, DatabaseError, HostError: it could not be read now.
        """

    @abstractmethod
    def send(self, restorer: Restorer) -> None:
        """Make the request, once.

        Raises:
            ControlPlaneError, DatabaseError, HostError: it was refused or not answered.
        """
