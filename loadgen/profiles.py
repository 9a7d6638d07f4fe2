"""The profiles: what an application asks its database, as streams with shares of the arm's rate.

A profile is data alone; `loadgen.streams` turns it into work. To add one, add an entry to
`CATALOGUE`. Nothing here imports a driver, so listing the profiles is cheap and harmless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from chaos.errors import DefinitionError, nearest
from chaos.model.operation import Kind
from chaos.model.shape import Shape
from loadgen.config import ArmTraffic
from loadgen.tables import CONFIRM, MOVE, READ, READ_SUM, READ_TOLD, ROW, WRITE


class Task(StrEnum):
    """What one operation of a stream does."""

    INSERT_ROW = "inserts one row"
    READ_NEWEST = "reads the arm's newest row"
    READ_TOLD = "reads what the arm was told is committed, by its key"
    READ_INSERT_UPDATE = "reads, inserts and updates a row in one transaction"
    TRANSFER = "moves money between two accounts and notes it down, in one transaction"
    SUM_BALANCES = "adds up every balance in one statement"


STATEMENTS: Mapping[Task, tuple[str, ...]] = {
    Task.INSERT_ROW: (WRITE,),
    Task.READ_NEWEST: (READ,),
    Task.READ_TOLD: (READ_TOLD,),
    Task.READ_INSERT_UPDATE: (READ, ROW, CONFIRM),
    Task.TRANSFER: (ROW, MOVE, MOVE),
    Task.SUM_BALANCES: (READ_SUM,),
}
"""The SQL of each; an idempotent arm's inserts do nothing where the key is there already."""


@dataclass(frozen=True, slots=True)
class StreamOf:
    """One stream of a profile: a kind of operation on an endpoint, with a share of the rate."""

    kind: Kind
    endpoint: str
    task: Task
    share: float

    @property
    def name(self) -> str:
        """The stream as records and reports call it: `cluster write`."""
        return f"{self.endpoint} {self.kind.name.lower()}"


@dataclass(frozen=True, slots=True)
class Profile:
    """What one application asks; the shares of its streams add up to 1."""

    name: str
    description: str
    streams: tuple[StreamOf, ...]

    def __post_init__(self) -> None:
        assert math.isclose(sum(stream.share for stream in self.streams), 1.0)

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Endpoint and kind of operation of each stream: `cluster write`."""
        return tuple(stream.name for stream in self.streams)

    @property
    def moves_money(self) -> bool:
        """Whether its arms need accounts."""
        return any(stream.task is Task.TRANSFER for stream in self.streams)


def _writes(share: float) -> StreamOf:
    return StreamOf(Kind.WRITE, "cluster", Task.INSERT_ROW, share)


def _reads(share: float) -> StreamOf:
    return StreamOf(Kind.READ, "reader", Task.READ_NEWEST, share)


DEFAULT = "oltp-small"
CATALOGUE: tuple[Profile, ...] = (
    Profile(
        DEFAULT,
        "small writes to the cluster endpoint, small reads from the reader endpoint, half and half",
        (_writes(0.5), _reads(0.5)),
    ),
    Profile("read-heavy", "nine reads for each write", (_writes(0.1), _reads(0.9))),
    Profile("write-heavy", "nine writes for each read", (_writes(0.9), _reads(0.1))),
    Profile(
        "read-your-writes",
        "looks for what it was told is committed, through both endpoints",
        (
            _writes(0.2),
            StreamOf(Kind.READ, "reader", Task.READ_TOLD, 0.4),
            StreamOf(Kind.READ, "cluster", Task.READ_TOLD, 0.4),
        ),
    ),
    Profile(
        "transactions",
        "several statements to a transaction, and reads beside them",
        (StreamOf(Kind.TRANSACTION, "cluster", Task.READ_INSERT_UPDATE, 0.5), _reads(0.5)),
    ),
    Profile(
        "bank-transfer",
        "transfers between accounts whose balances must add up to the same sum for ever",
        (
            StreamOf(Kind.TRANSACTION, "cluster", Task.TRANSFER, 0.75),
            StreamOf(Kind.READ, "reader", Task.SUM_BALANCES, 0.25),
        ),
    ),
)
PROFILE_NAMES = tuple(profile.name for profile in CATALOGUE)


def find(name: str) -> Profile:
    """Return the profile called `name`.

    Raises:
        DefinitionError: there is none; names the nearest and all that exist.
    """
    for profile in CATALOGUE:
        if profile.name == name:
            return profile
    raise DefinitionError(
        f"unknown profile {name!r}; profiles are {', '.join(PROFILE_NAMES)}"
        f"{nearest(name, PROFILE_NAMES)}"
    )


def require_users(traffic: ArmTraffic) -> None:
    """Hold the users of an arm to what its rate needs of them, even if answers took no time at all.

    Raises:
        DefinitionError: it has no traffic, or users who think are not back in time for it.
    """
    found = rates(traffic)
    if traffic.users < 1 or not found:
        raise DefinitionError(f"arm {traffic.arm} has no traffic; give it users and a rate above 0")
    highest = max(factor for _, factor in Shape.of(traffic.shape).knots)
    stream = max(found, key=lambda s: found[s])
    needed = math.ceil(found[stream] * highest * traffic.think_time_s)
    if traffic.users < needed:
        raise DefinitionError(
            f"arm {traffic.arm}: {traffic.users} users who think for {traffic.think_time_s:g} s cannot "
            f"carry out {found[stream] * highest:g} {stream.name}s per second; give it {needed} users "
            f"or more"
        )


def rates(traffic: ArmTraffic) -> dict[StreamOf, float]:
    """Return the arrivals per second of each stream of an arm; those without any are left out.

    Raises:
        DefinitionError: there is no such profile.
    """
    streams = find(traffic.profile).streams
    if traffic.operations_per_s is not None:
        found = {stream: stream.share * traffic.operations_per_s for stream in streams}
    else:
        by_kind = {Kind.WRITE: traffic.writes_per_s, Kind.READ: traffic.reads_per_s}
        found = {stream: by_kind.get(stream.kind, 0.0) for stream in streams}
    return {stream: rate for stream, rate in found.items() if rate > 0}
