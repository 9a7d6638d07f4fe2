"""The ledger is read from whom the server says it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from loadgen.ledger_connection import NotNowError, writer_of


def connection(*row: object) -> Any:
    """Return what a connection is to whoever asks it where it leads to."""
    return SimpleNamespace(
        autocommit=False,
        info=SimpleNamespace(hostaddr=""),
        execute=lambda _: SimpleNamespace(fetchone=lambda: row),
    )


def test_a_writer_is_named_as_it_calls_itself() -> None:
    assert writer_of(connection("i1", 7, False), "c.example") == "i1"


def test_a_server_without_name_and_address_is_named_as_the_traffic_names_it() -> None:
    assert writer_of(connection(None, 7, False), "c.example") == "local socket"


def test_a_reader_is_refused_by_name() -> None:
    with pytest.raises(NotNowError, match=r"c\.example leads to i2, which is a reader"):
        writer_of(connection("i2", 7, True), "c.example")
