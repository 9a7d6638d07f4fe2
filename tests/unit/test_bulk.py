"""Arrays in files hold what arrays in memory hold."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from chaos.model import bulk


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is large and comes in several pieces."""
    monkeypatch.setattr(bulk, "IN_MEMORY_MAX", 8)
    monkeypatch.setattr(bulk, "ROWS", 7)


VALUES = np.random.default_rng(0).integers(-(10**12), 10**12, 50)


def test_each_way_of_making_one_gives_what_numpy_gives() -> None:
    order, flags = np.argsort(VALUES), VALUES > 0
    records = np.zeros(50, dtype=[("at_ns", "<i8"), ("kind", "u1")])
    records["at_ns"] = VALUES
    assert (bulk.column(records, "at_ns") == VALUES).all()
    assert (bulk.taken(VALUES, order) == VALUES[order]).all()
    assert (bulk.taken(records, order) == records[order]).all()
    assert (bulk.kept(VALUES, flags) == VALUES[flags]).all()
    assert (bulk.where(50, lambda part: flags[part]) == np.flatnonzero(flags)).all()
    assert (bulk.made(50, bool, lambda part: VALUES[part] < 0) == (VALUES < 0)).all()


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 14, 50])
def test_any_length_will_do(count: int) -> None:
    assert len(bulk.kept(VALUES[:count], np.ones(count, dtype=bool))) == count
    rising = np.arange(count)
    assert bulk.ascending(rising)
    assert bulk.ascending(np.zeros(count))
    if count > 1:
        for at in range(1, count):
            broken = rising.copy()
            broken[at] = -1
            assert not bulk.ascending(broken)


def test_it_lies_in_a_file_and_can_be_written() -> None:
    array = bulk.room(10_000, np.int64)
    array[:] = 7
    assert int(array.sum()) == 70_000
    assert f"{tempfile.gettempdir()}/" in Path("/proc/self/maps").read_text(encoding="utf-8")


def test_without_space_for_a_file_it_lies_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    array = bulk.room(10_000, np.int64)
    array[:] = 1
    assert int(array.sum()) == 10_000
