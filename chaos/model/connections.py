"""The connections of an arm: where each really sat, from when to when, what it carried.

The log (chaos/model/operation.py) says of each connection which instance answered on it, whatever
name it was asked for; operations and attempts bear instance and backend process, so what a connection
served or refused follows. A backend's process id comes again, so a connection is (instance, process,
opened at), and an attempt belongs to the last such one that was open before the attempt ended.

One that its client never closed lives on to the end of the recording: an idle one, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.model.access import OF_CLUSTER
from chaos.model.history import History, OperationLog, Records
from chaos.model.operation import READ_ONLY, ConnectionEvent, Outcome

Instants = NDArray[np.int64]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]

STILL_OPEN = np.iinfo(np.int64).max
"""When a connection was closed of which the log tells no end."""
NO_CONNECTION = -1
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Failures:
    """Attempts that did not succeed as columns; `owner` is the row of their connection, or -1."""

    owner: NDArray[np.int32]
    operation: NDArray[np.int64]
    """Position of the operation in the arm's log."""
    started: Instants
    """Start of the operation, where the attempt was not told by itself."""
    ended: Instants
    read_only: Flags
    """Whether the server refused it as a write on a reader."""


@dataclass(frozen=True)
class Connections:
    """One arm's connections as columns in the order in which they were ready; names as numbers."""

    log: OperationLog
    began: Instants
    """Start of connecting."""
    opened: Instants
    closed: Instants
    """`STILL_OPEN` while the log tells of no end."""
    opens: Records
    """The log's records of their opening: backend process, endpoint, instance, address, role."""
    failures: Records
    """The log's records of connections that never came to be; `address` names the error."""
    book: Mapping[str, str] = field(default_factory=dict)
    """Which instance each address belongs to: a server that is not Aurora tells its address only."""

    @classmethod
    def of(cls, log: OperationLog, book: Mapping[str, str] | None = None) -> Connections:
        """Read an arm's connection log; `book` is what `addresses` tells."""
        told = log.connections
        opens = told[told["event"] == ConnectionEvent.OPENED]
        opens = opens[np.argsort(opens["at_ns"], kind="stable")]
        closes = told[told["event"] == ConnectionEvent.CLOSED]
        return cls(
            log=log,
            began=np.ascontiguousarray(opens["began_ns"]),
            opened=np.ascontiguousarray(opens["at_ns"]),
            closed=_closed(opens, closes),
            opens=opens,
            failures=told[told["event"] == ConnectionEvent.FAILED],
            book=book or {},
        )

    def __len__(self) -> int:
        return len(self.opens)

    def through(self, endpoint: str) -> Flags:
        """Tell which were opened through an endpoint."""
        return self._named("endpoint", endpoint)

    def on(self, instance: str) -> Flags:
        """Tell which sit on an instance, by its name or by its address."""
        seats = np.unique(self.opens["instance"])
        named = [n for n in seats if instance in {self.log.names[n], self._instance_of(n)}]
        return np.isin(self.opens["instance"], named)

    def instances(self, rows: Any = slice(None)) -> tuple[str, ...]:
        """Return the instances on which any of them sat, or any of some rows."""
        seats = np.unique(self.opens["instance"][rows])
        return tuple(sorted({self._instance_of(n) for n in seats}))

    def _instance_of(self, number: int) -> str:
        name = self.log.names[number]
        return self.book.get(name, name)

    def live_at(self, at_ns: int) -> Flags:
        """Tell which were open at an instant."""
        return np.asarray((self.opened <= at_ns) & (self.closed > at_ns))

    def age_s(self, at_ns: int) -> NDArray[np.float64]:
        """Return how long each had been open at an instant, in seconds; 0 before it was."""
        end = np.minimum(self.closed, at_ns)
        return np.asarray(np.maximum(end - self.opened, 0) / 1e9)

    @cached_property
    def failed(self) -> Failures:
        """Every attempt that failed with the connection that it sat on."""
        return _failed(self)

    def carried(self) -> tuple[Counts, Counts, Counts]:
        """Return how many attempts succeeded, failed, were refused as read-only, by connection."""
        failed, count = self.failed, len(self)
        known = failed.owner >= 0
        return (
            self.served(np.zeros(count, np.int64)),
            np.bincount(failed.owner[known], minlength=count),
            np.bincount(failed.owner[known & failed.read_only], minlength=count),
        )

    def served(self, since: Instants) -> Counts:
        """Return how many operations ended well on each connection since an instant of its own."""
        counts = np.zeros(len(self), dtype=np.int64)
        operations, owners = self.log.operations, self._owners
        for piece in _pieces(len(owners)):
            owner, part = owners[piece], operations[piece]
            kept = (owner >= 0) & (part["outcome"] == Outcome.OK)
            owner = owner[kept]
            owner = owner[part["ended_ns"][kept] >= since[owner]]
            counts += np.bincount(owner, minlength=len(self))
        return counts

    @cached_property
    def _owners(self) -> NDArray[np.int32]:
        """Return the row of the connection of each operation's last attempt, or -1."""
        operations = self.log.operations
        owners = np.empty(len(operations), dtype=np.int32)
        for piece in _pieces(len(operations)):
            part = operations[piece]
            owners[piece] = self.owner_of(part["instance"], part["backend_pid"], part["ended_ns"])
        return owners

    @cached_property
    def _by_seat(self) -> tuple[NDArray[np.int64], Instants, NDArray[np.intp]]:
        """Return seats and openings in the order of both, and their rows."""
        seats = _seat(self.opens["instance"], self.opens["backend_pid"])
        order = np.lexsort((self.opened, seats))
        return seats[order], self.opened[order], order

    def owner_of(
        self, instance: NDArray[Any], pid: NDArray[Any], ended: Instants
    ) -> NDArray[np.int32]:
        """Return the row of the connection that each attempt sat on; `NO_CONNECTION` if unknown."""
        if not len(self):
            return np.full(len(ended), NO_CONNECTION, dtype=np.int32)
        seats, opened, order = self._by_seat
        wanted = _seat(instance, pid)
        low, high = np.searchsorted(seats, wanted), np.searchsorted(seats, wanted, side="right")
        place = high - 1
        for use in np.flatnonzero((high - low > 1) & (opened[place] > ended)):
            # Its process id came again later.
            group = opened[low[use] : high[use]]
            place[use] = low[use] + np.searchsorted(group, ended[use], side="right") - 1
        known = (place >= low) & (opened[place] <= ended) & (pid > 0)
        return np.where(known, order[place], NO_CONNECTION).astype(np.int32)

    def _named(self, column: str, name: str) -> Flags:
        if name not in self.log.names:
            return np.zeros(len(self), dtype=bool)
        return np.asarray(self.opens[column] == self.log.names.index(name))


def changes(opened: Instants, closed: Instants) -> tuple[Instants, Counts]:
    """Return the instants at which the number of live connections changes, and it from each on."""
    ends = closed[closed != STILL_OPEN]
    at = np.concatenate([opened, ends])
    steps = np.concatenate([np.ones(len(opened), np.int64), -np.ones(len(ends), np.int64)])
    order = np.argsort(at, kind="stable")
    at, counts = at[order], np.cumsum(steps[order])
    last = np.append(at[1:] != at[:-1], np.True_)[: len(at)]
    return at[last], counts[last]


def addresses(history: History) -> Mapping[str, str]:
    """Return which instance each address was seen to belong to, by the probes and by connections.

    Where a server told its address instead of a name, that and the address that was connected to
    (they differ behind a translation) are the instance's that the probes found at either.
    """
    book: dict[str, str] = {}
    for seen in history.of_kind("dns"):
        instance = seen.value if seen.subject in OF_CLUSTER else seen.subject
        for address in map(str, seen.detail.get("addresses") or ()):
            if instance and "," not in instance and not _is_address(instance):
                book[address] = instance
    for log in history.arms.values():
        for pair in np.unique(log.connections[["address", "instance"]]):
            address, instance = (log.names[number] for number in pair)
            if not address or not instance:
                continue
            if not _is_address(instance):
                book[address] = instance
            elif address in book:
                book.setdefault(instance, book[address])
            elif instance in book:
                book[address] = book[instance]
    return book


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _closed(opens: Records, closes: Records) -> Instants:
    """Return when each connection was closed: a closing tells when its connection was opened."""
    opening = np.concatenate([opens["at_ns"], closes["began_ns"]])
    keys = (
        np.arange(len(opening)) >= len(opens),
        opening,
        np.concatenate([opens["backend_pid"], closes["backend_pid"]]),
        np.concatenate([opens["instance"], closes["instance"]]),
    )
    order = np.lexsort(keys)
    here, following = order[:-1], order[1:]
    same = (here < len(opens)) & (following >= len(opens))
    for key in keys[1:]:
        same &= key[here] == key[following]
    closed = np.full(len(opens), STILL_OPEN, dtype=np.int64)
    closed[here[same]] = closes["at_ns"][following[same] - len(opens)]
    return closed


def _failed(found: Connections) -> Failures:
    """Return the attempts told one by one, and operations that failed without any told."""
    operations, attempts = found.log.operations, found.log.attempts
    attempts = attempts[attempts["operation"] < len(operations)]
    alone = (operations["outcome"] != Outcome.OK) & (operations["attempts"] > 0)
    alone[attempts["operation"]] = False
    rest = np.flatnonzero(alone)
    last = operations[rest]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([attempts[name], last[name]])

    codes = [n for n, name in enumerate(found.log.names) if name.startswith(READ_ONLY)]
    return Failures(
        owner=found.owner_of(column("instance"), column("backend_pid"), column("ended_ns")),
        operation=np.concatenate([attempts["operation"], rest]),
        started=column("started_ns"),
        ended=column("ended_ns"),
        read_only=np.isin(column("error"), codes),
    )


def _pieces(count: int) -> Iterator[slice]:
    """Yield parts of so many operations, so that what is needed beside an answer stays small."""
    return (slice(first, first + _PIECE) for first in range(0, count, _PIECE))


def _seat(instance: NDArray[Any], pid: NDArray[Any]) -> NDArray[np.int64]:
    return instance.astype(np.int64) << 32 | pid.astype(np.int64)
