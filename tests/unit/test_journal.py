"""The journal when the disk refuses: said once, then told; nothing is changed without a record."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fix_rds import FakeRds, VirtualClock

from chaos.clock import Anchor, MonotonicClock
from chaos.errors import HostError
from chaos.faults.base import Context
from chaos.faults.delete_reader import DeleteReader
from chaos.model.record import LineWriter, read_events, read_lines
from chaos.run.folder import create, write
from chaos.run.journal import Journal
from chaos.run.observer import Observer
from chaos.run.session import FaultSession
from chaos.safety.undo import SetCapacity
from chaos.wait import wait_until

FULL = Path("/dev/full")


def test_a_full_disk_is_said_once_and_then_told(clock: VirtualClock) -> None:
    told: list[str] = []
    journal = Journal(FULL, clock, told.append)
    with pytest.raises(HostError, match="No space left on device; free space"):
        journal.event("note", text="first")
    journal.event("note", text="second")
    assert told == ["not recorded (disk): note {'text': 'second'}"]


def test_nothing_is_changed_when_its_undo_record_cannot_be_written(
    clock: VirtualClock, rds: FakeRds
) -> None:
    session = FaultSession(
        fault=DeleteReader(),
        fault_id=1,
        step=1,
        repeat=1,
        context=Context(rds, rds.identify),
        restorer=rds,
        journal=Journal(FULL, clock, lambda _: None),
        clock=clock,
    )
    for _ in range(2):
        with pytest.raises(HostError, match="/dev/full"):
            session.run()
    assert rds.calls == []


def test_an_observer_whose_disk_is_full_is_found_dead(rds: FakeRds) -> None:
    rds.events = lambda _: []  # type: ignore[attr-defined]
    observer = Observer(rds, LineWriter(FULL), MonotonicClock(), datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[arg-type]
    observer.start(1)

    def dead() -> bool:
        try:
            observer.check()
        except OSError as error:
            return error.errno == 28
        return False

    assert wait_until(dead, "the observer to fail", timeout_s=10, interval_s=0.01)
    observer.stop()


def test_undo_records_are_numbered_and_forgotten_when_done(
    tmp_path: Path, clock: VirtualClock
) -> None:
    journal = Journal(tmp_path / "journal.jsonl", clock, lambda _: None)
    for bound in (1, 2):
        journal.undo(SetCapacity(min_acu=bound, max_acu=8), "c1")
    journal.undone("u1", "restored")
    assert list(journal.open_undo) == ["u2"]
    (first, second, done) = read_events(tmp_path / "journal.jsonl")
    assert "MinCapacity=1" in first.data["command"]
    assert (second.data["id"], done.type) == ("u2", "undone")


def test_a_torn_last_line_is_ignored_and_a_torn_middle_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n{"a": 2', encoding="utf-8")
    assert list(read_lines(path)) == [{"a": 1}]
    path.write_text('{"a": 1\n{"a": 2}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"lines\.jsonl:1"):
        list(read_lines(path))


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    write(path, "old")
    with pytest.raises(HostError, match="choose another --out"):
        write(tmp_path / "missing" / "verdict.json", "new")
    assert path.read_text(encoding="utf-8") == "old"


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    anchor = Anchor.take()
    first, second = (create(tmp_path, "drill", anchor) for _ in range(2))
    assert second.name == f"{first.name}-2"
