"""What is seen of servers from outside: their sessions, processor time, callers; and stopping them."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from fix_postgres import PlainPostgres

from chaos.testcluster.postgres.freezing import Freezer
from chaos.testcluster.serverless.census import Census
from chaos.testcluster.serverless.listening import addresses_called
from chaos.wait import wait_until

TIMEOUT_S = 30


def connected(postgres: PlainPostgres) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host="127.0.0.1", port=postgres.port, user="gameday", dbname="postgres", autocommit=True
    )


def test_sessions_are_counted_and_what_they_used_stays_counted_when_they_end(
    postgres: PlainPostgres,
) -> None:
    census = Census()
    with connected(postgres) as connection:
        session = connection.info.backend_pid
        postmaster = psutil.Process(session).ppid()

        def seen() -> bool:
            census.count([postmaster])
            return session in census.sessions(postmaster)

        wait_until(seen, "the session", timeout_s=TIMEOUT_S)
        before = census.used_s(postmaster)
        connection.execute("SELECT count(*) FROM generate_series(1, 1000000)")
        used = census.used_s(postmaster)
        assert used > before
    wait_until(lambda: not psutil.pid_exists(session), "its end", timeout_s=TIMEOUT_S)
    census.count([postmaster])
    assert session not in census.sessions(postmaster)
    assert census.used_s(postmaster) >= used


def test_sessions_that_nobody_saw_are_counted_by_what_they_used(postgres: PlainPostgres) -> None:
    census = Census()
    with connected(postgres) as connection:
        postmaster = psutil.Process(connection.info.backend_pid).ppid()
    census.count([postmaster])
    before = census.used_s(postmaster)
    with connected(postgres) as connection:
        connection.execute("SELECT count(*) FROM generate_series(1, 1000000)")
        session = connection.info.backend_pid
    wait_until(lambda: not psutil.pid_exists(session), "its end", timeout_s=TIMEOUT_S)
    assert census.used_s(postmaster) > before


def test_servers_that_are_no_longer_asked_for_are_forgotten(postgres: PlainPostgres) -> None:
    census = Census()
    with connected(postgres) as connection:
        postmaster = psutil.Process(connection.info.backend_pid).ppid()
        census.count([postmaster])
        census.count([])
        assert census.sessions(postmaster) == set()
        assert census.used_s(postmaster) == 0


def test_a_waiting_connection_is_seen_until_it_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
        assert addresses_called([place]) == set()
        with socket.create_connection(place):
            wait_until(
                lambda: addresses_called([place]) == {"127.0.0.1"}, "it", timeout_s=TIMEOUT_S
            )
            server.accept()[0].close()
            wait_until(lambda: not addresses_called([place]), "nobody", timeout_s=TIMEOUT_S)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[psutil.Process]:
    """Something that runs in a folder, as a server does in its data directory."""
    with subprocess.Popen(["sleep", "600"], cwd=tmp_path) as started:
        yield psutil.Process(started.pid)
        started.kill()


def await_stopped(process: psutil.Process, *, stopped: bool) -> None:
    wait_until(
        lambda: (process.status() == psutil.STATUS_STOPPED) is stopped,
        "it to be stopped" if stopped else "it to run",
        timeout_s=TIMEOUT_S,
    )


def test_a_server_runs_again_when_no_reason_to_stop_it_is_left(
    tmp_path: Path, process: psutil.Process
) -> None:
    freezer = Freezer(tmp_path)
    freezer.freeze(process.pid, "hang")
    freezer.freeze(process.pid, "paused")
    await_stopped(process, stopped=True)
    freezer.run([process.pid])
    freezer.thaw("hang")
    assert freezer.frozen
    assert freezer.frozen_for("paused")
    assert process.status() == psutil.STATUS_STOPPED
    freezer.thaw("paused")
    assert not freezer.frozen
    await_stopped(process, stopped=False)


def test_single_processes_are_stopped_and_run(tmp_path: Path, process: psutil.Process) -> None:
    freezer = Freezer(tmp_path)
    freezer.stop([process.pid])
    await_stopped(process, stopped=True)
    assert not freezer.frozen
    freezer.run([process.pid])
    await_stopped(process, stopped=False)
