"""Clients in threads and a server that answers nothing: deadlines, and the end of the traffic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fix_postgres import PlainPostgres

from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import Kind, Outcome
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.traffic import STOP_S_MIN, Traffic

pytestmark = [pytest.mark.seconds(15)]

DEADLINE_S = 0.5
DEADLINE = "----- DeadlineExceeded"
STOPPED = "----- Stopped"


class Rig:
    """asyncpg with a deadline of its own, and without."""

    def __init__(self, postgres: PlainPostgres, folder: Path) -> None:
        self.postgres, self.folder = postgres, folder
        ledger.prepare(postgres.access(), folder.name)
        arms = tuple(
            ArmTraffic(
                arm=name,
                client={
                    "arm": "asyncpg",
                    "changes": {
                        "pool": {"min_size": 1, "max_size": 3},
                        "retry": {"policy": "none"},
                        **changes,
                    },
                },
                writes_per_s=20,
                reads_per_s=20,
                users=3,
            )
            for name, changes in {"hasty": {"deadline_s": DEADLINE_S}, "patient": {}}.items()
        )
        self.traffic: Traffic | None = Traffic(
            TrafficConfig(run=folder.name, arms=arms), postgres.access(), folder
        )
        self.traffic.start(60)

    def stop(self) -> None:
        traffic, self.traffic = self.traffic, None
        if traffic is not None:
            traffic.stop(STOP_S_MIN)

    def log(self, arm: str) -> OperationLog:
        return load_operations(self.folder / "operations", arm)

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


def test_the_loop_keeps_the_deadline_and_the_end_cuts_off_who_has_none(rig: Rig) -> None:
    with rig.postgres.frozen():
        wait_until(lambda: len(rig.failures("hasty", DEADLINE)) > 2, "deadlines", timeout_s=60)
        rig.stop()  # within its time, though the calls of the patient one never return
    late = rig.failures("hasty", DEADLINE)
    took_s = (late["ended_ns"] - late["started_ns"]) / 1e9
    assert np.all(took_s >= DEADLINE_S * 0.99), "never sooner than the client gave up"
    cut = rig.failures("patient", STOPPED)
    sent = cut[cut["attempts"] > 0]
    assert len(sent) > 0
    writes, reads = sent[sent["kind"] == Kind.WRITE], sent[sent["kind"] == Kind.READ]
    assert np.all(writes["outcome"] == Outcome.UNKNOWN), "what a thread does later is not known"
    assert np.all(reads["outcome"] == Outcome.FAILED)
    counted = ledger.reconcile(rig.postgres.access(), rig.folder, rig.folder.name)
    assert counted.complete, counted.why
    for arm in ("hasty", "patient"):
        told = counted.arms[arm]
        assert (told.lost, told.failed_applied, told.unexpected) == (0, 0, 0)
