"""An API that fails strikes the run itself: it is recorded, and recovery gets along without it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos.cli.target import Target
from chaos.clock import MonotonicClock
from chaos.errors import ControlPlaneError
from chaos.faults.api_error import ApiError
from chaos.faults.base import Before
from chaos.model.record import LineWriter, read_observations
from chaos.model.topology import Topology
from chaos.run.journal import Journal
from chaos.run.observer import Observer
from chaos.run.recovery import calm, left_by
from chaos.wait import wait_until

PATIENCE_S = 60.0
FAULT = ApiError(code="ServiceUnavailable")


def before(topology: Topology) -> Before:
    return Before(topology=topology, first=topology, targets=(topology.cluster,), key="api-fails")


def test_the_observer_records_that_the_api_fails_and_when_it_is_back(
    target: Target, tmp_path: Path
) -> None:
    path = tmp_path / "observations.jsonl"
    since = datetime(2026, 1, 1, tzinfo=UTC)
    observer = Observer(target.rds, LineWriter(path), MonotonicClock(), since)

    def values() -> list[str]:
        return [o.value for o in read_observations(path) if o.kind == "api"]

    def await_values(count: int) -> None:
        wait_until(lambda: len(values()) >= count, "the API to be looked at", timeout_s=PATIENCE_S)

    assert target.control is not None
    (record,) = FAULT.undo(before(target.topology()))
    observer.start(PATIENCE_S)
    await_values(1)
    target.control.begin("api-fails", record.fields)  # type: ignore[attr-defined]
    await_values(2)
    target.control.end("api-fails")
    await_values(3)
    observer.stop(PATIENCE_S)
    ok, failing, *_, back = values()
    assert (ok, back) == ("ok", "ok")
    assert "ServiceUnavailable" in failing


def test_what_a_dead_run_left_is_taken_back_before_the_api_is_asked(
    target: Target, tmp_path: Path
) -> None:
    assert target.control is not None
    journal = Journal(tmp_path / "journal.jsonl", MonotonicClock(), lambda _: None)
    now = target.topology()
    (record,) = FAULT.undo(before(now))
    journal.undo(record, now.cluster)
    journal.close()
    target.control.begin("api-fails", record.fields)  # type: ignore[attr-defined]
    with pytest.raises(ControlPlaneError, match="ServiceUnavailable"):
        target.rds.topology()
    left = left_by(tmp_path / "journal.jsonl")
    journal = Journal(tmp_path / "journal.jsonl", MonotonicClock(), lambda _: None)
    calm(left, journal, target.control)
    journal.close()
    assert target.rds.topology() == now
    assert not left_by(tmp_path / "journal.jsonl")
