"""An arm as data: which driver, which pool, which connections, what is tried again and when.

`loadgen.drivers` turns it into connections, `loadgen.retry` into repeated attempts. Nothing here
imports a driver, so describing an arm is cheap and harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any


class RetryOn(StrEnum):
    """Which errors an arm's client tries again after."""

    OPERATIONAL_ERROR = "OperationalError"
    """What most code catches. It misses 25006, which drivers raise as an InternalError."""
    TRANSIENT = "transient"
    """Everything that may succeed elsewhere or later: lost connections, 25006, 40001, deadlines."""


class Policy(StrEnum):
    """When a client tries again."""

    NONE = "none"
    """Never: the user sees every error."""
    FIXED = "fixed"
    """After the same wait each time."""
    EXPONENTIAL = "exponential"
    """After waits that double."""
    BUDGET = "budget"
    """The same, as long as the arm's tokens last: a retry takes one, successes put some back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When and how often a failed attempt is repeated."""

    policy: Policy
    on: RetryOn = RetryOn.TRANSIENT
    attempts_max: int | None = None
    """Of one operation, the first attempt included; None: no such limit."""
    elapsed_s_max: float | None = None
    """No attempt starts later than this after the operation's first one; None: no such limit."""
    wait_s_first: float = 0.0
    wait_s_max: float = 0.0
    jitter: bool = False
    """Wait a random part of the time, so that clients that failed together return one by one."""
    tokens_max: float = 0.0
    """Of a budget: how many retries in a row all users of the arm together may make."""
    tokens_per_success: float = 0.0
    """Of a budget: what each successful operation puts back; 0.1 means at most a tenth more load."""

    @classmethod
    def none(cls) -> Retry:
        """Never try again."""
        return cls(policy=Policy.NONE, attempts_max=1)

    @classmethod
    def fixed(
        cls,
        *,
        on: RetryOn = RetryOn.TRANSIENT,
        attempts_max: int | None = 3,
        wait_s: float = 0.2,
        elapsed_s_max: float | None = None,
        jitter: bool = False,
    ) -> Retry:
        """Try again after the same wait each time."""
        return cls(
            policy=Policy.FIXED,
            on=RetryOn(on),
            attempts_max=attempts_max,
            elapsed_s_max=elapsed_s_max,
            wait_s_first=wait_s,
            wait_s_max=wait_s,
            jitter=jitter,
        )

    @classmethod
    def exponential(
        cls,
        *,
        on: RetryOn = RetryOn.TRANSIENT,
        attempts_max: int | None = None,
        elapsed_s_max: float | None = 30.0,
        wait_s_first: float = 0.05,
        wait_s_max: float = 1.0,
        jitter: bool = True,
    ) -> Retry:
        """Try again after waits that double from the first to the longest."""
        return cls(
            policy=Policy.EXPONENTIAL,
            on=RetryOn(on),
            attempts_max=attempts_max,
            elapsed_s_max=elapsed_s_max,
            wait_s_first=wait_s_first,
            wait_s_max=wait_s_max,
            jitter=jitter,
        )

    @classmethod
    def budget(
        cls, *, tokens_max: float = 10.0, tokens_per_success: float = 0.1, **waits: Any
    ) -> Retry:
        """Try again as `exponential`, while there are tokens; once they are gone, fail at once."""
        return replace(
            cls.exponential(**waits),
            policy=Policy.BUDGET,
            tokens_max=tokens_max,
            tokens_per_success=tokens_per_success,
        )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Retry:
        """Return what an experiment names: `policy`, and the arguments of the method called so."""
        given = dict(settings)
        made: Retry = getattr(cls, Policy(given.pop("policy")).value)(**given)
        return made

    def share(self, of: int) -> Retry:
        """Return what each of `of` workers keeps to, so that a budget is that of all together.

        Each has one token at least, as it has one user at least: with less it could never try again.
        """
        least = min(1.0, self.tokens_max)
        return replace(self, tokens_max=max(least, self.tokens_max / of))

    @property
    def settings(self) -> dict[str, Any]:
        """What distinguishes it, for people and for reports."""
        fields = asdict(self)
        if self.policy is not Policy.BUDGET:
            del fields["tokens_max"], fields["tokens_per_success"]
        return {name: getattr(value, "value", value) for name, value in fields.items()}


class Hosts(StrEnum):
    """Which names an arm's connections are opened by."""

    ENDPOINT = "endpoint"
    """The one of the cluster or reader endpoint."""
    INSTANCES = "instances"
    """Those of every instance, which the client tries one after another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One client configuration.

    `pool` holds settings of the driver's pool, `connection` those of each connection (libpq's
    parameters, for most), `session` server settings of every connection. `writer_connection` and
    `reader_connection` are further ones of connections through the cluster endpoint and any other.
    """

    name: str
    description: str
    retry: Retry
    driver: str | Callable[..., Any] = "sqlalchemy"
    """A family (`loadgen.families`), or a class of one's own: called with a `Way`, gives a Driver."""
    pool: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    writer_connection: Mapping[str, Any] = field(default_factory=dict)
    reader_connection: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, str] = field(default_factory=dict)
    hosts: Hosts = Hosts.ENDPOINT
    read_only_is_disconnect: bool = False
    """Whether SQLSTATE 25006 makes the pool drop its connections, as a broken one does."""
    deadline_s: float | None = None
    """The client's own limit for one attempt, from the wait for a connection to the commit."""
    idempotent: bool = False
    """Whether writes carry a key that makes repeating one harmless."""
    threads: bool = False
    """Of a driver of one's own: whether it needs threads, in a process that nothing has patched."""
    saves: str = ""
    """What it is good for, in words."""
    costs: str = ""
    """What it costs or does not help against, in words."""
    sources: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The family of its driver, or `own`."""
        return self.driver if isinstance(self.driver, str) else "own"

    def connection_through(self, endpoint: str) -> dict[str, Any]:
        """Return the settings of its connections through an endpoint."""
        further = self.writer_connection if endpoint == "cluster" else self.reader_connection
        return {**self.connection, **further}

    @property
    def settings(self) -> dict[str, Any]:
        """What distinguishes the arm, for people and for reports."""
        return {
            "driver": self.family,
            "pool": dict(self.pool),
            "connection": dict(self.connection),
            "writer_connection": dict(self.writer_connection),
            "reader_connection": dict(self.reader_connection),
            "session": dict(self.session),
            "hosts": self.hosts.value,
            "retry": self.retry.settings,
            "read_only_is_disconnect": self.read_only_is_disconnect,
            "deadline_s": self.deadline_s,
            "idempotent": self.idempotent,
        }

    def changed(self, changes: Mapping[str, Any]) -> Arm:
        """Return it as an experiment changes it: `name`, `retry`, `pool`, `connection`, `deadline_s`.

        Settings of pool and connection are added to its own; one that is None goes back to what the
        library does unasked. A deadline of 0 is none.
        """
        fields: dict[str, Any] = {}
        for mapping in ("pool", "connection"):
            if changes.get(mapping):
                merged = {**getattr(self, mapping), **changes[mapping]}
                fields[mapping] = {k: v for k, v in merged.items() if v is not None}
        if changes.get("retry"):
            fields["retry"] = Retry.of(changes["retry"])
        if changes.get("deadline_s") is not None:
            fields["deadline_s"] = float(changes["deadline_s"]) or None
        if changes.get("name"):
            fields["name"] = changes["name"]
        return replace(self, **fields)
