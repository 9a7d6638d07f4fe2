"""What differs between users that are greenlets and users that are threads; the rest is shared.

Greenlets (`loadgen.users`, in a process that Locust has patched) are cheap and can be broken off at
any wait. Threads (`loadgen.threads`) carry clients that stand still or spin under gevent; a call of
theirs cannot be broken off, so their drivers keep deadlines themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chaos.clock import Clock, MonotonicClock
from chaos.model.operation import OperationWriter
from loadgen.client import Limit
from loadgen.crew import Crew
from loadgen.schedule import Arrivals

Failed = Callable[[BaseException], None]
"""Told of an error that no database gave: a defect, with which traffic must not go on."""


class Users(Protocol):
    """The users of one traffic process."""

    def start(self, crews: Sequence[Crew]) -> None:
        """Start every user of every crew."""
        ...

    def end(self, timeout_s: float) -> None:
        """End the users, whatever they are at; their operations are recorded as cut off."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How a process carries its users."""

    users: Callable[[Failed], Users]
    limit: Limit | None = None
    """None: drivers keep the deadlines of their arms."""
    clock: Clock = field(default_factory=MonotonicClock)
    """What waits between attempts sleep by."""
    arrivals: type[Arrivals] = Arrivals
    writer: type[OperationWriter] = OperationWriter
