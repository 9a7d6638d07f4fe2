"""Judged run folders for reports: synthetic runs whose `verdict.json` the real judgement wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fix_history import RunBuilder, failover_run

from chaos.checks.judge import judge
from chaos.definition.experiment import Experiment
from chaos.model.history import History
from chaos.model.operation import Kind, OperationWriter, Outcome

HOSTILE = 'could not connect: <script>document.title="owned"</script> & "quoted" \x00\x1b[31m'

Judged = Callable[[RunBuilder], Path]


def write_verdict(history: History, **changed: Any) -> Path:
    """Judge a recorded run, write `verdict.json` with some fields changed; return the folder."""
    objectives = Experiment.model_validate(dict(history.experiment)).objectives
    told = {**judge(history, objectives).as_json(), **changed}
    (history.folder / "verdict.json").write_text(json.dumps(told), encoding="utf-8")
    return history.folder


def stuck_pool_run(folder: Path) -> RunBuilder:
    """Describe one failover after which the writes of `default-pool` stay refused to the end."""
    run = failover_run(folder)
    prepared = {"check": "acknowledged-writes", "arm": "resilient", "lost_writes_max": 0}
    run.experiment = {
        **run.experiment,
        "objectives": [
            prepared if objective["check"] == "acknowledged-writes" else objective
            for objective in run.experiment["objectives"]
        ],
    }
    run.streams = [s for s in run.streams if (s.arm, s.kind) != ("default-pool", Kind.WRITE)]
    run.traffic(
        "default-pool", "cluster", Kind.WRITE, per_s=50, until_s=25.0, read_only=(11.5, 99.0, 1.0)
    )

    def hostile(operations: OperationWriter) -> None:
        operations.operation(
            kind=Kind.READ, endpoint="reader", intended_ns=1_012_000_000_000,
            started_ns=1_012_000_000_000, ended_ns=1_012_001_000_000, outcome=Outcome.FAILED,
            error=f"----- {HOSTILE}",
        )  # fmt: skip

    run.operation("default-pool", hostile)
    run.event(24.0, "note", text=HOSTILE)
    return run


@pytest.fixture(scope="session")
def failover_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judged run of one failover; read it, do not change it."""
    folder = tmp_path_factory.mktemp("reports") / "20260101T000000Z-writer-failover"
    return write_verdict(failover_run(folder).write())


@pytest.fixture(scope="session")
def stuck_pool_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judged run whose default pool never recovers and whose errors are hostile text."""
    folder = tmp_path_factory.mktemp("reports") / "20260102T000000Z-writer-failover"
    return write_verdict(stuck_pool_run(folder).write())


@pytest.fixture(scope="session")
def repeated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judged run of three failovers."""
    folder = tmp_path_factory.mktemp("reports") / "20260103T000000Z-writer-failover"
    return write_verdict(failover_run(folder, repeats=3).write())
