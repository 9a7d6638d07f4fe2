"""A wire whose connection ends at an awkward moment says so, and never leaves its session waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from loadgen.probes.wire import Wire, WireError


class Closed:
    """A libpq connection whose socket libpq has closed by itself."""

    finished = False

    @property
    def socket(self) -> int:
        raise psycopg.OperationalError("the connection is lost")

    def finish(self) -> None:
        self.finished = True


def with_connection(work: Any) -> Closed:
    """Run a coroutine function on a wire that is connecting over a closed socket."""
    connection = Closed()

    async def run() -> None:
        wire = Wire(asyncio.get_running_loop())
        wire._pgconn, wire.connecting, wire.reached = connection, True, True  # type: ignore[assignment]
        await work(wire)

    asyncio.run(run())
    return connection


def test_a_connection_that_broke_before_it_is_asked_is_an_error() -> None:
    async def work(wire: Wire) -> None:
        wire.drop("----- EndpointMoved")
        with pytest.raises(WireError, match="EndpointMoved"):
            await wire.ask(b"SELECT 1", [])

    assert with_connection(work).finished


def test_dropping_a_connect_whose_socket_is_gone_ends_it() -> None:
    async def work(wire: Wire) -> None:
        wire.drop("----- ConnectTimeout")
        assert not wire.open
        assert not wire.connecting

    assert with_connection(work).finished


def test_waiting_for_a_socket_that_is_gone_is_an_error() -> None:
    async def work(wire: Wire) -> None:
        with pytest.raises(WireError):
            await wire._until_ready(writing=True)

    assert with_connection(work).finished
