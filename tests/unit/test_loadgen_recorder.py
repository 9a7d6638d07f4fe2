"""What a traffic process records stays readable whatever the disk does, and its lag adds up."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from chaos.clock import NS
from chaos.model import history
from chaos.model.history import load_operations
from chaos.model.operation import OPERATION, ConnectionEvent, Kind, Outcome, Role
from chaos.model.record import read_observations
from loadgen.recorder import Recorder


def record(recorder: Recorder, *write_ids: int) -> None:
    for write_id in write_ids:
        recorder.operations.operation(
            kind=Kind.WRITE,
            endpoint="cluster",
            intended_ns=1,
            started_ns=2,
            ended_ns=3,
            outcome=Outcome.OK,
            write_id=write_id,
        )


def test_a_disk_that_fills_in_the_middle_of_a_record_damages_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once there is room again, what stayed in memory follows what was written, record by record."""
    recorder = Recorder(tmp_path, "resilient", 0)
    record(recorder, 1, 2)
    recorder.tick(1)
    record(recorder, 3, 4)
    write = os.write
    room = [OPERATION.size + 7]

    def write_into_little_room(descriptor: int, data: memoryview) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: room.pop()])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_into_little_room)
        with pytest.raises(OSError, match="No space left"):
            recorder.tick(2)
    ids = load_operations(tmp_path / "operations", "resilient").operations["write_id"]
    assert ids.tolist() == [1, 2]
    record(recorder, 5)
    recorder.close(3)
    ids = load_operations(tmp_path / "operations", "resilient").operations["write_id"]
    assert ids.tolist() == [1, 2, 3, 4, 5]


def test_connections_are_recorded_beside_the_operations(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "resilient", 0)
    recorder.operations.connection(
        event=ConnectionEvent.OPENED,
        began_ns=5,
        at_ns=9,
        endpoint="cluster",
        instance="shop-instance-1",
        address="127.0.0.1",
        backend_pid=77,
        role=Role.WRITER,
    )
    recorder.close(10)
    log = load_operations(tmp_path / "operations", "resilient")
    (found,) = log.connections
    assert (found["began_ns"], found["at_ns"], found["backend_pid"]) == (5, 9, 77)
    assert (found["event"], found["role"]) == (ConnectionEvent.OPENED, Role.WRITER)
    named = [log.names[found[field]] for field in ("endpoint", "instance", "address")]
    assert named == ["cluster", "shop-instance-1", "127.0.0.1"]


def test_whoever_reads_while_it_is_written_knows_every_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path, "resilient", 0)
    record(recorder, 1)
    recorder.tick(1)
    map_file = history._map

    def written_meanwhile(path: Path, dtype: np.dtype[np.void]) -> history.Records:
        recorder.unsent(Kind.WRITE, "cluster", 1, 2, f"error seen at {path.suffix}")
        recorder.tick(2)
        return map_file(path, dtype)

    monkeypatch.setattr(history, "_map", written_meanwhile)
    log = load_operations(tmp_path / "operations", "resilient")
    assert len(log.operations) == 2
    assert log.operations["error"].max() < len(log.names)


def test_lag_is_the_worst_of_its_second_and_starts_anew(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "resilient", 0)
    recorder.late(2_000_000)
    recorder.late(7_500_000)
    recorder.late(1_000_000)
    recorder.tick(NS // 2)
    recorder.tick(NS)
    recorder.late(300_000)
    recorder.tick(2 * NS)
    recorder.close(2 * NS + 1)
    found = read_observations(tmp_path / "observations.jsonl")
    assert [(o.since_ns, o.at_ns, o.value) for o in found] == [
        (0, NS, "7.5"),
        (NS, 2 * NS, "0.3"),
        (2 * NS, 2 * NS + 1, "0.0"),
    ]
    assert {(o.kind, o.subject) for o in found} == {("lag", "resilient")}


def test_a_folder_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "operations").write_text("in the way")
    with pytest.raises(OSError, match="exists"):
        Recorder(tmp_path, "resilient", 0)
