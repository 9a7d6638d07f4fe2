"""A slot has one holder at a time, and tells so without a server."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from chaos.errors import HostError
from chaos.testcluster.process.registry import Slot, state_directory


@pytest.fixture
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slot:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path))
    slot = Slot.of("one")
    slot.prepare()
    return slot


def test_a_slot_is_held_by_one_and_free_after(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.testcluster.process.registry._TAKE_TIMEOUT_S", 0.0)
    assert not slot.is_held()
    with slot.held():
        assert slot.is_held()
        with pytest.raises(HostError, match="one is already running"), slot.held():
            pytest.fail("two hold it")
        assert slot.is_held(), "a refusal does not free it"
        assert slot.holder() == str(os.getpid())
    assert not slot.is_held()
    assert slot.holder() == ""
    assert [path.name for path in slot.path.parent.iterdir()] == ["one.log"]


def test_a_slot_is_freed_by_an_error_and_its_record_stays(slot: Slot) -> None:
    slot.path.write_text("{}")
    with pytest.raises(ValueError, match="inside"), slot.held():
        raise ValueError("inside")
    assert not slot.is_held()
    assert slot.path.exists()


def test_holders_never_overlap_though_each_removes_the_lock(slot: Slot) -> None:
    """The lock's file is removed and made anew all the time; nobody may hold a removed one."""
    inside: list[int] = []
    overlaps: list[list[int]] = []
    entered: list[int] = []

    def compete(number: int) -> None:
        while entered.count(number) < 10:  # Somebody always gets in, so that everybody will.
            try:
                with slot.held():
                    inside.append(number)
                    if len(inside) > 1:
                        overlaps.append(list(inside))
                    entered.append(number)
                    inside.remove(number)
            except HostError:
                continue

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
    assert len(entered) == 40


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GAMEDAY_STATE_DIR": "/a", "XDG_STATE_HOME": "/b"}, "/a"),
        ({"XDG_STATE_HOME": "/b"}, "/b/gameday"),
        ({"XDG_STATE_HOME": "relative"}, "/home/me/.local/state/gameday"),
        ({}, "/home/me/.local/state/gameday"),
    ],
)
def test_where_state_is_kept(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("GAMEDAY_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert state_directory() == Path(expected)
