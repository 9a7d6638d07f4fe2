"""Pools on a real server: connections that broke are on record, and none is given back for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fix_postgres import PlainPostgres

from chaos.clock import MonotonicClock
from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import ConnectionEvent, OperationWriter
from chaos.wait import wait_until
from loadgen.arm import Arm, Retry
from loadgen.drivers.asyncpg_pool import AsyncpgDriver
from loadgen.drivers.base import Statement
from loadgen.drivers.psycopg_pool import PsycopgPoolDriver
from loadgen.drivers.way import Way
from loadgen.outcome import DeadlineExceeded
from loadgen.seats import Seats

WAIT_S = 60.0
ASK = Statement("SELECT pg_backend_pid()", rows=True)
SMALL = {"min_size": 1, "max_size": 1}


class Rig:
    """Ways to the server, and what is on record of their connections."""

    def __init__(self, postgres: PlainPostgres, folder: Path) -> None:
        self.postgres, self.folder = postgres, folder
        self.operations = OperationWriter(folder, "arm")
        self.drivers: list[Any] = []

    def driver(self, make: Callable[[Way], Any], **arm: Any) -> Any:
        way = Way(
            arm=Arm(name="arm", description="", retry=Retry.none(), **arm),
            access=self.postgres.access(),
            endpoint="cluster",
            run="run",
            seats=Seats(self.operations, MonotonicClock()),
        )
        self.drivers.append(make(way))
        return self.drivers[-1]

    def log(self) -> OperationLog:
        self.operations.flush()
        return load_operations(self.folder, "arm")

    def pids(self, event: ConnectionEvent) -> list[int]:
        connections = self.log().connections
        return [int(c["backend_pid"]) for c in connections[connections["event"] == event]]

    def end(self, pid: int) -> None:
        self.postgres.execute(f"SELECT pg_terminate_backend({pid})")
        gone = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"
        wait_until(
            lambda: self.postgres.execute(gone) == [(0,)], "the session's end", timeout_s=WAIT_S
        )


@pytest.fixture
def rig(postgres: PlainPostgres, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(postgres, tmp_path)
    yield made
    for driver in made.drivers:
        driver.close()


def test_a_connection_that_the_pools_check_finds_broken_is_on_record_as_closed(rig: Rig) -> None:
    driver = rig.driver(PsycopgPoolDriver, pool={**SMALL, "check": True})
    session = driver.session()
    old = session.seat.backend_pid
    session.close()
    rig.end(old)
    session = driver.session()
    assert session.seat.backend_pid != old
    assert rig.pids(ConnectionEvent.CLOSED) == [old]
    session.close()


def test_giving_back_to_a_server_that_is_silent_is_bounded_by_the_deadline(rig: Rig) -> None:
    """By then the commit is answered: only the round trip that resets the session is not."""
    driver = rig.driver(AsyncpgDriver, pool=SMALL, deadline_s=WAIT_S)
    session = driver.session()
    session.execute(ASK, {})
    session.commit()
    session._until_s = driver.loop.time()  # the deadline is used up
    ended: list[BaseException | None] = []

    def give_back() -> None:
        try:
            session.close()
        except DeadlineExceeded as late:
            ended.append(late)
        else:
            ended.append(None)

    with rig.postgres.frozen():
        thread = threading.Thread(target=give_back, daemon=True)
        thread.start()
        thread.join(WAIT_S)
        assert len(ended) == 1, "it ended while the server was silent"
        assert isinstance(ended[0], DeadlineExceeded)
    assert rig.pids(ConnectionEvent.CLOSED) == [session.seat.backend_pid]
    wait_until(lambda: _serves(driver), "the pool's one place to be free", timeout_s=WAIT_S)


def _serves(driver: AsyncpgDriver) -> bool:
    try:
        session = driver.session()
        try:
            return bool(session.execute(ASK, {}))
        finally:
            session.close()
    except driver.errors:
        return False


def test_what_asyncpg_says_of_a_connection_that_broke_is_named_as_its_end(rig: Rig) -> None:
    """The server's farewell first; after it, the pool that has taken the connection back."""
    driver = rig.driver(AsyncpgDriver, pool=SMALL)
    session = driver.session()
    session.execute(ASK, {})
    rig.end(session.seat.backend_pid)
    wait_until(
        lambda: rig.pids(ConnectionEvent.CLOSED) == [session.seat.backend_pid],
        "the client to notice",
        timeout_s=WAIT_S,
    )
    with pytest.raises(driver.errors) as raised:
        session.execute(ASK, {})
    trouble = driver.trouble(raised.value)
    assert (trouble.error, trouble.lost) == ("----- ConnectionLost", True)
    session.close()
    assert _serves(driver)
