"""Synthetic runs whose truth is known: what checks and reports are tested against.

`outage_run` has one arm and a service that is refused for a while; `failover_run` is a complete run
of a writer failover. Both are whole: they record everything that they declare.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from run_builder import ORIGIN_NS, RunBuilder
from simulated_clients import Retry, Shape

from chaos.model.history import History
from chaos.model.operation import Kind

__all__ = ["ORIGIN_NS", "Retry", "RunBuilder", "Shape", "failover_run", "outage_run"]

STEADY = {"operations": 150, "success_ratio": 1.0, "latency_ms_p99": 3.1}
FAILOVER_EXPERIMENT: Mapping[str, Any] = {
    "version": 1,
    "name": "writer-failover",
    "claim": "Prepared clients write again within 10 s of a writer failover.",
    "workload": {
        "arms": [{"arm": "default-pool"}, {"arm": "resilient"}],
        "writes_per_s": 50.0,
        "reads_per_s": 50.0,
        "warmup_s": 5.0,
        "cooldown_s": 6.0,
    },
    "method": [{"fault": "failover-cluster", "target": "writer"}],
    "objectives": [
        {
            "check": "interruption",
            "arm": "resilient",
            "endpoint": "cluster",
            "operation": "write",
            "interruption_s_max": 10.0,
        },
        {"check": "acknowledged-writes", "lost_writes_max": 0},
        {"check": "restored"},
    ],
}


def outage_run(folder: Path, *, until_s: float = 20.0, repeats: int = 1) -> RunBuilder:
    """Describe writes that are refused for 2 s after each of some injections, 10 s apart."""
    run = RunBuilder(folder / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=until_s)
    run.probes("cluster", Kind.WRITE, until_s=until_s, period_s=0.1)
    for repeat in range(repeats):
        at_s = 5.0 + 10.0 * repeat
        run.outage("cluster", at_s + 0.1, at_s + 2.1, Shape.REFUSE)
        run.fault("failover-cluster", at_s, fault_id=repeat + 1, repeat=repeat + 1)
    run.fill(until_s=until_s)
    return run


def failover_run(folder: Path, *, seed: int = 0, repeats: int = 1) -> RunBuilder:
    """Describe a run of `repeats` writer failovers, 15 s apart, the first at 10 s.

    Each: service refused from +0.1 to +1.5 s; the new writer known by SQL at +1.4 s, by the API at
    +1.9 s, by DNS at +1.5 s, stale once more at +1.7 s, right again at +1.8 s; a third of the
    `default-pool` arm's writes is answered 25006 until +6 s.
    """
    run = RunBuilder(folder, experiment=FAILOVER_EXPERIMENT, seed=seed)
    until_s = 10.0 + 15.0 * repeats
    for endpoint, kind in (("cluster", Kind.WRITE), ("reader", Kind.READ)):
        run.traffic(
            "resilient", endpoint, kind, per_s=50, until_s=until_s, retry=Retry(pause_s=0.05)
        )
        read_only = (11.5, 16.0, 0.33) if kind is Kind.WRITE else None
        run.traffic("default-pool", endpoint, kind, per_s=50, until_s=until_s, read_only=read_only)
        run.probes(endpoint, kind, until_s=until_s)
    names = list(run.members)
    for name in names:
        run.probes(name, Kind.READ, until_s=until_s, period_s=0.1)
        run.observe(0.1, "role", name, "writer" if name == names[0] else "reader")
        run.observe(0.2, "capacity", name, "0.5")
    run.topology(0.3, names[0])
    run.observe(0.2, "dns", "cluster", names[0])
    run.observe(0.2, "dns", "reader", ",".join(names[1:]))
    run.observe(0.3, "capacity", run.cluster, "0.5-8.0")
    run.event(
        4.5, "steady", probe="resilient write", when="before", ok=True, measured=STEADY, why=""
    )
    for repeat in range(repeats):
        _failover(run, 10.0 + 15.0 * repeat, repeat, names)
    run.event(
        until_s - 0.5,
        "steady",
        probe="resilient write",
        when="after",
        ok=True,
        measured=STEADY,
        why="",
    )
    run.alive(until_s=until_s)
    run.everything_applied = True
    return run


def _failover(run: RunBuilder, at_s: float, repeat: int, names: list[str]) -> None:
    old, new = names[repeat % 2], names[(repeat + 1) % 2]
    run.writers.append((at_s + 1.5, new))
    run.outage("cluster", at_s + 0.1, at_s + 1.5, Shape.REFUSE)
    run.outage(old, at_s + 0.1, at_s + 2.5, Shape.REFUSE)
    run.outage(new, at_s + 0.9, at_s + 1.2, Shape.FREEZE)
    run.fault(
        "failover-cluster", at_s, accepted_s=at_s + 0.04, effect_s=at_s + 1.9, ended_s=at_s + 5.0,
        fault_id=repeat + 1, repeat=repeat + 1, requested_target="writer",
        actual_target=old,
    )  # fmt: skip
    for after_s, kind, subject, value in (
        (0.06, "status", run.cluster, "failing-over"),
        (0.15, "role", old, "unreachable"),
        (1.40, "role", new, "writer"),
        (1.50, "dns", "cluster", new),
        (1.70, "dns", "cluster", old),
        (1.80, "dns", "cluster", new),
        (1.90, "writer", run.cluster, new),
        (2.00, "status", run.cluster, "available"),
        (2.60, "role", old, "reader"),
    ):
        run.observe(at_s + after_s, kind, subject, value)
    for after_s, event_id, text in (
        (0.1, "RDS-EVENT-0073", f"Started cross AZ failover to DB instance: {new}"),
        (2.0, "RDS-EVENT-0071", f"Completed failover to DB instance: {new}"),
    ):
        run.observe(
            at_s + after_s, "event", run.cluster, text, event_id=event_id, categories=["failover"]
        )


@pytest.fixture
def run_builder(tmp_path: Path) -> RunBuilder:
    """An empty synthetic run."""
    return RunBuilder(tmp_path / "20260101T000000Z-synthetic")


@pytest.fixture
def failover_history(tmp_path: Path) -> History:
    """A complete synthetic run of one failover."""
    return failover_run(tmp_path / "20260101T000000Z-writer-failover").write()
