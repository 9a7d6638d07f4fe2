"""One plain PostgreSQL server of the test session's own, which tests may freeze and break."""

from __future__ import annotations

import random
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from chaos.model.access import DatabaseAccess
from chaos.testcluster.postgres.account import server_account
from chaos.testcluster.postgres.processes import kill_all, processes_in, sweep_lock_file
from chaos.testcluster.postgres.programs import PostgresBinaries, find_postgres
from chaos.wait import wait_until

INSTANCE = "plain-instance-1"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # nothing left in /dev/shm after a kill
    "jit": "off",
    "autovacuum": "off",
}


class PlainPostgres:
    """A running server; `access` names it both as "cluster" and as "reader"."""

    def __init__(self, folder: Path, binaries: PostgresBinaries | None = None) -> None:
        self._binaries = binaries or find_postgres()
        self._data = folder / "data"
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        account = server_account(self._binaries)
        self._data.mkdir()
        account.give(self._data)
        options = ["-U", "gameday", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
        account.run(
            [self._binaries.program("initdb"), "-D", str(self._data), *options], timeout_s=60
        )
        self.port = free_port()
        settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        command = [self._binaries.program("postgres"), "-D", str(self._data), f"-p{self.port}"]
        with self._log.open("wb") as log:
            self._process = account.spawn([*command, *settings], log=log)
        wait_until(
            self._answers, "PostgreSQL to accept", timeout_s=60, errors=(psycopg.OperationalError,)
        )
        self.execute(
            "CREATE FUNCTION aurora_db_instance_identifier() RETURNS text LANGUAGE sql"
            f" AS $$ SELECT '{INSTANCE}' $$"
        )

    def stop(self) -> None:
        assert self._process is not None
        kill_all(self._data, self._process.pid)
        self._process.wait(10)
        sweep_lock_file(self._data)

    def access(self) -> DatabaseAccess:
        return DatabaseAccess(
            endpoints={"cluster": "127.0.0.1", "reader": "127.0.0.1"},
            port=self.port,
            user="gameday",
            password="not-asked-for",
            database="postgres",
        )

    def execute(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run one statement in a connection of its own, never read-only; return its rows."""
        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="gameday",
            dbname="postgres",
            options="-c default_transaction_read_only=off",
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement, parameters or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process by signal: the kernel still acknowledges, nobody answers."""
        # Twice: the first pass may miss what the postmaster forked before it was stopped.
        for _ in range(2):
            for pid in processes_in(self._data):
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).suspend()
        try:
            yield
        finally:
            for pid in processes_in(self._data):
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).resume()

    @contextmanager
    def new_sessions_read_only(self) -> Iterator[None]:
        """Make new sessions refuse writes with 25006, and stay so, as on a demoted writer."""
        self.execute("ALTER ROLE gameday SET default_transaction_read_only = on")
        try:
            yield
        finally:
            self.execute("ALTER ROLE gameday RESET default_transaction_read_only")

    def _answers(self) -> bool:
        self.execute("SELECT 1")
        return True


def free_port() -> int:
    """Return a port that nobody listens at, and that no outgoing connection is given meanwhile."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@pytest.fixture(scope="session")
def postgres() -> Iterator[PlainPostgres]:
    """One server for each test process."""
    # Not below pytest's folder, which no other account may enter.
    with tempfile.TemporaryDirectory(prefix="gameday-plain-") as folder:
        Path(folder).chmod(0o755)
        server = PlainPostgres(Path(folder))
        server.start()
        yield server
        server.stop()
