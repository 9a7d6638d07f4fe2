"""Synthetic run folders whose truth is known: what checks and reports are tested against.

`RunBuilder` simulates clients against a service that is out from one instant to another, in one of
three shapes, and writes the same files that a run writes. Every time is in seconds since the run's
origin; everything is drawn from one seed. `failover_run` is a complete run of a writer failover.

    run = RunBuilder(tmp_path)
    run.traffic("resilient", "cluster", Kind.WRITE, per_s=50, until_s=20, retry=Retry())
    run.outage("cluster", 10.0, 12.0, Shape.REFUSE)
    history = run.write()
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from simulated_clients import QUEUE_FULL, Attempt, Clients, Outage, Retry, Shape, Traffic

from chaos.clock import NS
from chaos.model.history import History, load_history
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
        self.extra: dict[str, list[Callable[[OperationWriter], None]]] = {}
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
        self.events.append(Event(at_ns=_ns(at_s), type=type_, data=data))

    def fault(
        self,
        fault: str,
        inject_s: float,
        *,
        accepted_s: float | None = None,
        effect_s: float | None = None,
        ended_s: float | None = None,
        fault_id: int = 1,
        repeat: int = 1,
        effect: str = "taken",
        requested_target: str = "",
        actual_target: str = "",
    ) -> None:
        """Add the five verbs of one injection; `effect_s` is when the effect was seen."""
        accepted_s = inject_s + 0.05 if accepted_s is None else accepted_s
        effect_s = accepted_s + 1.0 if effect_s is None else effect_s
        ended_s = effect_s + 3.0 if ended_s is None else ended_s
        common = {"fault_id": fault_id, "fault": fault, "step": 1, "repeat": repeat}
        targets = {"requested_target": requested_target, "actual_target": actual_target}
        verbs = (
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
                at_ns=_ns(at_s),
                since_ns=None if first else _ns(at_s - width_s),
                kind=kind,
                subject=subject,
                value=value,
                detail=detail,
            )
        )

    def alive(self, *, until_s: float, observers: tuple[str, ...] = ("probes", "api")) -> None:
        """Let every observer tell once a second that it samples."""
        for observer in observers:
            for second in range(int(until_s) + 1):
                self.observe(float(second), "alive", observer, str(second * 50))

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

    # -- the folder ------------------------------------------------------------------------------

    def write(self, *, status: str = "completed", ended_s: float | None = None) -> History:
        """Write every file and load them again; `status` "" leaves the journal without an end."""
        until_s = max((s.until_s for s in self.streams), default=0.0)
        arms = sorted({s.arm for s in self.streams} | set(self.extra))
        self.events.append(Event(at_ns=ORIGIN_NS, type="run", data={"state": "started"}))
        self.event(0.0, "phase", phase="recording", state="started")
        self.event(until_s, "phase", phase="recording", state="ended", error=None)
        if status:
            ended_ns = _ns(until_s + 0.5 if ended_s is None else ended_s)
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
        environment = {
            "run": self.folder.name,
            "experiment": dict(self.experiment),
            "anchor": {"monotonic_ns": ORIGIN_NS, "wall_ns": WALL_NS, "uncertainty_ns": 200},
            "cluster_kind": "test",
            "cluster": self.cluster,
            "versions": {"aurora-gameday": "0.1.0", "python": "3.11.2", "postgresql": "17.6"},
            "command": ["gameday", "run", str(self.experiment.get("name", "synthetic"))],
            "seed": self.seed,
            "arms": {arm: {} for arm in arms if arm != PROBE_ARM},
        }
        (self.folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
        if self.ledger is not None:
            text = json.dumps(self.ledger.as_json())
            (self.folder / "ledger.json").write_text(text, encoding="utf-8")
        return load_history(self.folder)

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
            intended_ns=_ns(intended_s),
            started_ns=_ns(attempts[0].started_s),
            ended_ns=_ns(last.ended_s),
            outcome=last.outcome,
            attempts=0 if unsent else len(attempts),
            instance=last.instance,
            error=last.error,
            write_id=self._write_ids if writes else -1,
            backend_pid=last.backend_pid,
            failures=[
                Failure(
                    started_ns=_ns(a.started_s), ended_ns=_ns(a.ended_s), error=a.error,
                    instance=a.instance, backend_pid=a.backend_pid,
                )
                for a in attempts
                if a.outcome is not Outcome.OK and not unsent
            ],
        )  # fmt: skip


def _ns(at_s: float) -> int:
    return ORIGIN_NS + round(at_s * NS)


STEADY = {"operations": 150, "success_ratio": 1.0, "latency_ms_p99": 3.1}
FAILOVER_EXPERIMENT: Mapping[str, Any] = {
    "version": 1,
    "name": "writer-failover",
    "claim": "Prepared clients write again within 10 s of a writer failover.",
    "workload": {
        "arms": [{"arm": "default-pool"}, {"arm": "resilient"}],
        "writes_per_s": 50.0,
        "reads_per_s": 50.0,
        "warmup_s": 5.0,
        "cooldown_s": 6.0,
    },
    "method": [{"fault": "failover-cluster", "target": "writer"}],
    "objectives": [
        {
            "check": "interruption",
            "arm": "resilient",
            "endpoint": "cluster",
            "operation": "write",
            "interruption_s_max": 10.0,
        },
        {"check": "acknowledged-writes", "lost_writes_max": 0},
        {"check": "restored"},
    ],
}


def failover_run(folder: Path, *, seed: int = 0, repeats: int = 1) -> RunBuilder:
    """Describe a run of `repeats` writer failovers, 15 s apart, the first at 10 s.

    Each: service refused from +0.1 to +1.5 s; the new writer known by SQL at +1.4 s, by the API at
    +1.9 s, by DNS at +1.5 s, stale once more at +1.7 s, right again at +1.8 s; a third of the
    `default-pool` arm's writes is answered 25006 until +6 s.
    """
    run = RunBuilder(folder, experiment=FAILOVER_EXPERIMENT, seed=seed)
    until_s = 10.0 + 15.0 * repeats
    for endpoint, kind in (("cluster", Kind.WRITE), ("reader", Kind.READ)):
        run.traffic(
            "resilient", endpoint, kind, per_s=50, until_s=until_s, retry=Retry(pause_s=0.05)
        )
        read_only = (11.5, 16.0, 0.33) if kind is Kind.WRITE else None
        run.traffic("default-pool", endpoint, kind, per_s=50, until_s=until_s, read_only=read_only)
        run.probes(endpoint, kind, until_s=until_s)
    names = list(run.members)
    for name in names:
        run.probes(name, Kind.READ, until_s=until_s, period_s=0.1)
        run.observe(0.1, "role", name, "writer" if name == names[0] else "reader")
        run.observe(0.2, "capacity", name, "0.5")
    run.topology(0.3, names[0])
    run.observe(0.2, "dns", "cluster", names[0])
    run.observe(0.2, "dns", "reader", ",".join(names[1:]))
    run.observe(0.3, "capacity", run.cluster, "0.5-8.0")
    run.event(
        4.5, "steady", probe="resilient write", when="before", ok=True, measured=STEADY, why=""
    )
    for repeat in range(repeats):
        _failover(run, 10.0 + 15.0 * repeat, repeat, names)
    run.event(
        until_s - 0.5,
        "steady",
        probe="resilient write",
        when="after",
        ok=True,
        measured=STEADY,
        why="",
    )
    run.alive(until_s=until_s)
    counts = ArmLedger(acknowledged=700, applied_once=700, unknown_applied=1)
    run.ledger = Ledger(
        arms={"default-pool": counts, "resilient": counts},
        read_from=run.writers[-1][1],
        read_at_ns=_ns(until_s + 0.2),
        complete=True,
    )
    return run


def _failover(run: RunBuilder, at_s: float, repeat: int, names: list[str]) -> None:
    old, new = names[repeat % 2], names[(repeat + 1) % 2]
    run.writers.append((at_s + 1.5, new))
    run.outage("cluster", at_s + 0.1, at_s + 1.5, Shape.REFUSE)
    run.outage(old, at_s + 0.1, at_s + 2.5, Shape.REFUSE)
    run.outage(new, at_s + 0.9, at_s + 1.2, Shape.FREEZE)
    run.fault(
        "failover-cluster", at_s, accepted_s=at_s + 0.04, effect_s=at_s + 1.9, ended_s=at_s + 5.0,
        fault_id=repeat + 1, repeat=repeat + 1, requested_target="writer",
        actual_target=old,
    )  # fmt: skip
    for after_s, kind, subject, value in (
        (0.06, "status", run.cluster, "failing-over"),
        (0.15, "role", old, "unreachable"),
        (1.40, "role", new, "writer"),
        (1.50, "dns", "cluster", new),
        (1.70, "dns", "cluster", old),
        (1.80, "dns", "cluster", new),
        (1.90, "writer", run.cluster, new),
        (2.00, "status", run.cluster, "available"),
        (2.60, "role", old, "reader"),
    ):
        run.observe(at_s + after_s, kind, subject, value)
    for after_s, event_id, text in (
        (0.1, "RDS-EVENT-0073", f"Started cross AZ failover to DB instance: {new}"),
        (2.0, "RDS-EVENT-0071", f"Completed failover to DB instance: {new}"),
    ):
        run.observe(
            at_s + after_s, "event", run.cluster, text, event_id=event_id, categories=["failover"]
        )


@pytest.fixture
def run_builder(tmp_path: Path) -> RunBuilder:
    """An empty synthetic run."""
    return RunBuilder(tmp_path / "20260101T000000Z-synthetic")


@pytest.fixture
def failover_history(tmp_path: Path) -> History:
    """A complete synthetic run of one failover."""
    return failover_run(tmp_path / "20260101T000000Z-writer-failover").write()
