"""Watches the cluster through the RDS API while a run lasts, and records what changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from chaos.aws.rds import ClusterEvent
from chaos.clock import NS, Clock
from chaos.errors import ControlPlaneError, HostError
from chaos.model.record import LineWriter, Observation
from chaos.model.topology import Member, Topology

TOPOLOGY_INTERVAL_S = 0.25
EVENTS_INTERVAL_S = 2.0


class Watched(Protocol):
    """The calls of `chaos.aws.rds.ControlPlane` that only read."""

    def topology(self) -> Topology:
        """Describe the cluster."""

    def events(self, since: datetime) -> list[ClusterEvent]:
        """Return its events."""


class Changes:
    """Turns samples into observations: one for each first value and each change, with its bracket."""

    def __init__(self, emit: Callable[[Observation], None]) -> None:
        """Send each observation to `emit`."""
        self._emit = emit
        self._last: dict[tuple[str, str], tuple[str, int]] = {}

    def sample(self, kind: str, subject: str, value: str, started_ns: int, ended_ns: int) -> None:
        """Take one sample whose request started and whose answer came at these instants."""
        key = (kind, subject)
        seen = self._last.get(key)
        if seen is None or seen[0] != value:
            self._emit(
                Observation(
                    at_ns=ended_ns,
                    since_ns=seen[1] if seen else None,
                    kind=kind,
                    subject=subject,
                    value=value,
                )
            )
        self._last[key] = (value, started_ns)

    def subjects(self, kind: str) -> set[str]:
        """Return what was sampled under a kind."""
        return {subject for seen_kind, subject in self._last if seen_kind == kind}


def _settings(member: Member, *, has_standby: bool) -> str:
    if (
        has_standby
    ):  # Its zone is the one that it is in now: a failover swaps it with the standby's.
        return f"{member.instance_class}, Multi-AZ"
    return f"{member.instance_class} in {member.availability_zone}, tier {member.promotion_tier}"


class Observer:
    """A thread that polls the API; what broke it is raised by `check` and `stop`."""

    def __init__(self, watched: Watched, writer: LineWriter, clock: Clock, since: datetime) -> None:
        """Make one; `since` is the wall-clock start of the run, from which events are read."""
        self._watched = watched
        self._writer = writer
        self._clock = clock
        self._since = since - timedelta(seconds=1)
        self._changes = Changes(writer.append)
        self._events_seen: set[tuple[datetime, str, str]] = set()
        self._samples = 0
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self, timeout_s: float) -> None:  # noqa: ARG002 - nothing to wait for
        """Begin to poll."""
        self._thread.start()

    def check(self) -> None:
        """Raise `HostError` if something ended the thread: from then on nobody watches the API."""
        if self._error:
            reason = self._error.strerror if isinstance(self._error, OSError) else self._error
            raise HostError(f"the observer of the RDS API failed: {reason}") from self._error

    def stop(self, timeout_s: float = 30.0) -> None:
        """Take a last sample of everything and end.

        Raises:
            HostError: it failed, or the API did not answer in time.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise HostError(f"the RDS API did not answer the observer within {timeout_s:g} s")
        self.check()

    def _run(self) -> None:
        next_topology = next_events = next_alive = 0
        try:
            while True:
                last = self._stop.is_set()
                now = self._clock.now_ns()
                if last or now >= next_topology:
                    self._topology()
                    next_topology = now + int(TOPOLOGY_INTERVAL_S * NS)
                if last or now >= next_events:
                    self._events()
                    next_events = now + int(EVENTS_INTERVAL_S * NS)
                if last or now >= next_alive:
                    self._emit("alive", "api", str(self._samples))
                    next_alive = now + NS
                if last:
                    return
                self._stop.wait(TOPOLOGY_INTERVAL_S / 4)
        except Exception as error:  # noqa: BLE001 - handed to the runner by check()
            self._error = error

    def _topology(self) -> None:
        started = self._clock.now_ns()
        try:
            topology = self._watched.topology()
        except ControlPlaneError as error:
            ended = self._clock.now_ns()
            self._changes.sample("api", "api", str(error), started, ended)
            return
        ended = self._clock.now_ns()
        self._samples += 1
        values = [
            ("api", "api", "ok"),
            ("writer", topology.cluster, topology.writer.id if topology.writer else ""),
            ("status", topology.cluster, topology.status),
            *(("status", member.id, member.status) for member in topology.members),
            *(
                ("settings", member.id, _settings(member, has_standby=topology.has_standby))
                for member in topology.members
            ),
        ]
        if topology.capacity:
            bounds = f"{topology.capacity.min_acu:g}-{topology.capacity.max_acu:g}"
            if topology.capacity.pause_after_s is not None:
                bounds += f", pauses after {topology.capacity.pause_after_s} s"
            values.append(("capacity", topology.cluster, bounds))
        gone = self._changes.subjects("status") - {subject for _, subject, _ in values}
        values += [("status", subject, "deleted") for subject in gone]
        for kind, subject, value in values:
            self._changes.sample(kind, subject, value, started, ended)

    def _events(self) -> None:
        try:
            events = self._watched.events(self._since)
        except ControlPlaneError:
            return  # The topology sample records that the API does not answer.
        for event in events:
            key = (event.at, event.source_id, event.message)
            if key not in self._events_seen:
                self._events_seen.add(key)
                self._emit(
                    "event",
                    event.source_id,
                    event.message,
                    event_at=event.at.isoformat(),
                    source_type=event.source_type,
                    categories=list(event.categories),
                )

    def _emit(self, kind: str, subject: str, value: str, **detail: object) -> None:
        self._writer.append(
            Observation(
                at_ns=self._clock.now_ns(),
                since_ns=None,
                kind=kind,
                subject=subject,
                value=value,
                detail=detail,
            )
        )
