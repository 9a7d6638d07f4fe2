"""A server that answers nothing: deadlines, the end of the traffic; and a driver that is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fix_postgres import PlainPostgres

from chaos.errors import HostError
from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import Kind, Outcome
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.configured import ArmRules
from loadgen.traffic import STOP_S_MIN, Traffic

pytestmark = [pytest.mark.seconds(25)]

DEADLINE_S = 1.0
STOP_S = STOP_S_MIN + 30  # for ever, next to a call that never returns
HASTY = ("hasty", "hasty-holder")
DEADLINE = "----- DeadlineExceeded"
STOPPED = "----- Stopped"
SMALL = {"min_size": 1, "max_size": 3}


class Rig:
    """Drivers that keep a deadline, in threads and in greenlets, and one that has none."""

    def __init__(self, postgres: PlainPostgres, folder: Path) -> None:
        self.postgres, self.folder = postgres, folder
        ledger.prepare(postgres.access(), folder.name)
        arms = tuple(
            ArmTraffic(
                arm=name,
                client={"arm": arm, "changes": {"retry": {"policy": "none"}, **changes}},
                writes_per_s=20,
                reads_per_s=20,
                users=3,
            )
            for name, arm, changes in (
                ("hasty", "asyncpg", {"deadline_s": DEADLINE_S, "pool": SMALL}),
                ("hasty-holder", "held-connection", {"deadline_s": DEADLINE_S}),
                ("patient", "asyncpg", {"pool": SMALL}),
            )
        )
        self.traffic: Traffic | None = Traffic(
            TrafficConfig(run=folder.name, arms=arms), postgres.access(), folder
        )
        self.traffic.start(60)

    def stop(self) -> None:
        traffic, self.traffic = self.traffic, None
        if traffic is not None:
            traffic.stop(STOP_S)

    def log(self, arm: str) -> OperationLog:
        return load_operations(self.folder / "operations", arm)

    def served_after(self, arm: str, instant_ns: int) -> bool:
        """Whether a write and a read that were intended later have succeeded."""
        operations = self.log(arm).operations
        good = operations[operations["outcome"] == Outcome.OK]
        return set(good["kind"][good["intended_ns"] > instant_ns]) == {Kind.WRITE, Kind.READ}

    def failures(self, arm: str, error: str) -> np.ndarray:  # type: ignore[type-arg]
        log = self.log(arm)
        named = [log.names[i] == error for i in log.operations["error"]]
        return log.operations[np.array(named, dtype=bool)]


@pytest.fixture
def rig(postgres: PlainPostgres, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(postgres, tmp_path)
    yield made
    made.stop()
    ledger.drop(postgres.access(), tmp_path.name)


def test_a_deadline_ends_an_attempt_and_its_connection_and_the_next_one_is_served(
    rig: Rig,
) -> None:
    with rig.postgres.frozen():
        for arm in HASTY:
            wait_until(
                lambda arm=arm: len(rig.failures(arm, DEADLINE)) > 2,  # type: ignore[misc]
                f"deadlines of {arm}",
                timeout_s=60,
            )
    thawed_ns = time.monotonic_ns()
    for arm in HASTY:
        late = rig.failures(arm, DEADLINE)
        took_s = (late["ended_ns"] - late["started_ns"]) / 1e9
        assert np.all(took_s >= DEADLINE_S * 0.99), "never sooner than the client gave up"
        wait_until(lambda arm=arm: rig.served_after(arm, thawed_ns), arm, timeout_s=60)  # type: ignore[misc]


def test_the_end_cuts_off_a_thread_whose_call_does_not_return(rig: Rig) -> None:
    with rig.postgres.frozen():
        wait_until(lambda: len(rig.failures("hasty", DEADLINE)) > 2, "deadlines", timeout_s=60)
        rig.stop()  # though the calls of the patient one never return
    cut = rig.failures("patient", STOPPED)
    sent = cut[cut["attempts"] > 0]
    assert len(sent) > 0
    writes, reads = sent[sent["kind"] == Kind.WRITE], sent[sent["kind"] == Kind.READ]
    assert np.all(writes["outcome"] == Outcome.UNKNOWN), "what a thread does later is not known"
    assert np.all(reads["outcome"] == Outcome.FAILED)
    counted = ledger.reconcile(rig.postgres.access(), rig.folder, rig.folder.name)
    assert counted.complete, counted.why
    for arm in (*HASTY, "patient"):
        told = counted.arms[arm]
        assert (told.lost, told.failed_applied, told.unexpected) == (0, 0, 0)


def test_a_driver_of_ones_own_that_cannot_be_made_is_told_of_with_its_line(
    postgres: PlainPostgres, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "from loadgen.arm import Arm, Retry\n"
        "class Mine:\n    errors = ()\n    def __init__(self, way):\n        way.nothing\n"
        "    def session(self): ...\n    def trouble(self, error): ...\n    def close(self): ...\n"
        "A = Arm(name='mine', description='', retry=Retry.none(), driver=Mine)\n"
    )
    rules = ArmRules(tmp_path)
    assert list(rules.of_file("mine.py")) == ["mine"]
    client = rules.client_of({"arm": "mine", "file": "mine.py"})
    arm = ArmTraffic(arm="mine", client=client, writes_per_s=1, reads_per_s=1)
    traffic = Traffic(TrafficConfig(run="own", arms=(arm,)), postgres.access(), tmp_path)
    with pytest.raises(HostError, match=r"defect in mine\.py:5: AttributeError.*nothing"):
        traffic.start(60)
