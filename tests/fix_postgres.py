"""One plain PostgreSQL server of the test session's own, which tests may freeze and break."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from chaos.model.access import DatabaseAccess
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
# PostgreSQL refuses to run as root; inside this user namespace root is nobody.
AS_NOBODY = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


def find_binaries() -> Path | None:
    """Return the folder of PostgreSQL's server programs on this machine, or None."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found = candidates[0] if candidates else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class PlainPostgres:
    """A running server; `access` names it both as "cluster" and as "reader"."""

    def __init__(self, binaries: Path, data: Path) -> None:
        self._prefix = AS_NOBODY if os.geteuid() == 0 else []
        self._binaries = binaries
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        initdb = [self._binaries / "initdb", "-U", "gameday", "-A", "trust", "-N", "-E", "UTF8"]
        subprocess.run(
            [*self._prefix, *initdb, "-D", self._data],
            check=True,
            capture_output=True,
            timeout=60,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        command = [self._binaries / "postgres", "-D", self._data, f"-p{self.port}", *settings]
        with (self._data.parent / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(
            self._answers, "PostgreSQL to accept", timeout_s=20, errors=(psycopg.OperationalError,)
        )
        self.execute(
            "CREATE FUNCTION aurora_db_instance_identifier() RETURNS text LANGUAGE sql"
            f" AS $$ SELECT '{INSTANCE}' $$"
        )

    def _answers(self) -> bool:
        self.execute("SELECT 1")
        return True

    def stop(self) -> None:
        assert self._process is not None
        for process in self._tree():
            process.kill()
        self._process.wait(10)

    def access(self) -> DatabaseAccess:
        return DatabaseAccess(
            endpoints={"cluster": "127.0.0.1", "reader": "127.0.0.1"},
            port=self.port,
            user="gameday",
            password="not-asked-for",
            database="postgres",
        )

    def execute(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run one statement in a connection of its own and return its rows."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="gameday", dbname="postgres", autocommit=True
        ) as connection:
            cursor = connection.execute(statement, parameters or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process by signal: the kernel still acknowledges, nobody answers."""
        stopped = self._tree()
        for process in stopped:
            with suppress(psutil.NoSuchProcess):  # a session that was just ending
                process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Make every session refuse writes with 25006, as on a demoted writer."""
        self._read_only("on")
        try:
            yield
        finally:
            self._read_only("off")

    def _read_only(self, value: str) -> None:
        assert self._process is not None
        self.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        self._process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: self.execute("SHOW default_transaction_read_only") == [(value,)],
            f"read-only {value}",
            timeout_s=5,
        )

    def _tree(self) -> list[psutil.Process]:
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        return [postmaster, *postmaster.children(recursive=True)]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainPostgres]:
    """One server for each test process."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server on this machine")
    server = PlainPostgres(binaries, tmp_path_factory.mktemp("postgres") / "data")
    server.start()
    yield server
    server.stop()
