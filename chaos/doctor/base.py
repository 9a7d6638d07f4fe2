"""What the doctor sees, what a rule is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from chaos.model.topology import Topology

Seen = TypeVar("Seen")


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    ADVICE = "advice"
    PROBLEM = "problem"
    """It will hurt in a failover: the doctor's exit code is 1."""

    @property
    def weight(self) -> int:
        """Grow with the level."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says of one subject; `fix` is what to type or to set, empty where all is well."""

    rule: str
    level: Level
    subject: str
    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A cluster: by the API, by its name server, by its own settings.

    `ttl_s` has the TTL of each endpoint's answer, None where it did not answer. `parameters` are those
    of the cluster's parameter group, `settings` what the writer says by SQL.
    """

    topology: Topology
    ttl_s: Mapping[str, int | None] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    endpoints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client's settings: an arm of the catalogue, or a connection string of somebody's own.

    `connection` are libpq parameters without the password. `pool` is None where it is not known
    whether there is one, and so are the fields that default to None.
    """

    name: str
    connection: Mapping[str, Any]
    pool: Mapping[str, Any] | None = None
    session: Mapping[str, str] = field(default_factory=dict)
    read_only_is_disconnect: bool | None = None
    deadline_s: float | None = None
    retry: Mapping[str, Any] | None = None
    idempotent: bool | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """The cluster's endpoints by name, where a cluster was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """This machine: installed client libraries, kernel settings, what caches names."""

    versions: Mapping[str, str] = field(default_factory=dict)
    sysctl: Mapping[str, int] = field(default_factory=dict)
    caching: tuple[str, ...] = ()
    """Programs found that cache DNS answers."""


Advice = tuple[Level, str, str, str]
"""Level, subject, what, fix."""


def problem(subject: str, what: str, fix: str) -> Advice:
    """Return what will hurt in a failover."""
    return Level.PROBLEM, subject, what, fix


def advice(subject: str, what: str, fix: str) -> Advice:
    """Return what could be better."""
    return Level.ADVICE, subject, what, fix


@dataclass(frozen=True, slots=True)
class Rule(Generic[Seen]):
    """One thing that is looked at; `look` yields what is wrong, nothing where all is well."""

    name: str
    summary: str
    look: Callable[[Seen], Iterable[Advice]]

    def findings(self, seen: Seen) -> Iterator[Finding]:
        """Yield what is wrong, or that all is well."""
        found = [
            Finding(rule=self.name, level=level, subject=subject, what=what, fix=fix)
            for level, subject, what, fix in self.look(seen)
        ]
        subject = getattr(seen, "name", "")
        yield from found or (
            Finding(rule=self.name, level=Level.OK, subject=subject, what=self.summary),
        )


def worst(findings: Iterable[Finding]) -> Level:
    """Return the highest level among findings."""
    return max((f.level for f in findings), key=lambda level: level.weight, default=Level.OK)
