"""What goes wrong in the probes themselves ends them with its reason, or with time; never in silence."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from chaos.clock import NS, MonotonicClock
from chaos.model.access import DatabaseAccess
from chaos.model.operation import Kind, OperationWriter, Outcome
from chaos.model.record import LineWriter
from chaos.names import Answer, NameServer
from loadgen.probes import observer as observing
from loadgen.probes import resolver as resolving
from loadgen.probes import stream as streaming
from loadgen.probes.config import ProbesConfig
from loadgen.probes.failures import MISSED, MISSED_WAITING
from loadgen.probes.observer import Observer
from loadgen.probes.resolver import open_resolver
from loadgen.probes.session import Question, Turn
from loadgen.probes.stream import Record, Stream

FULL = OSError(errno.ENOSPC, "No space left on device")
GUARD_S = 60.0
"""By then a test that would wait for ever has failed."""


def full(*_: object, **__: object) -> NoReturn:
    raise FULL


@contextmanager
def silent_name_server() -> Iterator[NameServer]:
    """Give an address that takes questions and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield NameServer(address="127.0.0.1", port=bound.getsockname()[1], domain="")


@contextmanager
def probes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Observer]]:
    """Make probes of a cluster that lets them in and then loses its names."""

    async def opened(*_: object) -> Turn:
        return Turn(intended_ns=0, started_ns=0, ended_ns=0)

    monkeypatch.setattr(Stream, "open", opened)
    monkeypatch.setattr(resolving, "QUERY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(observing, "ALIVE_S", 2 * GUARD_S)
    with silent_name_server() as name_server:
        hosts = {"cluster": "c.example", "reader": "r.example"}
        access = DatabaseAccess(
            endpoints=hosts, port=1, user="u", password="", database="d", name_server=name_server
        )
        yield lambda: Observer(ProbesConfig(run="r"), access, folder)


@pytest.mark.parametrize(
    ("writer", "method"),
    [
        pytest.param(OperationWriter, "operation", id="in a turn"),
        pytest.param(LineWriter, "append", id="in a callback of the resolver"),
        pytest.param(OperationWriter, "flush", id="in a task that is meant to last"),
    ],
)
def test_what_cannot_be_recorded_ends_the_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: type, method: str
) -> None:
    async def watch() -> None:
        observer = make()
        try:
            async with asyncio.timeout(GUARD_S):
                await observer.open()
                observer.start()
                await observer.run(asyncio.Event())
        finally:
            with suppress(OSError):
                await observer.close()

    monkeypatch.setattr(writer, method, full)
    with probes(tmp_path, monkeypatch) as make, pytest.raises(OSError, match="No space left"):
        asyncio.run(watch())


def test_a_defect_during_the_last_turns_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch() -> None:
        observer = make()
        await observer.open()
        asyncio.get_running_loop().call_soon(full)
        await observer.close()

    with probes(tmp_path, monkeypatch) as make, pytest.raises(OSError, match="No space left"):
        asyncio.run(watch())


class Named:
    """A resolver that knows one address."""

    async def resolve(self, _endpoint: str) -> Answer:
        return Answer(addresses=("127.0.0.1",))


class LetsInAndHangs(asyncio.Protocol):
    """Speaks as much of PostgreSQL's protocol as lets a client in; never answers a question."""

    def __init__(self, gone: asyncio.Event) -> None:
        self._gone = gone
        self._transport: Any = None
        self._let_in = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        if not self._let_in:
            self._transport.write(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")
            self._let_in = True

    def connection_lost(self, _error: Exception | None) -> None:
        self._gone.set()


@asynccontextmanager
async def hanging(record: Record) -> AsyncIterator[tuple[Stream, asyncio.Event]]:
    """Give a stream to a server that lets in and hangs, and what is set once it lost a client."""
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LetsInAndHangs(gone), "127.0.0.1", 0)
    question = Question(
        endpoint="cluster",
        kind=Kind.READ,
        statement=b"SELECT 1",
        parameters={
            "host": "c.example",
            "port": server.sockets[0].getsockname()[1],
            "user": "u",
            "sslmode": "disable",
            "gssencmode": "disable",
        },
    )
    resolver: Any = Named()
    stream = Stream(
        question,
        slots=2,
        spares=0,
        period_s=0.1,
        deadline_s=GUARD_S,
        resolver=resolver,
        spacing_s=0.2,
        record=record,
    )
    async with server, asyncio.timeout(GUARD_S):
        yield stream, gone


def test_a_turn_that_finds_every_session_waiting_is_recorded_as_such() -> None:
    """The service did not take it; one that this process was too late for shows nothing of that."""

    async def missed() -> list[Turn]:
        turns: list[Turn] = []
        enough = asyncio.Event()

        def record(_question: Question, turn: Turn) -> None:
            turns.append(turn)
            if turn.error == MISSED_WAITING:
                enough.set()

        async with hanging(record) as (stream, _):
            now_ns = MonotonicClock().now_ns()
            asking = asyncio.create_task(stream.run(now_ns - NS))
            await enough.wait()
            asking.cancel()
            await stream.close(0.0)
        return turns

    first, *_ = turns = asyncio.run(missed())
    assert first.error == MISSED, "it was due a second before the stream began"
    assert MISSED_WAITING in {turn.error for turn in turns}


def test_a_server_that_lets_in_and_hangs_does_not_hold_up_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def open_stream() -> Turn:
        async with hanging(lambda *_: None) as (stream, gone):
            turn = await stream.open(0.05, 0.01)
            await gone.wait()
        return turn

    monkeypatch.setattr(streaming, "FIRST_ANSWER_S", 0.01)
    turn = asyncio.run(open_stream())
    assert (turn.outcome, turn.error) == (Outcome.FAILED, "----- Deadline")


def test_a_question_by_tcp_is_kept_until_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop itself would let its task be collected; its failure reaches the loop's handler."""

    async def ask() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        seen = asyncio.Event()

        def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            told.append(context)
            seen.set()

        asyncio.get_running_loop().set_exception_handler(handle)
        with silent_name_server() as name_server:
            resolver = await open_resolver({"cluster": "c.example"}, name_server, full)
            resolver._ask("cluster", resolver._names["cluster"], 0)
            truncated = resolver._next_id.to_bytes(2, "big") + b"\x83\x00" + b"\0" * 8
            resolver.datagram_received(truncated, None)
            assert len(resolver._asking) == 1
            async with asyncio.timeout(GUARD_S):
                await seen.wait()
            assert not resolver._asking
            resolver.close()
        return told

    monkeypatch.setattr(resolving, "query", lambda *_: Answer(error="SERVFAIL"))
    assert [context["exception"] for context in asyncio.run(ask())] == [FULL]
