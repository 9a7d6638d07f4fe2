"""The arms: client configurations as teams run them, side by side under the same fault.

An arm is data alone; `loadgen.engine` and `loadgen.retry` turn it into a client. To add one, add an
entry to `CATALOGUE`. Nothing here imports a driver, so listing the arms is cheap and harmless.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chaos.errors import DefinitionError


class RetryOn(StrEnum):
    """Which errors an arm's client tries again after."""

    OPERATIONAL_ERROR = "OperationalError"
    """What most code catches. It misses 25006, which drivers raise as an InternalError."""
    TRANSIENT = "transient"
    """Everything that may succeed elsewhere or later: lost connections, 25006, 40001, deadlines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When and how often a failed attempt is repeated; exponential waits from first to max."""

    on: RetryOn
    attempts_max: int | None
    budget_s: float | None
    """No attempt starts later than this after the operation's first one; None: no such limit."""
    wait_s_first: float
    wait_s_max: float
    jitter: bool
    """Wait a random part of the time, so that clients that failed together return one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One client configuration.

    `pool` holds keyword arguments of SQLAlchemy's `create_engine`, `connection` libpq parameters,
    `session` server settings of every connection.
    """

    name: str
    description: str
    retry: Retry
    pool: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, str | int] = field(default_factory=dict)
    session: Mapping[str, str] = field(default_factory=dict)
    read_only_is_disconnect: bool = False
    """Whether SQLSTATE 25006 makes the pool drop its connections, as a broken one does."""
    deadline_s: float | None = None
    """The client's own limit for one attempt, from the wait for a connection to the commit."""
    idempotent: bool = False
    """Whether writes carry a key that makes repeating one harmless."""

    @property
    def settings(self) -> dict[str, Any]:
        """What distinguishes the arm, for people and for reports."""
        return {
            "pool": dict(self.pool),
            "connection": dict(self.connection),
            "session": dict(self.session),
            "retry": {
                "on": self.retry.on.value,
                "attempts_max": self.retry.attempts_max,
                "budget_s": self.retry.budget_s,
                "wait_s_first": self.retry.wait_s_first,
                "wait_s_max": self.retry.wait_s_max,
                "jitter": self.retry.jitter,
            },
            "read_only_is_disconnect": self.read_only_is_disconnect,
            "deadline_s": self.deadline_s,
            "idempotent": self.idempotent,
        }


CATALOGUE: tuple[Arm, ...] = (
    Arm(
        name="default-pool",
        description="SQLAlchemy's pool and libpq's timeouts as they come; retries OperationalError",
        retry=Retry(
            on=RetryOn.OPERATIONAL_ERROR,
            attempts_max=3,
            budget_s=None,
            wait_s_first=0.1,
            wait_s_max=2.0,
            jitter=False,
        ),
    ),
    Arm(
        name="resilient",
        description="25006 drops the pool; deadlines, keepalives, keyed writes, jittered retries",
        retry=Retry(
            on=RetryOn.TRANSIENT,
            attempts_max=None,
            budget_s=30.0,
            wait_s_first=0.05,
            wait_s_max=1.0,
            jitter=True,
        ),
        # As many connections as the default at most, but kept: overflow connections are opened and
        # closed for each operation, just when a burst waits for the cluster to return.
        pool={"pool_size": 15, "max_overflow": 0, "pool_timeout": 3.0},
        # Together these notice within 3.5 s (measured) that a server went silent: after a query
        # was sent, while one is awaited, on an idle connection.
        connection={
            "connect_timeout": 3,
            "keepalives": 1,
            "keepalives_idle": 1,
            "keepalives_interval": 1,
            "keepalives_count": 5,
            "tcp_user_timeout": 3000,
        },
        # Below the client's deadline, so that the server gives up what the client will abandon.
        session={"statement_timeout": "2500", "lock_timeout": "1000"},
        read_only_is_disconnect=True,
        deadline_s=3.0,
        idempotent=True,
    ),
)


def find(name: str) -> Arm:
    """Return the arm called `name`.

    Raises:
        DefinitionError: there is none; names the nearest and all that exist.
    """
    for arm in CATALOGUE:
        if arm.name == name:
            return arm
    names = [arm.name for arm in CATALOGUE]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise DefinitionError(f"unknown arm {name!r}: {hint}arms are {', '.join(names)}")
