"""Traffic through a failover of the test cluster: the poisoned pool, found and shown beside its cure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chaos.cli.target import Target, opened
from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import Kind, Outcome
from chaos.testcluster.records import ClusterSpec
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.traffic import STOP_S_MIN, Traffic

pytestmark = pytest.mark.seconds(25)

BOTH = ("default-pool", "resilient")
READ_ONLY = "25006 ReadOnlySqlTransaction"
SETTLED = 100
"""Writes in a row that show how an arm will stay: 4 s, several lifetimes of the endpoint's name."""
SHOWN = 20
"""Writes after that on which it is judged."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A cluster whose name stays with the demoted writer far longer than an arm ever waits."""
    log = tmp_path_factory.mktemp("poisoned") / "cluster.log"
    with opened(None, ClusterSpec(dns_flip_s=12), log, lambda _: None) as found:
        yield found


def writes(folder: Path, arm: str) -> tuple[OperationLog, np.ndarray]:
    log = load_operations(folder / "operations", arm)
    return log, log.operations[log.operations["kind"] == Kind.WRITE]


def ends_in(folder: Path, arm: str, error: str, instance: str) -> bool:
    """Whether the latest writes of an arm all met one error (or none) on one instance."""
    log, ops = writes(folder, arm)
    last = ops[np.argsort(ops["ended_ns"])][-SETTLED:]
    return len(last) == SETTLED and all(
        (log.names[op["error"]], log.names[op["instance"]]) == (error, instance) for op in last
    )


def since(folder: Path, arm: str, at_ns: int) -> int:
    """Return how many writes were due, and are recorded, since an instant."""
    return int((writes(folder, arm)[1]["intended_ns"] > at_ns).sum())


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
            timeout_s=120,
        )
        new_writer = target.topology().writer
        assert new_writer is not None
        wait_until(
            lambda: (
                ends_in(tmp_path, "default-pool", READ_ONLY, old_writer.id)
                and ends_in(tmp_path, "resilient", "", new_writer.id)
            ),
            "both arms to be as they will stay",
            timeout_s=120,
        )
        settled_ns = time.monotonic_ns()
        wait_until(
            lambda: min(since(tmp_path, arm, settled_ns) for arm in BOTH) > SHOWN,
            "writes after that",
            timeout_s=60,
        )
        traffic.check()
    finally:
        stopping_ns = time.monotonic_ns()
        traffic.stop(STOP_S_MIN)
        accounts = ledger.reconcile(access, tmp_path, tmp_path.name)
        ledger.drop(access, tmp_path.name)
    assert accounts.complete, accounts.why
    assert accounts.read_from == new_writer.id
    for arm in BOTH:
        account = accounts.arms[arm]
        assert account.lost == account.failed_applied == account.unexpected == 0
    assert accounts.arms["resilient"].duplicated == 0

    log, ops = writes(tmp_path, "default-pool")
    # What the end of the traffic cut off shows nothing.
    late = ops[(ops["intended_ns"] > settled_ns) & (ops["ended_ns"] < stopping_ns)]
    assert len(late) > SHOWN
    assert np.all(late["outcome"] == Outcome.FAILED)
    errors = {log.names[i] for i in np.unique(late["error"])}
    assert errors == {READ_ONLY}
    assert {log.names[i] for i in np.unique(late["instance"])} == {old_writer.id}

    log, ops = writes(tmp_path, "resilient")
    early = ops[ops["ended_ns"] < failover_ns]
    late = ops[(ops["intended_ns"] > settled_ns) & (ops["ended_ns"] < stopping_ns)]
    assert np.all(late["outcome"] == Outcome.OK)
    assert {log.names[i] for i in np.unique(early["instance"])} == {old_writer.id}
    assert {log.names[i] for i in np.unique(late["instance"])} == {new_writer.id}
    # It met the demoted writer too, left it, and the records say which instance that was.
    demoted = log.attempts[log.attempts["error"] == log.names.index(READ_ONLY)]
    assert {log.names[i] for i in np.unique(demoted["instance"])} == {old_writer.id}
