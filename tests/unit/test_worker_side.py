"""A worker hears whole orders however they arrive, and outlives whoever started it."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from chaos.worker import orders, tell


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Give what writes to our standard input."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield writing


def test_an_order_is_heard_once_its_line_is_whole(sender: int) -> None:
    os.write(sender, b'{"order": "pause"}\n{"order": "re')
    heard = orders()
    assert next(heard) == {"order": "pause"}
    os.write(sender, b'sume", "at_ns": 7}\n')
    assert next(heard) == {"order": "resume", "at_ns": 7}
    os.close(sender)
    assert list(heard) == []


def test_what_is_told_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell("ready", port=5557)
    assert json.loads(capsys.readouterr().out) == {"state": "ready", "message": "", "port": 5557}


def test_telling_a_starter_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stdout = io.TextIOWrapper(os.fdopen(writing, "wb"))
    monkeypatch.setattr(sys, "stdout", stdout)
    tell("paused")
    with suppress(BrokenPipeError):  # what it could not say is still to be flushed
        stdout.close()
