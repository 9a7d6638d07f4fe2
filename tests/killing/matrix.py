"""Kills the runner at points of a fault's journal and lets `gameday recover` restore the cluster.

    make kill9                                  every fault that changes something, every record
    python -m killing.matrix FAULT...           some faults

Prints a line for each fault and "N of N" at the end; exits 1 if any was not restored.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from conformance.case import KINDS
from conformance.families import all_cases

from chaos.cli.target import Target, opened
from chaos.clock import MonotonicClock
from chaos.db.sessions import Sessions
from chaos.model.record import read_events
from chaos.model.snapshot import Snapshot, differences
from chaos.run.journal import Journal
from chaos.run.recovery import calm, left_by, recover, take
from chaos.run.rig import Restoring
from chaos.safety.undo.base import UndoRecord
from chaos.testcluster.process import lifecycle
from chaos.testcluster.records import ClusterSpec

TESTS = Path(__file__).parents[1]
RUNNER_TIMEOUT_S = 300.0
RECORDS_MAX = 200
AT_ONCE = 4
STANDARD = 3
"""Clusters of the standard kind."""
When = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A test cluster that outlives the runners, and its first shape."""

    target: Target
    restoring: Restoring
    shape: Snapshot
    writer: str

    @classmethod
    def of(cls, target: Target) -> Standing:
        topology = target.topology()
        restoring = Restoring(
            target.rds, Sessions(target.connect(topology)), target.control, lambda _: None
        )
        writer = topology.writer
        assert writer is not None
        return cls(target, restoring, take(restoring), writer.id)


@contextmanager
def standing(kind: str, identifier: str, logs: Path) -> Iterator[Standing]:
    """Start a test cluster of a kind in a server of its own, and end it after."""
    state = lifecycle.up(replace(KINDS[kind], id=identifier))
    try:
        with opened(state.id, ClusterSpec(), logs / "cluster.log", lambda _: None) as target:
            yield Standing.of(target)
    finally:
        lifecycle.down(state.id)


def killed(cluster: str, fault: str, case: str, folder: Path, record: int, when: When) -> bool:
    """Carry a fault out in a process that kills itself; tell whether it came to that record."""
    folder.mkdir(parents=True)
    ended = subprocess.run(
        [sys.executable, "-m", "killing.runner", cluster, fault, case, folder, str(record), when],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))},
        capture_output=True,
        text=True,
        timeout=RUNNER_TIMEOUT_S,
        check=False,
    )
    if ended.returncode not in {0, -9}:
        raise AssertionError(f"{fault} {case} at {record}: {ended.stderr[-2000:]}")
    return ended.returncode != 0


def restored(on: Standing, journal: Path) -> list[str]:
    """Recover what a killed runner left, and tell what is not as it was before it."""
    clock = MonotonicClock()
    left = left_by(journal)
    opened_journal = Journal(journal, clock, lambda _: None)
    try:
        calm(left, opened_journal, on.target.control)
        told = recover(left, opened_journal, on.restoring, clock, on.target.rds.cluster)
    finally:
        opened_journal.close()
    now = take(on.restoring)
    told += [str(difference) for difference in differences(on.shape, now)]
    writer = now.topology.writer
    wanted_back = any(
        e.type == "undo" and e.data["action"] == "restore-writer" for e in read_events(journal)
    )
    if wanted_back and (writer is None or writer.id != on.writer):
        told.append(f"the writer is {writer.id if writer else 'nobody'}, it was {on.writer}")
    if left_by(journal):
        told.append("undo records are still open")
    if on.target.control is not None and (active := _in_force(on)):
        told.append(f"disturbances are still in force: {active}")
    return told


def _in_force(on: Standing) -> list[str]:
    control = on.target.control
    assert control is not None
    found = control.status().get("disturbances") or []
    return [str(one) for one in found]


@dataclass(frozen=True, slots=True)
class Point:
    """Where a runner died, and what was not restored after it."""

    fault: str
    case: str
    record: int
    when: When
    told: tuple[str, ...]


def every_point(on: Standing, fault: str, case: str, folder: Path) -> Iterator[Point]:
    """Kill a runner at every record of a fault's journal, in turn."""
    cluster = on.target.rds.cluster
    for record in range(1, RECORDS_MAX):
        for when in ("before", "after"):
            here = folder / f"{fault}-{record}-{when}"
            reached = killed(cluster, fault, case, here, record, when)
            if not (here / "journal.jsonl").exists():
                continue  # Died before its journal was.
            told = restored(on, here / "journal.jsonl")
            yield Point(fault, case, record, when, tuple(told))
            if not reached:
                return


def mutating() -> dict[str, str]:
    """Return the faults of which something is left to undo or to await, with their first case."""
    return {fault: next(iter(cases)) for fault, cases in all_cases().items() if fault != "noop"}


def _share(kind: str, faults: Sequence[str], folder: Path) -> list[Point]:
    """Do the faults of one kind of cluster, in a process of its own: names lead to one cluster's."""
    # A test cluster shows what it was asked for at once: nothing is on its way after a crash.
    UndoRecord.settles_s = 0.5
    found = []
    with standing(kind, f"kill-{kind}-{os.getpid()}-{folder.name}", folder) as on:
        for fault in faults:
            points = list(every_point(on, fault, mutating()[fault], folder))
            good = sum(not point.told for point in points)
            sys.stdout.write(f"{fault}: {good} of {len(points)}\n")
            sys.stdout.flush()
            found += points
    return found


def main(wanted: Sequence[str]) -> int:
    """Do every fault, those of different kinds of cluster at the same time."""
    cases = all_cases()
    faults = [fault for fault in mutating() if not wanted or fault in wanted]
    shares: dict[tuple[str, int], list[str]] = {}
    for number, fault in enumerate(faults):
        kind = cases[fault][mutating()[fault]].cluster
        shares.setdefault((kind, number % STANDARD if kind == "standard" else 0), []).append(fault)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(AT_ONCE, get_context("spawn"), max_tasks_per_child=1) as processes,
    ):
        places = [Path(folder) / f"{n}" for n in range(len(shares))]
        for place in places:
            place.mkdir()
        done = processes.map(_share, [kind for kind, _ in shares], shares.values(), places)
        points = [point for share in done for point in share]
    for point in points:
        if point.told:
            sys.stdout.write(
                f"NOT RESTORED {point.fault} {point.case}, {point.when} record {point.record}: "
                f"{'; '.join(point.told)}\n"
            )
    good = sum(not point.told for point in points)
    sys.stdout.write(f"{good} of {len(points)} kills of {len(faults)} faults were restored\n")
    return int(good != len(points))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
