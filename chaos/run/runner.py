"""The spine: guards, traffic, steady state, method, steady state again, ledger, rollback.

Whatever ends a run, the cluster is restored from the undo records, the workers are stopped and what
was recorded stays. The verdict is not made here: it comes from the recorded data alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from chaos.aws.rds import ControlPlane
from chaos.clock import Anchor
from chaos.db.identity import identity
from chaos.definition.experiment import Experiment
from chaos.errors import (
    GamedayError,
    GuardRefused,
    RunAborted,
    RunInterrupted,
)
from chaos.faults.base import Context
from chaos.model.access import DatabaseAccess
from chaos.model.ledger import Ledger
from chaos.model.record import LineWriter
from chaos.model.topology import Capacity, Topology
from chaos.run import folder as run_folder
from chaos.run.interrupt import InterruptibleClock
from chaos.run.journal import Journal
from chaos.run.observer import Observer
from chaos.run.restore import replay
from chaos.run.session import FaultSession
from chaos.run.steady import measure
from chaos.safety.guards import GUARDS
from chaos.safety.undo import DropTables
from chaos.wait import wait_until

WORKERS_START_S = 60.0
WORKERS_STOP_S = 45.0


class Status(StrEnum):
    """How a run ended; never a verdict."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    FAILED = "failed"


class Worker(Protocol):
    """A process (or several) that works beside the run."""

    def start(self, timeout_s: float) -> None:
        """Return once it serves its purpose."""

    def check(self) -> None:
        """Raise if it died."""

    def stop(self, timeout_s: float) -> None:
        """Finish what is in flight, flush, end."""


class Workload(Protocol):
    """Traffic, probes and the tables they write, as `loadgen.workload` provides them."""

    def settings(self) -> Mapping[str, Any]:
        """Return each arm's settings, for the record."""

    def prepare(self, access: DatabaseAccess, run: str) -> None:
        """Create the tables of a run."""

    def workers(self, access: DatabaseAccess, folder: Path) -> Sequence[Worker]:
        """Make the processes, not started yet."""

    def reconcile(self, access: DatabaseAccess, folder: Path, run: str) -> Ledger:
        """Compare what was acknowledged with what the tables hold."""

    def drop(self, access: DatabaseAccess, run: str) -> None:
        """Remove the tables of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """What a run works with. `connect` makes the data plane's access from a topology."""

    rds: ControlPlane
    cluster_kind: str  # test | aws
    connect: Callable[[Topology], DatabaseAccess]
    workload: Workload
    clock: InterruptibleClock
    tell: Callable[[str], None]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended: its status and, unless completed, the error that ended it."""

    status: Status
    error: GamedayError | None


class Restoring:
    """What undo records are replayed with: the RDS API and the run's tables."""

    def __init__(self, rds: ControlPlane, drop: Callable[[str], None]) -> None:
        """Join the two."""
        self._rds = rds
        self._drop = drop

    def topology(self) -> Topology:
        """Describe the cluster."""
        return self._rds.topology()

    def create_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        """CreateDBInstance."""
        self._rds.create_instance(instance, settings)

    def set_capacity(self, capacity: Capacity) -> None:
        """ModifyDBCluster."""
        self._rds.set_capacity(capacity)

    def drop_tables(self, run: str) -> None:
        """Remove the tables of a run."""
        self._drop(run)


class Run:
    """One execution of an experiment in one folder."""

    def __init__(self, experiment: Experiment, rig: Rig, folder: Path, anchor: Anchor) -> None:
        """Open the journal of `folder`, which exists and is empty."""
        self.experiment = experiment
        self.rig = rig
        self.folder = folder
        self._anchor = anchor
        self._journal = Journal(folder / "journal.jsonl", rig.clock, rig.tell)
        self._observations = LineWriter(folder / "observations.jsonl")
        self._workers: list[Worker] = []
        self._before: Topology | None = None
        self._access: DatabaseAccess | None = None
        rig.rds.on_change(lambda call: self._journal.event("call", **call))

    def execute(self) -> Ended:
        """Carry the experiment out; never raises for what can go wrong in a run."""
        self._journal.event("run", state="started")
        error: GamedayError | None = None
        try:
            self._guards()
            with self._restored(), self._working():
                self._steady("before", require=True)
                self._method()
                with self._phase("cool-down"):
                    self.rig.clock.sleep(self.experiment.workload.cooldown_s)
                self._steady("after", require=False)
        except GamedayError as raised:
            error = raised
        status = _status(error)
        self._journal.event(
            "run", state="ended", status=status.value, error=str(error) if error else None
        )
        self._journal.close()
        self._observations.close()
        return Ended(status=status, error=error)

    def _guards(self) -> None:
        with self._phase("guards"):
            topology = self.rig.rds.topology()
            self._before = topology
            refusals = []
            for guard in GUARDS:
                why = guard.refusal(topology, self.experiment.steps)
                self._journal.event("guard", guard=guard.name, refused=why is not None, why=why)
                if why:
                    refusals.append(why)
            if refusals:
                raise GuardRefused("; ".join(refusals))
            self._access = self.rig.connect(topology)
            identity(self._access, "cluster")  # Reachable with these credentials, or refuse now.
            self._describe(topology)

    def _describe(self, topology: Topology) -> None:
        run_folder.write_environment(
            self.folder,
            self._anchor,
            {
                "experiment": self.experiment.resolved(),
                "cluster": topology.cluster,
                "cluster_kind": self.rig.cluster_kind,
                "engine": topology.engine,
                "engine_version": topology.engine_version,
                "region": self.rig.rds.region,
                "api": self.rig.rds.endpoint_url,
                "seed": self.rig.seed,
                "arms": self.rig.workload.settings(),
                "members": {
                    m.id: {
                        "role": m.role.value,
                        "class": m.instance_class,
                        "zone": m.availability_zone,
                        "promotion_tier": m.promotion_tier,
                    }
                    for m in topology.members
                },
            },
        )

    @property
    def _open_access(self) -> DatabaseAccess:
        assert self._access is not None, "guards come first"
        return self._access

    @contextmanager
    def _restored(self) -> Iterator[None]:
        """Prepare the run's tables; at the end replay every open undo record, whatever happened."""
        observer = Observer(
            self.rig.rds,
            self._observations,
            self.rig.clock,
            self._anchor.wall(self._anchor.monotonic_ns),
        )
        try:
            with self._phase("preparation"):
                observer.start()
                self._workers.append(observer)
                self._journal.undo(DropTables(run=self.folder.name), self.rig.rds.cluster)
                self.rig.workload.prepare(self._open_access, self.folder.name)
            yield
        finally:
            with self.rig.clock.shielded():
                try:
                    self._roll_back()
                finally:
                    observer.stop()

    def _roll_back(self) -> None:
        with self._phase("rollback"):
            if "restore-writer" in self.experiment.rollback:
                self._restore_writer()
            restoring = Restoring(self.rig.rds, self._drop_tables)
            left = replay(self._journal, restoring, self.rig.clock, self.rig.rds.cluster)
            if left:
                raise RunAborted("; ".join(left))

    def _drop_tables(self, run: str) -> None:
        self.rig.workload.drop(self._open_access, run)

    def _restore_writer(self) -> None:
        first = self._before.writer if self._before else None
        now = self.rig.rds.topology()
        if first is None or now.writer is None or now.writer.id == first.id:
            return
        self.rig.tell(f"restoring {first.id} as writer")
        self.rig.rds.failover(first.id)
        wait_until(
            lambda: (t := self.rig.rds.topology()).all_available() and t.writer
            and t.writer.id == first.id,
            f"{first.id} to be the writer again",
            timeout_s=900,
            clock=self.rig.clock,
        )  # fmt: skip

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Traffic and probes from here to the end of the block, then the ledger."""
        workers = self.rig.workload.workers(self._open_access, self.folder)
        recording = self._phase("recording")
        entered = False
        try:
            with self._phase("starting traffic"):
                for worker in workers:
                    self._workers.append(worker)
                    worker.start(WORKERS_START_S)
                    self.rig.clock.check()
            self.rig.clock.on_slice = self._check_workers
            recording.__enter__()
            entered = True
            with self._phase("warm-up"):
                self.rig.clock.sleep(self.experiment.workload.warmup_s)
            yield
        finally:
            self.rig.clock.on_slice = lambda: None
            with self.rig.clock.shielded():
                if entered:
                    recording.__exit__(None, None, None)
                self._stop_workers(workers)
                if entered:
                    self._reconcile()

    def _check_workers(self) -> None:
        for worker in self._workers:
            worker.check()

    def _stop_workers(self, workers: Sequence[Worker]) -> None:
        with self._phase("stopping traffic"):
            errors = []
            for worker in workers:
                if worker in self._workers:
                    try:
                        worker.stop(WORKERS_STOP_S)
                    except GamedayError as error:
                        errors.append(error)
            if errors:
                raise errors[0]

    def _reconcile(self) -> None:
        with self._phase("ledger"):
            ledger = self.rig.workload.reconcile(self._open_access, self.folder, self.folder.name)
            run_folder.write(self.folder / "ledger.json", json.dumps(ledger.as_json(), indent=1))

    def _steady(self, when: str, *, require: bool) -> None:
        with self._phase(f"steady state {when}"):
            reasons = []
            for tolerance in self.experiment.steady_state:
                measured = measure(self.folder, tolerance, self.rig.clock.now_ns())
                probe = f"{tolerance.arm} {tolerance.operation}"
                self._journal.event(
                    "steady",
                    probe=probe,
                    arm=tolerance.arm,
                    operation=tolerance.operation,
                    when=when,
                    ok=not measured.why,
                    measured={
                        "operations": measured.operations,
                        "success_ratio": measured.success_ratio,
                        "latency_ms_p99": measured.latency_ms_p99,
                    },
                    why=measured.why,
                )
                if measured.why:
                    reasons.append(f"{probe}: {measured.why}")
            if reasons and require:
                raise GuardRefused(
                    f"no steady state before the method, nothing was disturbed: {'; '.join(reasons)}"
                )

    def _method(self) -> None:
        with self._phase("method"):
            fault_id = 0
            context = Context(self.rig.rds, lambda id_: identity(self._open_access, id_))
            for number, fault in enumerate(self.experiment.steps, 1):
                for repeat in range(1, fault.repeat + 1):
                    fault_id += 1
                    times = f" ({repeat} of {fault.repeat})" if fault.repeat > 1 else ""
                    self.rig.tell(f"step {number}: {fault.fault}{times}")
                    FaultSession(
                        fault=fault,
                        fault_id=fault_id,
                        step=number,
                        repeat=repeat,
                        context=context,
                        restorer=Restoring(self.rig.rds, self._drop_tables),
                        journal=self._journal,
                        clock=self.rig.clock,
                    ).run()

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.rig.tell(name)
        with self._journal.phase(name):
            yield


def _status(error: GamedayError | None) -> Status:
    if error is None:
        return Status.COMPLETED
    for kind, status in (
        (GuardRefused, Status.REFUSED),
        (RunInterrupted, Status.INTERRUPTED),
        (RunAborted, Status.ABORTED),
    ):
        if isinstance(error, kind):
            return status
    return Status.FAILED
