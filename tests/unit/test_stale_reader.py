"""The planted defect `stale-reader` ends when it is lifted, whatever its watch was about to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.testcluster.aurora.core import AVAILABLE
from chaos.testcluster.disturbances import defects
from chaos.testcluster.disturbances.defects import StaleReader


def test_a_reader_that_is_paused_while_the_defect_is_lifted_replays_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer, reader = SimpleNamespace(id="one"), SimpleNamespace(id="two", status=AVAILABLE)
    watches: list[Callable[[], None]] = []
    core: Any = SimpleNamespace(
        defects=SimpleNamespace(planted={"stale-reader"}),
        lock=threading.RLock(),
        writer="one",
        writer_member=lambda: writer,
        others=lambda *_: [reader],
        background=lambda _, watch, **__: watches.append(watch),
        pause=lambda _: None,
    )
    asked: list[str] = []
    defect = StaleReader()

    def replay(_: object, verb: str) -> None:
        asked.append(verb)
        if asked == ["pause", "pause"]:  # Looked, and about to pause, when it is lifted.
            asked.pop()
            defect.lift(core)
            asked.append("pause")

    monkeypatch.setattr(defects, "replay", replay)
    defect.plant(core)
    (watch,) = watches
    watch()
    assert asked == ["pause", "resume", "pause", "resume"]
