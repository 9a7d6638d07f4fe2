"""The workers of a run as its master knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loadgen.distributed.channel import Channel, State
from loadgen.distributed.collecting import Sender

EXCHANGES_MIN = 12
"""Exchanges before a worker may begin: the shortest round trip of some bounds the clock's error."""


@dataclass(slots=True)
class Member:
    """One worker. `number` is 0 as long as it only asks to join."""

    worker_id: str
    channel: Channel
    sender: Sender
    host: str = ""
    number: int = 0
    state: State = State.ASKING
    recorded: int | None = None
    """How many operations its own files hold, as it said when it had handed all over."""
    heard_ns: int = 0
    lost: str = ""
    """Why it is taken to be lost; empty: it is not."""
    gone: bool = False
    """It said itself that it gives up, so it does not come back."""

    def says(self, fields: Mapping[str, Any]) -> None:
        """Take what it says that it is: its `state`, and once all is delivered its `operations`."""
        self.state = State(fields["state"])
        if self.state is State.DELIVERED:
            self.recorded = int(fields["operations"])

    @property
    def name(self) -> str:
        """How people are told of it."""
        return f"worker {self.number} ({self.host})"

    @property
    def aligned(self) -> bool:
        """Whether its clock was measured often enough to begin."""
        return self.sender.alignment.exchanges >= EXCHANGES_MIN
