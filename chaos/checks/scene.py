"""One injection and what its instants ask of the recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from chaos.checks.injections import Injection
from chaos.checks.recording import Recording, in_period
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.history import OperationLog, writing
from chaos.model.operation import Kind, Outcome
from chaos.model.record import Observation

CLUSTER = "cluster"


class About(TypedDict, total=False):
    """What an instant is about, where that applies."""

    arm: str
    endpoint: str
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A named instant, in seconds since the run's origin; `at_s` is None where `why` says so."""

    name: str
    at_s: float | None
    uncertainty_s: float | None = None
    source: str = ""
    """journal | api | sql | dns | operations | cloudwatch."""
    why: str = ""
    arm: str = ""
    endpoint: str = ""
    instance: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as `verdict.json` holds it: what does not apply is left out."""
        fields: dict[str, Any] = {
            "name": self.name,
            "at_s": self.at_s,
            "uncertainty_s": self.uncertainty_s,
            "source": self.source,
        }
        for name in ("why", "arm", "endpoint", "instance"):
            if value := getattr(self, name):
                fields[name] = value
        return fields


@dataclass(frozen=True, slots=True)
class Successes:
    """Some of an arm's operations that succeeded, by their positions in its log."""

    arm: str
    log: OperationLog
    positions: NDArray[np.intp]

    def first(self) -> tuple[int, int] | None:
        """Return the first that returned: start of the try that succeeded, and return."""
        return self._try(np.argmin) if len(self.positions) else None

    def last(self) -> tuple[int, int] | None:
        """Return the last that returned, likewise."""
        return self._try(np.argmax) if len(self.positions) else None

    def _try(self, choose: Callable[[NDArray[np.int64]], np.intp]) -> tuple[int, int]:
        operations, attempts = self.log.operations, self.log.attempts
        position = self.positions[choose(bulk.taken(operations["ended_ns"], self.positions))]
        failed = attempts["ended_ns"][attempts["operation"] == position]
        started = int(operations["started_ns"][position])
        return int(failed.max(initial=started)), int(operations["ended_ns"][position])


@dataclass(frozen=True)
class Scene:
    """One injection and the questions that its instants ask of the recording."""

    recording: Recording
    injection: Injection

    @property
    def targets(self) -> tuple[str, ...]:
        """What was disturbed, or asked to be where that is not known."""
        return tuple((self.injection.actual_target or self.injection.requested_target).split(", "))

    @cached_property
    def old_writer(self) -> str:
        """The writer before the injection, by the API, else by SQL."""
        before = self.injection.requested_ns
        named = [w for w in self.recording.state("writer", before).values() if w]
        roles = self.recording.state("role", before).items()
        return next(iter(named), next((i for i, role in roles if role == "writer"), ""))

    @cached_property
    def new_writer(self) -> str:
        """The writer that took over by the end of the period; empty where none did."""
        named = [o.value for o in self.seen("writer") if o.value not in {"", self.old_writer}]
        by_sql = [
            o.subject
            for o in self.seen("role")
            if o.value == "writer" and o.subject != self.old_writer
        ]
        return next(iter(named or by_sql), "")

    def seen(self, kind: str, subject: str | None = None) -> Iterator[Observation]:
        """Yield what was observed in the period of the injection."""
        since, until = self.injection.requested_ns, self.injection.until_ns
        return (o for o in self.recording.observed(kind, subject) if since <= o.at_ns < until)

    def missing(self, name: str, why: str, **about: Unpack[About]) -> Instant:
        """Return an instant that nothing shows."""
        return replace(Instant(name=name, at_s=None, why=why), **about)

    def at(
        self, name: str, since_ns: int, at_ns: int, source: str, **about: Unpack[About]
    ) -> Instant:
        """Return an instant that lies between two."""
        instant = Instant(
            name=name,
            at_s=self.recording.seconds(at_ns),
            uncertainty_s=(at_ns - since_ns) / NS,
            source=source,
        )
        return replace(instant, **about)

    def felt(self, name: str, since_ns: int, at_ns: int, **about: Unpack[About]) -> Instant:
        """Return an instant that an arm's own operations show, by clocks that may be wrong."""
        error_ns = self.recording.history.arms[about["arm"]].clock_error_ns
        return self.at(name, since_ns - error_ns, at_ns + error_ns, "operations", **about)

    def change(
        self, name: str, found: Iterable[Observation], source: str, why: str, **about: Unpack[About]
    ) -> Instant:
        """Return the first of some observations as an instant."""
        first = next(iter(found), None)
        if first is None:
            return self.missing(name, why, **about)
        since = self.injection.requested_ns if first.since_ns is None else first.since_ns
        return self.at(name, since, first.at_ns, source, **about)

    def logs(self) -> Iterator[tuple[str, OperationLog, NDArray[np.bool_]]]:
        """Yield each arm's log with a mask of what was due or running in the period."""
        since, until = self.injection.requested_ns, self.injection.until_ns
        for arm, log in self.recording.history.arms.items():
            operations = log.operations
            yield arm, log, (operations["ended_ns"] >= since) & (operations["intended_ns"] < until)

    def successes(self, instance: str, *, writes: bool) -> Iterator[Successes]:
        """Yield each arm's successes of the period through the cluster endpoint.

        Only those that `instance` answered, unless empty; only writes if asked.
        """
        for arm, log, inside in self.logs():
            operations = log.operations
            wanted = inside & (operations["outcome"] == Outcome.OK)
            wanted &= named(operations["endpoint"], log, CLUSTER)
            if writes:
                wanted &= writing(operations)
            if instance:
                wanted &= named(operations["instance"], log, instance)
            rows = bulk.where(len(wanted), lambda part, wanted=wanted: wanted[part])  # type: ignore[misc]
            yield Successes(arm, log, rows)

    def last_return(self, name: str, streams: list[tuple[str, str, Kind]], why: str) -> Instant:
        """Return when the last of some streams was served again for good."""
        if not streams:
            return self.missing(name, why)
        windows = [
            (window, stream)
            for stream in streams
            for window in in_period(self.recording.windows(*stream), self.injection)
        ]
        if not windows:
            return self.missing(name, "none was interrupted")
        for window, (arm, endpoint, _) in windows:
            if window.to_ns is None:
                still = f"{arm} on {endpoint} had not recovered when the recording ended"
                return self.missing(name, still)
        last, (arm, endpoint, _) = max(windows, key=lambda pair: pair[0].to_ns or 0)
        assert last.to_ns is not None
        error_ns = self.recording.history.arms[arm].clock_error_ns
        since = max(last.from_ns, min(last.last_bad_ns - error_ns, last.to_ns))
        return self.at(name, since, last.to_ns, "operations", arm=arm, endpoint=endpoint)


def named(column: NDArray[np.uint16], log: OperationLog, name: str) -> NDArray[np.bool_]:
    """Tell which records of a name column carry a name."""
    if name not in log.names:
        return np.zeros(len(column), dtype=bool)
    return np.asarray(column == log.names.index(name))
