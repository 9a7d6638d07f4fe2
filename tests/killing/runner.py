"""Carries one fault out in a process of its own, and kills itself at one record of the journal.

    python -m killing.runner CLUSTER FAULT CASE FOLDER RECORD before|after

It is a run without traffic: the first shape, the undo records, the fault's whole life, the rollback.
Exits 0 if the journal has fewer records than that.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.families import all_cases

from chaos.cli.target import opened
from chaos.clock import MonotonicClock
from chaos.db.endpoint_names import EndpointNames
from chaos.db.sessions import Sessions
from chaos.faults.base import Before, Context, Fault
from chaos.run.journal import Journal
from chaos.run.recovery import take
from chaos.run.restore import replay
from chaos.run.rig import Restoring
from chaos.run.session import FaultSession
from chaos.safety.undo import RestoreWriter
from chaos.testcluster.records import ClusterSpec


class MortalJournal(Journal):
    """Dies with its process right before or right after its n-th record."""

    record = 0
    deadly = 0
    after = False

    def event(self, kind: str, *, sync: bool = False, **data: Any) -> int:
        self.record += 1
        if self.record == self.deadly and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        at_ns = super().event(kind, sync=sync, **data)
        if self.record == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return at_ns


def main(cluster: str, fault: str, case: str, folder: Path, record: int, *, after: bool) -> None:
    clock = MonotonicClock()
    wanted = all_cases()[fault][case]
    with opened(cluster, ClusterSpec(), folder / "log", lambda _: None) as target:
        first = target.topology()
        access = target.connect(first)
        database = Sessions(access)
        restoring = Restoring(target.rds, database, target.control, lambda _: None)
        journal = MortalJournal(folder / "journal.jsonl", clock, lambda _: None)
        journal.deadly, journal.after = record, after
        target.rds.on_change(lambda call: journal.event("call", **call))
        journal.event("snapshot", sync=True, when="before", snapshot=take(restoring).as_json())
        if wanted.moves_writer and first.is_cluster:
            assert first.writer is not None
            journal.undo(RestoreWriter(instance=first.writer.id), cluster)
        for statement in wanted.given:
            database.query("cluster", statement)

        def session(one: Fault, number: int, within: Callable[[Before], None]) -> FaultSession:
            return FaultSession(
                fault=one,
                fault_id=number,
                step=number,
                repeat=1,
                run=str(folder),
                first=first,
                context=Context(target.rds, database, target.control, EndpointNames(access)),
                restorer=restoring,
                journal=journal,
                clock=clock,
                within=within,
            )

        def nested(_: Before) -> None:
            if wanted.within is not None:
                session(wanted.within(first), 2, lambda _: None).carry_out()

        session(wanted.make(first), 1, nested).carry_out()
        left = replay(journal, restoring, clock, cluster)
        assert left == [], left


if __name__ == "__main__":
    _, cluster, fault, case, folder, record, when = sys.argv
    main(cluster, fault, case, Path(folder), int(record), after=when == "after")
