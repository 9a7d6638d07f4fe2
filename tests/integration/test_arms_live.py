"""Every arm against a real cluster: as greenlets and as threads, through a pause and a failover."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from fix_clients import fail_over, settled_writer
from fix_server import LiveCluster

from chaos.model.history import OperationLog, Records, load_operations
from chaos.model.operation import ConnectionEvent, Kind, Outcome, Role
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.arms import CATALOGUE
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.configured import ArmRules, keep_sources
from loadgen.traffic import STOP_S_MIN, Traffic

pytestmark = pytest.mark.alone  # a process for each arm, and each must be served in time

START_S = 60.0
STOP_S = STOP_S_MIN + 30  # how long it takes is not what is tested
SERVED_MIN = 4
KEYED = {"resilient"}
FOLLOWING = {"resilient", "multi-host", "null-pool", "aws-wrapper", "checked-pool"}
"""Arms that find the new writer by themselves, however the failover goes."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "arms.md"


def own_arm(folder: Path) -> ArmTraffic:
    """The complete driver that docs/arms.md shows, as an experiment would name it."""
    (block,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
        if "class CheckedPool" in block
    ]
    (folder / "checked.py").write_text(block)
    rules = ArmRules(folder)
    assert list(rules.of_file("checked.py")) == ["checked-pool"]
    entry = {"arm": "checked-pool", "file": "checked.py", "name": "checked-pool"}
    assert rules.problem(entry, "arm") is None
    return traffic_of("checked-pool", client=rules.client_of(entry))


def traffic_of(arm: str, **client: object) -> ArmTraffic:
    return ArmTraffic(arm=arm, writes_per_s=10, reads_per_s=10, users=3, **client)  # type: ignore[arg-type]


class Ran:
    """What all arms recorded of two stretches of traffic with a pause between, and a failover."""

    def __init__(self, live: LiveCluster, folder: Path) -> None:
        self.live, self.folder = live, folder
        access, run = live.state.access, folder.name
        arms = (*(traffic_of(arm.name) for arm in CATALOGUE), own_arm(folder))
        self.arms = tuple(arm.arm for arm in arms)
        ledger.prepare(access, run)
        keep_sources(arms, folder)
        traffic = Traffic(TrafficConfig(run=run, arms=arms), access, folder)
        traffic.start(START_S)
        try:
            traffic.pause(30)
            self.paused_ns = time.monotonic_ns()
            wait_until(lambda: not self._sessions(), "every session to end", timeout_s=120)
            self.paused_to_ns = time.monotonic_ns()
            traffic.resume(self.paused_to_ns, 30)
            self._await_successes(self.paused_to_ns, self.arms)
            self.old = settled_writer(live)
            self.failover_ns = time.monotonic_ns()
            fail_over(live)
            self.new = settled_writer(live)
            self.settled_ns = time.monotonic_ns()
            self._await_successes(self.settled_ns, FOLLOWING)
            traffic.check()
        finally:
            traffic.stop(STOP_S)
        self.ledger = ledger.reconcile(access, folder, run)
        ledger.drop(access, run)

    def log(self, arm: str) -> OperationLog:
        return load_operations(self.folder / "operations", arm)

    def stream(self, arm: str, kind: Kind) -> Records:
        return next(s.records for s in self.log(arm).streams() if s.kind is kind)

    def _sessions(self) -> int:
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'gameday-%'"
        return sum(int(self.live.sql(instance, count)) for instance in self.live.instances())

    def _await_successes(self, since_ns: int, arms: object) -> None:
        def all_served() -> bool:
            for arm in self.arms:
                if arm not in arms:  # type: ignore[operator]
                    continue
                for kind in (Kind.WRITE, Kind.READ):
                    records = self.stream(arm, kind)
                    newer = records[records["intended_ns"] > since_ns]
                    if np.count_nonzero(newer["outcome"] == Outcome.OK) < SERVED_MIN:
                        return False
            return True

        wait_until(all_served, "every arm to be served", timeout_s=120)


@pytest.fixture(scope="module")
def ran(live: LiveCluster, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    settled_writer(live)
    return Ran(live, tmp_path_factory.mktemp("arms"))


ARMS = [*(arm.name for arm in CATALOGUE), "checked-pool"]


@pytest.mark.parametrize("arm", ARMS)
def test_before_the_failover_every_operation_is_served_by_whom_it_should_be(
    ran: Ran, arm: str
) -> None:
    log = ran.log(arm)
    for kind, readers in ((Kind.WRITE, False), (Kind.READ, True)):
        records = ran.stream(arm, kind)
        done = records["outcome"] == Outcome.OK
        before = records[done & (records["ended_ns"] < ran.failover_ns)]
        assert len(before) >= SERVED_MIN
        served_by = {log.names[i] for i in before["instance"]}
        assert served_by <= (set(ran.live.instances()) - {ran.old} if readers else {ran.old})
        assert np.all(before["waited_us"] <= (before["ended_ns"] - before["started_ns"]) // 1000)
        if not readers:
            assert before["waited_us"].max() > 0, "the first one waited for its connection"


@pytest.mark.parametrize("arm", ARMS)
def test_every_connection_is_on_record_from_its_beginning_to_its_end(ran: Ran, arm: str) -> None:
    log = ran.log(arm)
    connections = log.connections
    opened = connections[connections["event"] == ConnectionEvent.OPENED]
    closed = connections[connections["event"] == ConnectionEvent.CLOSED]
    assert np.all(opened["began_ns"] <= opened["at_ns"])
    assert np.all(closed["began_ns"] < closed["at_ns"])
    known = {(int(c["backend_pid"]), int(c["instance"]), int(c["at_ns"])) for c in opened}
    ended = [(int(c["backend_pid"]), int(c["instance"]), int(c["began_ns"])) for c in closed]
    assert len(set(ended)) == len(ended), "a connection ends once"
    assert set(ended) <= known, "each ends as it began"
    if arm != "aws-wrapper":  # how long the wrapper takes to let go is its own affair
        assert set(ended) == known, "and at the latest with the traffic"
    for connection in opened[opened["at_ns"] < ran.failover_ns]:
        is_writer = log.names[connection["instance"]] == ran.old
        assert connection["role"] == (Role.WRITER if is_writer else Role.READER)
        assert log.names[connection["address"]].startswith("127.")
    by_operations = {
        (int(o["backend_pid"]), int(o["instance"]))
        for o in log.operations
        if o["outcome"] == Outcome.OK
    }
    assert by_operations <= {(pid, instance) for pid, instance, _ in known}


def test_while_traffic_is_paused_nothing_is_asked(ran: Ran) -> None:
    """That no session is left the fixture has waited for."""
    for arm in ran.arms:
        started = ran.log(arm).operations["started_ns"]
        assert not np.any((started > ran.paused_ns) & (started < ran.paused_to_ns)), arm


@pytest.mark.parametrize("arm", sorted(FOLLOWING))
def test_an_arm_that_follows_the_failover_writes_on_the_new_writer(ran: Ran, arm: str) -> None:
    log = ran.log(arm)
    writes = ran.stream(arm, Kind.WRITE)
    after = writes[(writes["intended_ns"] > ran.settled_ns) & (writes["outcome"] == Outcome.OK)]
    assert {log.names[i] for i in after["instance"]} == {ran.new}


def test_what_every_client_was_told_is_there_and_keyed_writes_are_there_once(ran: Ran) -> None:
    assert ran.ledger.complete, ran.ledger.why
    for arm in ran.arms:
        told = ran.ledger.arms[arm]
        assert told.acknowledged > 0
        assert (told.lost, told.failed_applied, told.unexpected) == (0, 0, 0), arm
        if arm in KEYED:
            assert told.duplicated == 0


def test_the_file_of_an_own_arm_is_kept_with_the_run(ran: Ran) -> None:
    assert "class CheckedPool" in (ran.folder / "arms" / "checked-pool.py").read_text()
