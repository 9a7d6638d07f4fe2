"""The spine: guards, traffic, steady state, method, steady state again, rollback, ledger.

Whatever ends a run, the cluster is restored from the undo records, the workers are stopped and what
was recorded stays. The verdict is not made here: it comes from the recorded data alone.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from chaos.clock import Anchor
from chaos.db.endpoint_names import EndpointNames
from chaos.db.sessions import Sessions
from chaos.definition.experiment import Experiment
from chaos.errors import (
    GamedayError,
    GuardRefused,
    RecoveryFailed,
    RunAborted,
    RunInterrupted,
    WaitTimeout,
)
from chaos.faults.base import Context
from chaos.model.record import FORMAT, LineWriter
from chaos.model.serverless import serverless_members
from chaos.model.topology import Topology
from chaos.run import folder as run_folder
from chaos.run.admission import Around, admit, records_of_run, situation_of
from chaos.run.capacity_watch import CapacityWatch
from chaos.run.journal import Journal
from chaos.run.load import StandingLoad
from chaos.run.method import Method
from chaos.run.observer import Observer
from chaos.run.recovery import take
from chaos.run.restore import replay
from chaos.run.rig import LoadWorker, Restoring, Rig, Worker
from chaos.run.steady import Measured, measure
from chaos.run.stopping import Stopping
from chaos.run.tenancy import SETTLE_S, Tenancy
from chaos.safety.undo import DropTables, ReleaseLease
from chaos.safety.undo.base import UndoRecord
from chaos.wait import wait_until

WORKERS_START_S = 60.0
WORKERS_STOP_S = 45.0
OBSERVER_STOP_S = 30.0
STEADY_TIMEOUT_S = 30.0


class Status(StrEnum):
    """How a run ended; never a verdict."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended: its status and what went wrong, the error that decides the exit code first."""

    status: Status
    errors: tuple[GamedayError, ...]


class Run:
    """One execution of an experiment in one folder, on the cluster that `before` describes."""

    def __init__(
        self, experiment: Experiment, rig: Rig, before: Topology, folder: Path, anchor: Anchor
    ) -> None:
        """Open the journal of `folder`, which exists and is empty."""
        self.experiment = experiment
        self.rig = rig
        self.folder = folder
        self._before = before
        self._access = rig.connect(before)
        self._anchor = anchor
        self._journal = Journal(folder / "journal.jsonl", rig.clock, rig.tell)
        self._observations = LineWriter(folder / "observations.jsonl")
        self._workers: list[Worker] = []
        self._loading: list[LoadWorker] = []
        self._load = StandingLoad(self._loading, self._journal, rig.clock)
        self._database = Sessions(self._access)
        self._restoring = Restoring(
            rig.rds, self._database, rig.control, lambda run: rig.workload.drop(self._access, run)
        )
        self._context = Context(
            rig.rds, self._database, rig.control, EndpointNames(self._access), self._load
        )
        self._tenancy = Tenancy(
            rig.rds,
            rig.clock,
            folder.name,
            now=self._now,
            settle_s=SETTLE_S[rig.cluster_kind],
            lost=rig.clock.stop,
        )
        self._stopping = Stopping(
            experiment.stop_when,
            folder,
            self._journal,
            rig.clock,
            ledger=self._load.unless_paused(rig.workload.watched(self._access, folder)),
            alarms=rig.alarms,
            quiet_until=self._load.quiet_until_ns,
        )
        self._cleanup_errors: list[GamedayError] = []
        rig.rds.on_change(lambda call: self._journal.event("call", **call))

    def execute(self) -> Ended:
        """Carry the experiment out; what goes wrong is told by the answer, never raised."""
        error: GamedayError | None = None
        try:
            self._journal.event("run", state="started", format=FORMAT)
            with self._phase("guards"):
                self._admit()
            with self._leased(), self._restored(), self._working():
                self._steady("before", require=True)
                self._tenancy.confirm()
                with self._stopping:
                    with self._phase("method"):
                        if self.experiment.workload.shape != "constant":
                            self._load.shape()
                        self._method()
                    with self._phase("cool-down"):
                        self.rig.clock.sleep(self.experiment.workload.cooldown_s)
                self.rig.clock.check()  # A condition may have held in the last moment.
                self._steady("after", require=False)
        except GamedayError as raised:
            error = raised
        except Exception as bug:  # noqa: BLE001 - told as ours, with its trace in the run folder
            error = _crashed(bug, self.folder / "crash.log")
        return self._end([error, *self._cleanup_errors] if error else self._cleanup_errors)

    def _end(self, errors: list[GamedayError]) -> Ended:
        """Journal the end. What could not be undone outranks whatever ended the run before."""
        status = _status(errors[0] if errors else None)
        errors = sorted(errors, key=lambda error: not isinstance(error, RecoveryFailed))
        self._journal.restoring = True
        told = [str(error) for error in errors]
        self._journal.event("reads", counts=dict(self.rig.rds.reads()))
        self._journal.event(
            "run", state="ended", status=status.value, error="; ".join(told) or None
        )
        if self._journal.failure and not errors:
            status, errors = Status.FAILED, [self._journal.failure]
        self._journal.close()
        self._observations.close()
        return Ended(status=status, errors=tuple(errors))

    def _admit(self) -> None:
        around = Around(
            context=self._context,
            account=self.rig.rds.account,
            kind=self.rig.cluster_kind,
            safety=self.rig.safety,
            now=self._now(),
            run=self.folder.name,
            runs=self.folder.parent,
        )
        situation = situation_of(self.experiment, self._before, around)
        if situation.kind == "aws":
            self.rig.tell(f"usually takes {situation.estimate.expected_s:.0f} s")
        admit(situation, self._journal)

    def _now(self) -> datetime:
        return self._anchor.wall(self.rig.clock.now_ns())

    @contextmanager
    def _leased(self) -> Iterator[None]:
        """Have the cluster for this run alone, from after the guards until all else is undone."""
        try:
            with self._phase("lease"):
                self._tenancy.take(self._journal)
            yield
        finally:
            with self._restoring_in_peace():
                self._clean_up("release", self._release)

    def _release(self) -> None:
        self._tenancy.stop()
        self._undo(self._records(ReleaseLease))

    def _records(self, *kinds: type[UndoRecord]) -> set[str]:
        open_undo = self._journal.open_undo
        return {number for number, one in open_undo.items() if isinstance(one, kinds)}

    @contextmanager
    def _restored(self) -> Iterator[None]:
        """Watch the cluster and make the run's tables; at the end drop them, and look once more."""
        started_at = self._anchor.wall(self._anchor.monotonic_ns)
        observer = Observer(self.rig.rds, self._observations, self.rig.clock, started_at)
        watches: list[Observer | CapacityWatch] = [observer]
        if serverless_members(self._before):
            emit, now_ns = self._observations.append, self.rig.clock.now_ns
            watches.append(CapacityWatch(self.rig.rds.acu_since, emit, self._anchor, now_ns))
        try:
            with self._phase("preparation"):
                for watch in watches:
                    watch.start(WORKERS_START_S)
                    self._workers.append(watch)
                self._snapshot("before")
                for record in records_of_run(self.experiment, self._before, self.folder.name):
                    self._journal.undo(record, self.rig.rds.cluster)
                self.rig.workload.prepare(self._access, self.folder.name)
            yield
        finally:
            with self._restoring_in_peace():
                self._clean_up("dropping tables", self._drop_tables)
                self._clean_up("last snapshot", lambda: self._snapshot("after"))
                for watch in reversed(watches):
                    self._clean_up("last observation", lambda w=watch: w.stop(OBSERVER_STOP_S))  # type: ignore[misc]

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Traffic and probes from here to the end of the block; then what is disturbed, the ledger."""
        started = self._loading
        try:
            with self._phase("starting traffic"):
                for worker in self.rig.workload.workers(self._access, self.folder):
                    started.append(worker)
                    worker.start(WORKERS_START_S)
                    self.rig.clock.check()
            self._workers += started
            with self._phase("recording"):
                self.rig.clock.on_slice = self._check_workers
                with self._phase("warm-up"):
                    self.rig.clock.sleep(self.experiment.workload.warmup_s)
                yield
        finally:
            with self._restoring_in_peace():
                for worker in started:
                    self._clean_up("stopping traffic", lambda w=worker: w.stop(WORKERS_STOP_S))  # type: ignore[misc]
                # First, so that the cluster does not wait, and every instance can be asked.
                self._clean_up("rollback", self._roll_back)
                if started:
                    self._clean_up("ledger", self._reconcile)

    @contextmanager
    def _restoring_in_peace(self) -> Iterator[None]:
        """Let neither a signal nor a full disk keep what is inside from being done."""
        before, self._journal.restoring = self._journal.restoring, True
        try:
            with self.rig.clock.shielded():
                yield
        finally:
            self._journal.restoring = before

    def _clean_up(self, phase: str, step: Callable[[], None]) -> None:
        """Do one step of cleaning up; its error is told, but hides none and stops no other step."""
        try:
            with self._phase(phase):
                step()
        except GamedayError as error:
            self._cleanup_errors.append(error)
        except Exception as bug:  # noqa: BLE001 - told like ours; the steps after it are still due
            self._cleanup_errors.append(_crashed(bug, self.folder / "crash.log"))

    def _check_workers(self) -> None:
        self.rig.check_cluster()
        self._stopping.check()
        for worker in self._workers:
            worker.check()

    def _reconcile(self) -> None:
        ledger = self.rig.workload.reconcile(self._access, self.folder, self.folder.name)
        run_folder.write(self.folder / "ledger.json", json.dumps(ledger.as_json(), indent=1))

    def _snapshot(self, when: str) -> None:
        """Put the cluster's whole shape on disk: what a recover leads back to, what is compared."""
        shape = take(self._restoring).as_json()
        self._journal.event("snapshot", sync=True, when=when, snapshot=shape)

    def _roll_back(self) -> None:
        """Undo what the method left open; the ledger still needs the tables."""
        self._undo(set(self._journal.open_undo) - self._records(ReleaseLease, DropTables))

    def _drop_tables(self) -> None:
        self._undo(self._records(DropTables))

    def _undo(self, records: Collection[str]) -> None:
        left = replay(
            self._journal,
            self._restoring,
            self.rig.clock,
            self.rig.rds.cluster,
            only=records,
            timeout_s=self.rig.undo_timeout_s,
        )
        if left:
            raise RecoveryFailed(
                f"not restored: {'; '.join(left)}; or try `gameday recover {self.folder}`"
            )

    def _steady(self, when: str, *, require: bool) -> None:
        """Wait, for a bounded time, until every tolerance holds; journal what was measured last."""
        with self._phase(f"steady state {when}"):
            tolerances = self.experiment.steady_state
            measured: list[Measured] = []

            def holds() -> bool:
                now_ns = self.rig.clock.now_ns()
                measured[:] = [measure(self.folder, t, now_ns) for t in tolerances]
                return not any(one.why for one in measured)

            with suppress(WaitTimeout):
                wait_until(
                    holds,
                    "the steady state",
                    timeout_s=STEADY_TIMEOUT_S,
                    interval_s=0.5,
                    clock=self.rig.clock,
                )
            reasons = []
            for tolerance, one in zip(tolerances, measured, strict=True):
                probe = f"{tolerance.arm} {tolerance.operation}"
                self._journal.event(
                    "steady",
                    probe=probe,
                    when=when,
                    ok=not one.why,
                    why=one.why,
                    measured=one.facts,
                )
                if one.why:
                    reasons.append(f"{probe}: {one.why}")
            if reasons and require:
                raise GuardRefused(
                    f"no steady state within {STEADY_TIMEOUT_S:g} s, nothing was disturbed: "
                    f"{'; '.join(reasons)}"
                )

    def _method(self) -> None:
        Method(
            steps=self.experiment.method,
            run=self.folder.name,
            first=self._before,
            context=self._context,
            restorer=self._restoring,
            journal=self._journal,
            clock=self.rig.clock,
            tell=self.rig.tell,
            seed=self.rig.seed,
        ).carry_out()

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.rig.tell(name)
        with self._journal.phase(name):
            yield


def _crashed(bug: Exception, log: Path) -> GamedayError:
    """Make a bug of ours an error in a line; its trace goes to `log` if the disk takes it."""
    with suppress(OSError), log.open("a", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(bug)))
    return GamedayError(f"our own error, {type(bug).__name__}: {bug}; see {log}")


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
