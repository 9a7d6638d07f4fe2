"""The steady state: what the last seconds of a recording showed, against a tolerance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaos.clock import NS
from chaos.definition.experiment import Experiment
from chaos.model.operation import Kind, OperationWriter, Outcome
from chaos.run.steady import Measured, measure

NOW_NS = 1_000 * NS


def tolerance(**fields: Any) -> Any:
    experiment = Experiment.model_validate(
        {
            "version": 1,
            "name": "drill",
            "claim": "It is steady.",
            "steady_state": [{"arm": "a", "operation": "write", "over_s": 10, **fields}],
            "workload": {"arms": [{"arm": "resilient", "name": "a"}]},
            "method": [{"fault": "noop"}],
            "objectives": [{"check": "restored"}],
        }
    )
    return experiment.steady_state[0]


def measured(folder: Path, count: int, *, failed: int = 0, **fields: Any) -> Measured:
    """Measure operations that took 1, 2, 3... ms, of which the first ones failed."""
    operations = OperationWriter(folder / "operations", "a")
    for number in range(count):
        due_ns = NOW_NS - 5 * NS + number * NS // 100
        operations.operation(
            kind=Kind.WRITE, endpoint="cluster", intended_ns=due_ns, started_ns=due_ns,
            ended_ns=due_ns + (number + 1) * 10**6, write_id=number + 1,
            outcome=Outcome.FAILED if number < failed else Outcome.OK,
        )  # fmt: skip
    operations.close()
    return measure(folder, tolerance(**fields), NOW_NS)


@pytest.mark.parametrize(("count", "p99_ms"), [(10, 10), (100, 99), (200, 198)])
def test_the_99th_percentile_is_a_recorded_latency(
    tmp_path: Path, count: int, p99_ms: float
) -> None:
    """By nearest rank, as everywhere: at the tolerance it is inside, a millisecond above it is not."""
    found = measured(tmp_path, count, success_ratio_min=1, latency_ms_p99_max=p99_ms)
    assert (found.latency_ms_p99, found.why) == (p99_ms, "")
    found = measured(tmp_path / "b", count, success_ratio_min=1, latency_ms_p99_max=p99_ms - 1)
    assert "p99 latency" in found.why


def test_failures_and_silence_are_outside_every_tolerance(tmp_path: Path) -> None:
    assert "0.9000 is below" in measured(tmp_path, 100, failed=10, success_ratio_min=0.95).why
    assert "is there traffic?" in measured(tmp_path / "b", 9, success_ratio_min=0.5).why
