"""Traffic through a failover of the test cluster: the poisoned pool, found and shown beside its cure."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from chaos.cli.target import Target
from chaos.clock import MonotonicClock
from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import Kind, Outcome
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.traffic import STOP_S_MIN, Traffic

BOTH = ("default-pool", "resilient")
READ_ONLY = "25006 ReadOnlySqlTransaction"


def writes(folder: Path, arm: str) -> tuple[OperationLog, np.ndarray]:
    log = load_operations(folder / "operations", arm)
    return log, log.operations[log.operations["kind"] == Kind.WRITE]


def test_a_failover_poisons_default_pool_and_resilient_loses_nothing(
    target: Target, tmp_path: Path
) -> None:
    access = target.connect(target.topology())
    old_writer = target.topology().writer
    assert old_writer is not None
    ledger.prepare(access, tmp_path.name)
    traffic = Traffic(
        TrafficConfig(
            run=tmp_path.name,
            # One user keeps one pooled connection, so that default-pool is poisoned whole.
            arms=tuple(ArmTraffic(arm=a, writes_per_s=25, reads_per_s=25, users=1) for a in BOTH),
        ),
        access,
        tmp_path,
    )
    try:
        traffic.start(40)
        failover_ns = time.monotonic_ns()
        target.rds.failover(None)
        wait_until(
            lambda: target.topology().all_available() and target.topology().writer != old_writer,
            "the failover to end",
            timeout_s=30,
        )
        MonotonicClock().sleep(4)  # several TTLs of the cluster endpoint
        settled_ns = time.monotonic_ns()
        MonotonicClock().sleep(1.5)
        traffic.check()
    finally:
        traffic.stop(STOP_S_MIN)
        accounts = ledger.reconcile(access, tmp_path, tmp_path.name)
        ledger.drop(access, tmp_path.name)
    new_writer = target.topology().writer
    assert new_writer is not None
    assert accounts.complete, accounts.why
    assert accounts.read_from == new_writer.id
    for arm in BOTH:
        account = accounts.arms[arm]
        assert account.lost == account.failed_applied == account.unexpected == 0
    assert accounts.arms["resilient"].duplicated == 0

    log, ops = writes(tmp_path, "default-pool")
    late = ops[ops["intended_ns"] > settled_ns]
    assert len(late) > 20
    assert np.all(late["outcome"] == Outcome.FAILED)
    assert {log.names[i] for i in np.unique(late["error"])} == {READ_ONLY}
    assert {log.names[i] for i in np.unique(late["instance"])} == {old_writer.id}

    log, ops = writes(tmp_path, "resilient")
    early, late = ops[ops["ended_ns"] < failover_ns], ops[ops["intended_ns"] > settled_ns]
    assert np.all(late["outcome"] == Outcome.OK)
    assert {log.names[i] for i in np.unique(early["instance"])} == {old_writer.id}
    assert {log.names[i] for i in np.unique(late["instance"])} == {new_writer.id}
    # It met the demoted writer too, left it, and the records say which instance that was.
    demoted = log.attempts[log.attempts["error"] == log.names.index(READ_ONLY)]
    assert {log.names[i] for i in np.unique(demoted["instance"])} == {old_writer.id}
