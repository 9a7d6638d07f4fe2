"""Traffic and probes that stand still on a server of their own: no session, no operation, no failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fix_outage import Rig, running_rig

from chaos.clock import MonotonicClock
from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import PROBE_ARM, Kind, Outcome
from chaos.model.record import read_events, read_observations
from chaos.run.journal import Journal
from chaos.run.load import StandingLoad
from chaos.wait import wait_until
from loadgen.config import ArmTraffic
from loadgen.workload import LocustWorkload

pytestmark = pytest.mark.seconds(20)

ARMS = ("default-pool", "resilient")
PATIENCE_S = 60.0
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    " AND application_name LIKE 'gameday%%'"
)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running_rig() as running:
        yield running


@dataclass
class Flowing:
    """A run's whole load at work."""

    rig: Rig
    folder: Path
    journal: Journal
    load: StandingLoad

    def log(self, arm: str) -> OperationLog:
        return load_operations(self.folder / "operations", arm)

    def await_newer(self, arm: str) -> None:
        """Wait until each stream of an arm had a success that was due after now."""
        now_ns = MonotonicClock().now_ns()

        def newer() -> bool:
            streams = list(self.log(arm).streams())
            return all(
                ((s.records["intended_ns"] > now_ns) & (s.records["outcome"] == Outcome.OK)).any()
                for s in streams
            )

        wait_until(newer, f"newer operations of {arm}", timeout_s=PATIENCE_S)

    def sessions(self) -> int:
        """Return how many sessions the servers have, apart from those of their own house."""
        found = 0
        for node in self.rig.nodes.values():
            row = wait_until(
                lambda node=node: node.ask(SESSIONS),  # type: ignore[misc]
                f"{node.identifier} to answer",
                timeout_s=PATIENCE_S,
            )
            assert row is not None
            found += int(row[0])
        return found

    def await_no_session(self) -> None:
        """Wait until the servers have none: what clients closed, a server ends in its own time."""
        wait_until(lambda: self.sessions() == 0, "every session to end", timeout_s=PATIENCE_S)

    def instants(self) -> dict[str, int]:
        return {
            e.data["state"]: e.at_ns
            for e in read_events(self.folder / "journal.jsonl")
            if e.type == "load"
        }


@pytest.fixture
def flowing(rig: Rig, tmp_path: Path) -> Iterator[Flowing]:
    traffic = tuple(ArmTraffic(arm=arm, writes_per_s=30, reads_per_s=30, users=8) for arm in ARMS)
    workload = LocustWorkload(traffic, 7)
    workload.prepare(rig.access, tmp_path.name)
    workers = workload.workers(rig.access, tmp_path)
    journal = Journal(tmp_path / "journal.jsonl", MonotonicClock(), lambda _: None)
    try:
        for worker in workers:
            worker.start(PATIENCE_S)
        yield Flowing(rig, tmp_path, journal, StandingLoad(workers, journal, MonotonicClock()))
    finally:
        for worker in workers:
            worker.stop(PATIENCE_S)
        journal.close()
        workload.drop(rig.access, tmp_path.name)


def test_a_load_that_stands_still_leaves_no_session_goes_on_as_before_and_can_be_stopped(
    flowing: Flowing,
) -> None:
    for arm in (*ARMS, PROBE_ARM):
        flowing.await_newer(arm)
    assert flowing.sessions() > 0

    flowing.load.pause()
    flowing.load.pause()  # Twice is no error.
    counted = {arm: len(flowing.log(arm).operations) for arm in (*ARMS, PROBE_ARM)}
    flowing.await_no_session()
    _await_spoken(flowing, 2)
    assert {arm: len(flowing.log(arm).operations) for arm in (*ARMS, PROBE_ARM)} == counted
    assert flowing.load.quiet_until_ns() > flowing.instants()["paused"]

    flowing.load.resume()
    flowing.load.resume()
    for arm in (*ARMS, PROBE_ARM):
        flowing.await_newer(arm)
    at = flowing.instants()
    assert at["pausing"] < at["paused"] < at["resumed"] == flowing.load.quiet_until_ns()
    for arm in ARMS:
        log = flowing.log(arm)
        for stream in log.streams():
            intended, outcome = stream.records["intended_ns"], stream.records["outcome"]
            assert not ((intended > at["paused"]) & (intended < at["resumed"])).any()
            assert (outcome == Outcome.OK).all(), {log.names[e] for e in stream.records["error"]}
            after = intended[intended >= at["resumed"]]
            before = intended[intended < at["resumed"]]
            assert after.min() - at["resumed"] < 1.5e9 / 30 + 1e3  # Due at once, whoever was late.
            assert np.diff(before).max() <= 1.5e9 / 30 + 1e3
        writes = log.operations["write_id"][log.operations["kind"] == Kind.WRITE]
        assert len(np.unique(writes)) == len(writes)

    # It can be stopped as it stands: the fixture does, and raises if a process did not end properly.
    flowing.load.pause()
    flowing.await_no_session()


def _await_spoken(flowing: Flowing, times: int) -> None:
    """Wait until probes and generators have said so often that they are alive."""
    since_ns = MonotonicClock().now_ns()

    def spoken() -> bool:
        seen = [
            (o.kind, o.subject)
            for o in read_observations(flowing.folder / "observations.jsonl")
            if o.at_ns > since_ns
        ]
        return all(
            seen.count(who) >= times for who in [("alive", "probes"), *(("lag", a) for a in ARMS)]
        )

    wait_until(spoken, "everybody to say that they are alive", timeout_s=PATIENCE_S)
