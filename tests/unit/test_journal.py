"""The journal when the disk refuses: said once, then told; nothing is changed without a record."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fix_rds import FakeRds, VirtualClock

from chaos.clock import Anchor, MonotonicClock
from chaos.errors import GuardRefused, HostError
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
    journal.close()
    assert told == ["not recorded (disk): note {'text': 'second'}"]


def test_nothing_is_changed_when_its_undo_record_cannot_be_written(
    clock: VirtualClock, rds: FakeRds
) -> None:
    journal = Journal(FULL, clock, lambda _: None)
    session = FaultSession(
        fault=DeleteReader(),
        fault_id=1,
        step=1,
        repeat=1,
        run="run",
        first=rds.state,
        context=rds.context,
        restorer=rds,
        journal=journal,
        clock=clock,
    )
    for _ in range(2):
        with pytest.raises(HostError, match="/dev/full"):
            session.carry_out()
    journal.close()
    assert rds.calls == []


def test_an_observer_whose_disk_is_full_is_found_dead(rds: FakeRds) -> None:
    rds.events = lambda _: []  # type: ignore[attr-defined]
    observer = Observer(rds, LineWriter(FULL), MonotonicClock(), datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[arg-type]
    observer.start(1)

    def dead() -> bool:
        try:
            observer.check()
        except HostError as error:
            return "No space left on device" in str(error)
        return False

    assert wait_until(dead, "the observer to fail", timeout_s=60, interval_s=0.01)
    with pytest.raises(HostError):
        observer.stop(1)


def test_undo_records_are_numbered_and_forgotten_when_done(
    tmp_path: Path, clock: VirtualClock
) -> None:
    journal = Journal(tmp_path / "journal.jsonl", clock, lambda _: None)
    for bound in (1, 2):
        journal.undo(SetCapacity(min_acu=bound, max_acu=8, run_min_acu=3, run_max_acu=4), "c1")
    journal.undone("u1", "restored")
    assert list(journal.open_undo) == ["u2"]
    (first, second, done) = read_events(tmp_path / "journal.jsonl")
    assert "MinCapacity=1" in first.data["command"]
    assert (second.data["id"], done.type) == ("u2", "undone")


def test_a_torn_line_is_passed_over_and_the_next_one_stands_alone(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"at_ns": 1, "type": "note", "data": {}}\n{"at_ns": 2, "ty', encoding="utf-8")
    assert len(list(read_lines(path))) == 1
    Journal(path, clock, lambda _: None).event("note", text="after the kill")
    assert [event.data for event in read_events(path)] == [{}, {"text": "after the kill"}]


def test_a_journal_in_use_is_nobody_else_s(tmp_path: Path, clock: VirtualClock) -> None:
    journal = Journal(tmp_path / "journal.jsonl", clock, lambda _: None)
    with pytest.raises(GuardRefused, match="still being carried out"):
        Journal(tmp_path / "journal.jsonl", clock, lambda _: None)
    journal.close()
    Journal(tmp_path / "journal.jsonl", clock, lambda _: None).close()


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
