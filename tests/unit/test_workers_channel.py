"""Who may say what to a run and its workers."""

from __future__ import annotations

from typing import Any

import pytest

from loadgen.distributed.channel import HELLO, RUNNER, WORKER, Channel, Note, NotOursError

TOKEN = "shared"
NAME = "load-1_42"


def pair(token: str = TOKEN, name: str = NAME) -> tuple[Channel, Channel]:
    return Channel(TOKEN, NAME, RUNNER), Channel(token, name, WORKER)


def met() -> tuple[Channel, Channel]:
    """Both sides, after hello and welcome."""
    runner, worker = pair()
    runner.open(worker.seal(Note(HELLO)))
    worker.open(runner.seal(Note("welcome")))
    return runner, worker


def test_notes_arrive_whole() -> None:
    runner, worker = met()
    note = Note("parcel", {"number": 3}, [b"\x00\xff", b""])
    assert runner.open(worker.seal(note)) == note


@pytest.mark.parametrize(("token", "name"), [("guessed", NAME), (TOKEN, "another-worker")])
def test_without_the_token_and_the_name_nothing_is_taken(token: str, name: str) -> None:
    runner, stranger = pair(token, name)
    with pytest.raises(NotOursError, match="token"):
        runner.open(stranger.seal(Note(HELLO)))


@pytest.mark.parametrize(
    "change",
    [
        {"number": 99},
        {"code": b"0" * 32},
        {"content": [b'["parcel",{"number":4}]']},
        {"content": [b'["parcel",{"number":3}]', b"more"]},
        {"nonce": b"0" * 16},
    ],
)
def test_a_message_that_was_changed_is_not_taken(change: dict[str, Any]) -> None:
    runner, worker = met()
    sealed = worker.seal(Note("parcel", {"number": 3})) | change
    with pytest.raises(NotOursError):
        runner.open(sealed)


def test_what_was_said_is_not_taken_again_by_anybody() -> None:
    runner, worker = met()
    sealed = worker.seal(Note("parcel"))
    runner.open(sealed)
    with pytest.raises(NotOursError, match="heard before"):
        runner.open(sealed)
    other_run, _ = pair()
    with pytest.raises(NotOursError):
        other_run.open(sealed)
    with pytest.raises(NotOursError):
        worker.open(sealed)  # a worker's own words, sent back to it


def test_a_hello_that_was_overheard_leads_nowhere() -> None:
    """Said again to another run it is answered, but whoever said it cannot prove the token."""
    _, worker = pair()
    hello = worker.seal(Note(HELLO))
    later = Channel(TOKEN, NAME, RUNNER)
    assert later.open(hello).kind == HELLO
    with pytest.raises(NotOursError, match="another run"):
        later.open(worker.seal(Note("parcel")))


@pytest.mark.parametrize("data", [None, {}, {"nonce": 1}, [], {"content": "x", "number": "y"}])
def test_what_is_no_note_at_all_is_not_taken(data: object) -> None:
    with pytest.raises(NotOursError, match="none of ours"):
        pair()[0].open(data)
