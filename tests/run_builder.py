"""Writes run folders whose truth is known, from simulated clients of a service with known outages.

`RunBuilder` simulates clients against a service that is out from one instant to another, in one of
three shapes, and writes the same files that a run writes. Every time is in seconds since the run's
origin; everything is drawn from one seed.

    run = RunBuilder(tmp_path)
    run.traffic("resilient", "cluster", Kind.WRITE, per_s=50, until_s=20, retry=Retry())
    run.outage("cluster", 10.0, 12.0, Shape.REFUSE)
    run.fault("failover-cluster", 9.9)
    run.fill(until_s=20)
    history = run.write()
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulated_clients import QUEUE_FULL, Attempt, Clients, Outage, Retry, Shape, Traffic

from chaos.clock import NS
from chaos.model.history import History, load_history, load_operations
from chaos.model.ledger import ArmLedger, Ledger
from chaos.model.operation import PROBE_ARM, Failure, Kind, OperationWriter, Outcome
from chaos.model.record import Event, LineWriter, Observation

ORIGIN_NS = 1_000 * NS
WALL_NS = 1_790_000_000 * NS


@dataclass
class RunBuilder:
    """Collects what happened and writes it as a run folder; `write` may be called once."""

    folder: Path
    experiment: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    cluster: str = "gameday"
    writers: list[tuple[float, str]] = field(
        default_factory=lambda: [(float("-inf"), "gameday-instance-1")]
    )
    """(from, instance), in order: which instance answers on the cluster endpoint."""
    readers: tuple[str, ...] = ("gameday-instance-2", "gameday-instance-3")

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.random = random.Random(self.seed)
        self.streams: list[Traffic] = []
        self.outages: list[Outage] = []
        self.events: list[Event] = []
        self.observations: list[Observation] = []
        self.ledger: Ledger | None = None
        self.everything_applied = False
        """Where no ledger is given: one that found every acknowledged and every unknown write once."""
        self.extra: dict[str, list[Callable[[OperationWriter], None]]] = {}
        self.settings: dict[str, Mapping[str, Any]] = {}
        self._write_ids = 0
        self._write = True

    # -- what happened ---------------------------------------------------------------------------

    def traffic(
        self,
        arm: str,
        endpoint: str,
        kind: Kind,
        *,
        per_s: float,
        until_s: float,
        from_s: float = 0.0,
        latency_s: float = 0.002,
        jitter: float = 0.5,
        users: int = 1000,
        queue_max: int = 1000,
        deadline_s: float | None = None,
        retry: Retry | None = None,
        stale: int = 0,
        read_only: tuple[float, float, float] | None = None,
    ) -> None:
        """Add one stream of operations."""
        self.streams.append(
            Traffic(
                arm=arm, endpoint=endpoint, kind=kind, per_s=per_s, from_s=from_s, until_s=until_s,
                latency_s=latency_s, jitter=jitter, users=users, queue_max=queue_max,
                deadline_s=deadline_s, retry=retry, stale=stale,
                read_only=read_only,
            )
        )  # fmt: skip

    def probes(self, endpoint: str, kind: Kind, *, until_s: float, period_s: float = 0.02) -> None:
        """Add the probes of one endpoint: even turns give up after 0.18 s, odd ones are patient."""
        for parity, deadline_s in ((0, 0.18), (1, None)):
            self.traffic(
                PROBE_ARM, endpoint, kind, per_s=0.5 / period_s, from_s=parity * period_s,
                until_s=until_s, latency_s=0.001, jitter=0.0, deadline_s=deadline_s,
            )  # fmt: skip

    def outage(self, endpoint: str, from_s: float, to_s: float, shape: Shape) -> None:
        """Let one endpoint be out."""
        self.outages.append(Outage(endpoint=endpoint, from_s=from_s, to_s=to_s, shape=shape))

    def event(self, at_s: float, type_: str, **data: Any) -> None:
        """Add a line to the journal."""
        self.events.append(Event(at_ns=to_ns(at_s), type=type_, data=data))

    def fault(
        self,
        fault: str,
        inject_s: float,
        *,
        accepted_s: float | None = None,
        effect_s: float | None = None,
        ended_s: float | None = None,
        fault_id: int = 1,
        step: int = 1,
        place: str = "",
        repeat: int = 1,
        effect: str = "taken",
        requested_target: str = "",
        actual_target: str = "",
    ) -> None:
        """Add the five verbs of one injection; `effect_s` is when the effect was seen."""
        accepted_s = inject_s + 0.05 if accepted_s is None else accepted_s
        effect_s = accepted_s + 1.0 if effect_s is None else effect_s
        ended_s = effect_s + 3.0 if ended_s is None else ended_s
        about = {"step": step, "place": place, "repeat": repeat}
        common = {"fault_id": fault_id, "fault": fault, **about}
        targets = {"requested_target": requested_target, "actual_target": actual_target}
        verbs: tuple[tuple[str, float, float, dict[str, str]], ...] = (
            ("inject", inject_s, accepted_s, targets),
            ("effect", accepted_s, effect_s, {**targets, "effect": effect}),
            ("hold", effect_s, effect_s, {}),
            ("recover", effect_s, effect_s, {}),
            ("recovered", effect_s, ended_s, {}),
        )
        for verb, started_s, verb_ended_s, data in verbs:
            self.event(started_s, "fault", **common, verb=verb, state="started", **targets)
            self.event(verb_ended_s, "fault", **common, verb=verb, state="ended", **data)

    def observe(
        self,
        at_s: float,
        kind: str,
        subject: str,
        value: str,
        *,
        width_s: float = 0.05,
        **detail: Any,
    ) -> None:
        """Add an observed change, seen not later than `at_s` and not before `at_s - width_s`."""
        first = not any(o.kind == kind and o.subject == subject for o in self.observations)
        self.observations.append(
            Observation(
                at_ns=to_ns(at_s),
                since_ns=None if first else to_ns(at_s - width_s),
                kind=kind,
                subject=subject,
                value=value,
                detail=detail,
            )
        )

    def alive(self, *, until_s: float, observers: tuple[str, ...] = ("probes", "api")) -> None:
        """Let every observer tell once a second that it samples, and each arm that it is on time."""
        for second in range(int(until_s) + 1):
            for observer in observers:
                self.observe(float(second), "alive", observer, str(second * 50))
            for arm in self.arms:
                self.observe(float(second), "lag", arm, "1.0", width_s=1.0)

    def fill(self, *, until_s: float) -> None:
        """Add what a whole run records beside what was described: a run without it proves nothing.

        The other half of each arm's traffic, the probes of every endpoint and member, their roles,
        the topology and the observers' signs of life.
        """
        described = {(s.arm, s.endpoint) for s in self.streams}
        for endpoint, kind in (("cluster", Kind.WRITE), ("reader", Kind.READ)):
            for arm in self.arms:
                if (arm, endpoint) not in described:
                    self.traffic(arm, endpoint, kind, per_s=5, until_s=until_s)
            if (PROBE_ARM, endpoint) not in described:
                self.probes(endpoint, kind, until_s=until_s, period_s=0.2)
        for member in self.members:
            self.probes(member, Kind.READ, until_s=until_s, period_s=0.5)
            self.observe(0.1, "role", member, "reader" if member in self.readers else "writer")
        self.topology(0.1, self.members[0])
        self.alive(until_s=until_s)

    def topology(self, at_s: float, writer: str, *, status: str = "available") -> None:
        """Show the API naming `writer`, cluster and every member in `status`."""
        self.observe(at_s, "writer", self.cluster, writer)
        for subject in (self.cluster, *self.members):
            self.observe(at_s, "status", subject, status)
        for member in self.members:
            self.observe(at_s, "settings", member, "db.serverless in eu-west-1a, tier 1")

    def operation(self, arm: str, append: Callable[[OperationWriter], None]) -> None:
        """Add operations by hand."""
        self.extra.setdefault(arm, []).append(append)

    @property
    def members(self) -> tuple[str, ...]:
        """Every instance, the first writer first."""
        return (self.writers[0][1], *self.readers)

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm of the traffic described so far, without the probes."""
        return tuple(sorted({s.arm for s in self.streams} - {PROBE_ARM}))

    # -- the folder ------------------------------------------------------------------------------

    def write(self, *, status: str = "completed", ended_s: float | None = None) -> History:
        """Write every file and load them again; `status` "" leaves the journal without an end."""
        until_s = max((s.until_s for s in self.streams), default=0.0)
        arms = sorted({s.arm for s in self.streams} | set(self.extra))
        self.events.append(Event(at_ns=ORIGIN_NS, type="run", data={"state": "started"}))
        self.event(0.0, "phase", phase="recording", state="started")
        self.event(until_s, "phase", phase="recording", state="ended", error=None)
        if status:
            ended_ns = to_ns(until_s + 0.5 if ended_s is None else ended_s)
            end = {"state": "ended", "status": status}
            self.events.append(Event(at_ns=ended_ns, type="run", data=end))
        for name, lines in (
            ("journal.jsonl", sorted(self.events, key=lambda e: e.at_ns)),
            ("observations.jsonl", self.observations),
        ):
            writer = LineWriter(self.folder / name)
            for line in lines:
                writer.append(line)
            writer.close()
        clients = Clients(self.outages, self.writers, self.readers, self.random)
        for arm in arms:
            with OperationWriter(self.folder / "operations", arm) as operations:
                for stream in self.streams:
                    if stream.arm != arm:
                        continue
                    for intended_s, attempts in clients.operations(stream):
                        self._append(stream, operations, intended_s, attempts)
                for append in self.extra.get(arm, ()):
                    append(operations)
        declared = {"workload": {"arms": [{"arm": arm} for arm in self.arms]}}
        environment = {
            "run": self.folder.name,
            "experiment": {**declared, **self.experiment},
            "anchor": {"monotonic_ns": ORIGIN_NS, "wall_ns": WALL_NS, "uncertainty_ns": 200},
            "cluster_kind": "test",
            "cluster": self.cluster,
            "versions": {"aurora-gameday": "0.1.0", "python": "3.11.2", "postgresql": "17.6"},
            "command": ["gameday", "run", str(self.experiment.get("name", "synthetic"))],
            "seed": self.seed,
            "arms": {arm: self.settings.get(arm, {}) for arm in arms if arm != PROBE_ARM},
            "members": {member: {} for member in self.members},
        }
        (self.folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
        self._write_ledger(arms, until_s)
        return load_history(self.folder)

    def _write_ledger(self, arms: list[str], until_s: float) -> None:
        if self.ledger is None and self.everything_applied:
            self.ledger = self._found_once(arms, until_s)
        if self.ledger is not None:
            text = json.dumps(self.ledger.as_json())
            (self.folder / "ledger.json").write_text(text, encoding="utf-8")

    def _found_once(self, arms: list[str], until_s: float) -> Ledger:
        counts = {}
        for arm in arms:
            records = load_operations(self.folder / "operations", arm).operations
            outcomes = records["outcome"][records["write_id"] >= 0]
            told = int((outcomes == Outcome.OK).sum())
            unknown = int((outcomes == Outcome.UNKNOWN).sum())
            counts[arm] = ArmLedger(acknowledged=told, applied_once=told, unknown_applied=unknown)
        counts.pop(PROBE_ARM, None)
        return Ledger(
            arms=counts,
            read_from=self.writers[-1][1],
            read_at_ns=to_ns(until_s + 0.2),
            complete=True,
        )

    def _append(
        self,
        stream: Traffic,
        operations: OperationWriter,
        intended_s: float,
        attempts: list[Attempt],
    ) -> None:
        last = attempts[-1]
        unsent = last.error == QUEUE_FULL
        writes = stream.kind in {Kind.WRITE, Kind.TRANSACTION}
        self._write_ids += writes
        operations.operation(
            kind=stream.kind,
            endpoint=stream.endpoint,
            intended_ns=to_ns(intended_s),
            started_ns=to_ns(attempts[0].started_s),
            ended_ns=to_ns(last.ended_s),
            outcome=last.outcome,
            attempts=0 if unsent else len(attempts),
            instance=last.instance,
            error=last.error,
            write_id=self._write_ids if writes else -1,
            backend_pid=last.backend_pid,
            failures=[
                Failure(
                    started_ns=to_ns(a.started_s), ended_ns=to_ns(a.ended_s), error=a.error,
                    instance=a.instance, backend_pid=a.backend_pid,
                )
                for a in attempts
                if a.outcome is not Outcome.OK and not unsent
            ],
        )  # fmt: skip


def to_ns(at_s: float) -> int:
    """Return an instant of the run in monotonic nanoseconds."""
    return ORIGIN_NS + round(at_s * NS)
