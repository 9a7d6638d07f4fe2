"""What a client needs of a driver: sessions, rows, commits, and what an error means.

A `Driver` is one arm's way through one endpoint, pool and all, shared by the arm's users. Each
attempt takes a `Session` from it, waiting as the arm's pool makes it wait, and gives it back. The
driver says what its errors mean (`Trouble`), so that nothing above it knows which driver it is, and
tells the recorder of every connection that it opens, closes or fails to open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from chaos.model.operation import Role

Row = Sequence[Any]
Rows = Sequence[Row]


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a connection leads to, as the server said when it was opened."""

    instance: str
    """Its identifier; its address where the server knows none."""
    backend_pid: int
    role: Role
    opened_ns: int


NOWHERE = Seat("", 0, Role.UNKNOWN, 0)
"""Of an attempt that has no connection yet."""


@dataclass(frozen=True, eq=False, slots=True)
class Statement:
    """SQL with `:name` parameters; each driver compiles it to its own style once."""

    sql: str
    rows: bool = False
    """Whether it returns rows that somebody looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What an error of a driver means."""

    error: str
    """As the records name it: `SQLSTATE Name`, `-----` where no SQLSTATE came."""
    message: str
    """Its first line, for people; never in a record."""
    sqlstate: str | None = None
    operational: bool = False
    """Whether code that catches the driver's OperationalError catches it."""
    lost: bool = False
    """Whether the connection is gone, so that another one may do."""
    gave_up: bool = False
    """Whether the client itself ended a wait: for the pool, or for an answer."""


class Session(Protocol):
    """One connection for one attempt, in a transaction of its own; not shared."""

    @property
    def seat(self) -> Seat:
        """Where it leads to."""
        ...

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        """Run a statement and return its rows; none where it returns none."""
        ...

    def commit(self) -> None:
        """Commit; an error leaves it open whether it happened."""
        ...

    def close(self) -> None:
        """Give the connection back, rolled back unless committed."""
        ...


class Driver(Protocol):
    """One arm's way through one endpoint, pool and all."""

    errors: tuple[type[BaseException], ...]
    """What a database's failure raises in it. Anything else is a defect and goes on up."""

    def session(self) -> Session:
        """Wait for a connection as the arm's pool does, and return it for one attempt."""
        ...

    def trouble(self, error: BaseException) -> Trouble:
        """Say what one of `errors` means."""
        ...

    def close(self) -> None:
        """Close every connection that nobody uses."""
        ...


@runtime_checkable
class PerUser(Protocol):
    """A driver that gives each user a way of its own, such as one connection that it keeps."""

    def for_user(self) -> Driver:
        """Return one user's way; the driver itself goes on to own its connections."""
        ...


def of_user(driver: Driver) -> Driver:
    """Return what one more user reaches the database through."""
    return driver.for_user() if isinstance(driver, PerUser) else driver
