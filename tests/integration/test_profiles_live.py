"""Every profile at once against a small cluster that fails over, and a generator that stands still."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from chaos.checks.generator import generator_was_slow
from chaos.checks.recording import Recording
from chaos.cli.target import Target, opened
from chaos.clock import NS, Anchor, MonotonicClock
from chaos.model.history import History, Records, load_operations
from chaos.model.ledger import Ledger
from chaos.model.operation import NO_WRITE_ID, Kind, Outcome
from chaos.model.record import Observation, read_observations
from chaos.testcluster.records import ClusterSpec
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.profiles import find
from loadgen.tables import SUM_OF_BALANCES
from loadgen.traffic import STOP_S_MIN, Traffic

pytestmark = pytest.mark.alone  # five arms at once, each to be served on its schedule

ASKS = {
    "resilient": "bank-transfer",
    "pre-ping": "read-your-writes",
    "psycopg-pool": "transactions",
    "default-pool": "write-heavy",
    "read-only-is-disconnect": "read-heavy",
}
OPERATIONS_PER_S = 20.0
FACTOR = 3.0
"""What the rates are multiplied with once the shape begins."""
HELD_S = 2.0
HELD = "default-pool"


@dataclass(frozen=True)
class Told:
    """What the run left behind."""

    arms: dict[str, Records]
    observations: list[Observation]
    ledger: Ledger
    shaped_ns: int
    held_ns: tuple[int, int]

    def of(self, arm: str, kind: Kind) -> Records:
        records = self.arms[arm]
        chosen: Records = records[records["kind"] == kind]
        return chosen


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    log = tmp_path_factory.mktemp("profiles") / "cluster.log"
    with opened(None, ClusterSpec(readers=1), log, lambda _: None) as found:
        yield found


@pytest.fixture(scope="module")
def told(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Let every profile ask; change the rates, hold one generator, fail over; then end it."""
    folder = tmp_path_factory.mktemp("run")
    before = target.topology()
    access = target.connect(before)
    ledger.prepare(access, folder.name, holders=["resilient"])
    arms = tuple(
        ArmTraffic(
            arm=arm,
            profile=profile,
            operations_per_s=OPERATIONS_PER_S,
            shape={"step": [{"at_s": 0, "factor": 1}, {"at_s": 1, "factor": FACTOR}]},
            think_time_s=0.01,
        )
        for arm, profile in ASKS.items()
    )
    traffic = Traffic(TrafficConfig(run=folder.name, arms=arms, seed=7), access, folder)
    try:
        traffic.start(90)
        shaped_ns = time.monotonic_ns()
        traffic.shape(shaped_ns, 30)
        held_ns = hold(folder)
        await_successes(folder, shaped_ns + 4 * NS, ASKS)
        target.rds.failover(None)
        wait_until(
            lambda: target.topology().all_available() and target.topology().writer != before.writer,
            "the failover to end",
            timeout_s=120,
        )
        # The others may keep connections to the demoted writer for ever.
        await_successes(folder, time.monotonic_ns(), ["resilient"])
        traffic.check()
    finally:
        traffic.stop(STOP_S_MIN)
        accounts = ledger.reconcile(access, folder, folder.name)
        ledger.drop(access, folder.name)
    return Told(
        arms={arm: load_operations(folder / "operations", arm).operations for arm in ASKS},
        observations=read_observations(folder / "observations.jsonl"),
        ledger=accounts,
        shaped_ns=shaped_ns,
        held_ns=held_ns,
    )


def hold(folder: Path) -> tuple[int, int]:
    """Stop the process of one arm for a while, as a starved machine would; return from when to when."""
    (process,) = (
        child
        for child in psutil.Process().children(recursive=True)
        if "locust_process" in " ".join(child.cmdline())
        and any(f.path == str(folder / "operations" / f"{HELD}.ops") for f in child.open_files())
    )
    from_ns = time.monotonic_ns()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        MonotonicClock().sleep(HELD_S)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    return from_ns, time.monotonic_ns()


def await_successes(folder: Path, after_ns: int, arms: Iterable[str]) -> None:
    """Wait until an operation of each stream that was due after an instant has succeeded."""

    def succeeded() -> bool:
        for arm in arms:
            log = load_operations(folder / "operations", arm)
            new = log.operations[log.operations["intended_ns"] > after_ns]
            new = new[new["outcome"] == Outcome.OK]
            seen = {(log.names[op["endpoint"]], Kind(op["kind"])) for op in new}
            if not {(s.endpoint, s.kind) for s in find(ASKS[arm]).streams} <= seen:
                return False
        return True

    wait_until(succeeded, "each stream to be served", timeout_s=120)


@pytest.mark.parametrize("arm", ASKS)
def test_each_stream_has_its_share_of_a_rate_that_follows_the_shape(told: Told, arm: str) -> None:
    records = told.arms[arm]
    shaped_s = (records["intended_ns"] - told.shaped_ns) / NS
    for stream in find(ASKS[arm]).streams:
        chosen = records["kind"] == stream.kind
        same = [s for s in find(ASKS[arm]).streams if s.kind is stream.kind]
        rate = sum(s.share for s in same) * OPERATIONS_PER_S
        # By second 2 what users had taken ahead, at the old rate, is due.
        due = np.count_nonzero(chosen & (shaped_s >= 2) & (shaped_s < 4))
        assert due == pytest.approx(2 * rate * FACTOR, abs=2 * len(same))


def test_every_write_and_every_transaction_is_accounted_for(told: Told) -> None:
    assert told.ledger.complete, told.ledger.why
    for arm in ASKS:
        account = told.ledger.arms[arm]
        assert account.acknowledged > 0
        assert account.lost == account.failed_applied == account.unexpected == 0
    assert told.ledger.arms["resilient"].duplicated == 0


def test_no_read_ever_saw_another_sum_and_every_instance_holds_it(told: Told) -> None:
    sums = [o for o in told.observations if o.kind == "sum"]
    assert {o.subject for o in sums} == {"resilient"}
    assert {o.value for o in sums} == {str(SUM_OF_BALANCES)}
    assert all(o.detail["instance"] for o in sums)


def test_a_read_through_the_cluster_endpoint_shows_what_was_acknowledged_before(
    told: Told,
) -> None:
    """Before the failover alone: after it a client may sit on the demoted writer for a while."""
    writes = told.of("pre-ping", Kind.WRITE)
    reads = told.of("pre-ping", Kind.READ)
    assert np.count_nonzero(reads["write_id"] != NO_WRITE_ID) > 20
    calm = told.shaped_ns + 3 * NS
    writes = writes[(writes["outcome"] == Outcome.OK) & (writes["ended_ns"] < calm)]
    writes = writes[np.argsort(writes["ended_ns"])]
    newest = np.maximum.accumulate(writes["write_id"])
    endpoints = np.unique(reads["endpoint"])
    assert len(endpoints) == 2
    lacking = {}
    for endpoint in endpoints:
        asked = reads[(reads["endpoint"] == endpoint) & (reads["outcome"] == Outcome.OK)]
        asked = asked[(asked["started_ns"] > writes["ended_ns"][0]) & (asked["ended_ns"] < calm)]
        known = newest[np.searchsorted(writes["ended_ns"], asked["started_ns"]) - 1]
        lacking[int(endpoint)] = int(np.count_nonzero(asked["write_id"] < known))
    assert min(lacking.values()) == 0, "the writer always shows its own writes"


def test_a_generator_that_stood_still_is_named(told: Told, tmp_path: Path) -> None:
    history = History(
        folder=tmp_path,
        environment={},
        experiment={},
        events=(),
        observations=tuple(told.observations),
        arms={},
        ledger=None,
        anchor=Anchor.take(),
        origin_ns=told.shaped_ns,
    )
    why = generator_was_slow(Recording(history), HELD, *told.held_ns)
    assert why is not None
    assert "the traffic generator itself fell" in why
    late = [o for o in told.observations if o.kind == "lag" and o.subject == HELD]
    assert max(float(o.value) for o in late) > (HELD_S - 0.1) * 1e3
    assert all(0 <= o.detail["cpu_share"] < 2 for o in late)
    assert all(0 <= o.detail["queued_share"] < 1.1 for o in late)
