"""What a run works with: the API, the data plane, the workload, the clock; wired by the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from chaos.aws.rds import ControlPlane
from chaos.model.access import DatabaseAccess
from chaos.model.ledger import Ledger, LostSoFar
from chaos.model.topology import Topology
from chaos.run.interrupt import InterruptibleClock
from chaos.safety.limits import SafetyFile
from chaos.safety.ports import Control, Database, Rds


class Worker(Protocol):
    """A process (or several) that works beside the run."""

    def start(self, timeout_s: float) -> None:
        """Return once it serves its purpose."""

    def check(self) -> None:
        """Raise if it died."""

    def stop(self, timeout_s: float) -> None:
        """Finish what is in flight, flush, end."""


class LoadWorker(Worker, Protocol):
    """A worker that asks the cluster something, and can stand still for a while."""

    def pause(self, timeout_s: float) -> None:
        """Finish what is in flight, end every session, ask nothing more."""

    def resume(self, at_ns: int, timeout_s: float) -> None:
        """Go on with what is due from `at_ns` on."""

    def shape(self, at_ns: int, timeout_s: float) -> None:
        """Let second 0 of the rates' shape be at `at_ns`."""


class Workload(Protocol):
    """Traffic, probes and the tables they write, as `loadgen.workload` provides them."""

    def settings(self) -> Mapping[str, Any]:
        """Return each arm's settings, for the record."""

    def prepare(self, access: DatabaseAccess, run: str) -> None:
        """Create the tables of a run."""

    def workers(self, access: DatabaseAccess, folder: Path) -> Sequence[LoadWorker]:
        """Make the processes, not started yet."""

    def watched(self, access: DatabaseAccess, folder: Path) -> Callable[[], LostSoFar]:
        """Return what looks for acknowledged writes on the writer while traffic lasts.

        It raises `DatabaseError` while nobody leads to the writer.
        """

    def reconcile(self, access: DatabaseAccess, folder: Path, run: str) -> Ledger:
        """Compare what was acknowledged with what the tables hold."""

    def drop(self, access: DatabaseAccess, run: str) -> None:
        """Remove the tables of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """What a run works with. `connect` makes the data plane's access from a topology.

    `check_cluster` raises `HostError` once the cluster itself is known to be gone.
    """

    rds: ControlPlane
    control: Control | None
    cluster_kind: str  # test | aws
    connect: Callable[[Topology], DatabaseAccess]
    workload: Workload
    check_cluster: Callable[[], None]
    alarms: Callable[[Sequence[str]], Mapping[str, str]]
    """CloudWatch alarms by name, with their states; those that there are not are left out."""
    undo_timeout_s: float
    safety: SafetyFile
    clock: InterruptibleClock
    tell: Callable[[str], None]
    seed: int


class Restoring:
    """What undo records act through (`chaos.safety.ports.Restorer`)."""

    def __init__(
        self,
        rds: Rds,
        database: Database,
        control: Control | None,
        drop_tables: Callable[[str], None],
    ) -> None:
        """Join them."""
        self.rds = rds
        self.database = database
        self.control = control
        self.drop_tables = drop_tables
