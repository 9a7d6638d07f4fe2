"""What a name that leads elsewhere for a moment shows of a reader: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.clock import MonotonicClock
from chaos.model.access import DatabaseAccess
from chaos.model.operation import Role
from loadgen import ledger_readers
from loadgen.ledger_readers import OnReaders
from loadgen.seats import Identity

WRITER = Identity(instance="one", backend_pid=1, role=Role.WRITER, address="127.0.0.1")
READER = Identity(instance="two", backend_pid=2, role=Role.READER, address="127.0.0.2")


class Lagging:
    """A connection to an instance that shows nothing of the run but its empty table."""

    def execute(self, *_: object) -> Any:
        return SimpleNamespace(fetchone=lambda: None)


@pytest.mark.parametrize(
    ("led_to", "told"),
    [
        ([WRITER, READER], "two was read before it showed the last write"),
        ([READER, READER], "two to show the last write"),
    ],
)
def test_only_the_reader_itself_shows_that_it_has_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, led_to: list[Identity], told: str
) -> None:
    @contextmanager
    def connection_for(*_: object) -> Iterator[Lagging]:
        yield Lagging()

    seats = iter(led_to)
    monkeypatch.setattr(ledger_readers, "connection_for", connection_for)
    monkeypatch.setattr(ledger_readers, "identify", lambda _: next(seats))
    access = DatabaseAccess(
        endpoints={name: f"{name}.test" for name in ("cluster", "reader", "one", "two")},
        port=5432, user="u", password="p", database="d",
    )  # fmt: skip
    readers = OnReaders(
        access=access, run="r", operations=tmp_path, books={}, writer="one",
        clock=MonotonicClock(), timeout_s=0,
    ).read()  # fmt: skip
    assert list(readers) == ["two"]
    assert not readers["two"].caught_up
    assert told in readers["two"].why
