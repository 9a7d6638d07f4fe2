"""One PostgreSQL server process tree: start, stop, kill, promote, follow.

A node knows nothing of the cluster's statuses or pacing; it does what it is told at once, with every
wait bounded. Its state is read from `postmaster.pid`, which PostgreSQL keeps current, so no query has
to get through where connections are exhausted.

Layout: `DIRECTORY/data` (PGDATA), and beside it `postgresql.conf`, `pg_hba.conf`, `topology.json`,
`server.log`, and with TLS `server.crt` and `server.key`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from chaos.errors import DatabaseError, HostError
from chaos.testcluster.machine.local_disk import unmount_all
from chaos.testcluster.machine.silence import Silence
from chaos.testcluster.postgres.account import Account
from chaos.testcluster.postgres.configuration import STREAM_ROLE, NodeSettings
from chaos.testcluster.postgres.freezing import Freezer
from chaos.testcluster.postgres.interrogation import Interrogated
from chaos.testcluster.postgres.processes import kill_all, sweep_lock_file
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.postgres.replay import Replay
from chaos.testcluster.postgres.storage import Storage
from chaos.testcluster.postgres.template import Template
from chaos.testcluster.security.admission import Access
from chaos.wait import wait_until

log = logging.getLogger(__name__)

_POLL_S = 0.005
_START_TIMEOUT_S = 30.0
_PROMOTE_TIMEOUT_S = 30.0
_CLONE_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Foundation:
    """What all nodes of one cluster share."""

    binaries: PostgresBinaries
    account: Account
    template: Template
    storage: Storage
    port: int
    access: Access = field(default_factory=Access)


class Node(Interrogated):
    """One server, on `address`; methods may be called from any thread, one at a time each."""

    def __init__(
        self, identifier: str, directory: Path, address: str, foundation: Foundation
    ) -> None:
        super().__init__(identifier, address, foundation.port, foundation.template.control_password)
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "server.log"  # what its servers say, from the first start on
        self.requests = directory / "requests"  # of SQL functions to the control plane
        self.freezer = Freezer(self.data)
        self.silence = Silence(self.data, self.freezer)
        self._foundation = foundation
        self._lock = threading.RLock()  # Held through starting, ending and promotion.
        self._files = threading.Lock()  # Held for moments, so that `follow` never waits for those.
        self.replay = Replay(self)
        self.lossy = False  # Packets that are sent to it get lost.
        self._process: subprocess.Popen[bytes] | None = None
        self._upstream: str | None = None
        self._own_settings: dict[str, str] = {}
        self.settings_wanted: Callable[[], Mapping[str, str]] = dict
        """What the control plane wants it to be set to; asked at each start and `reconfigure`."""
        self._wanted: Mapping[str, str] = {}
        self._started_with: Mapping[str, str] = {}

    # -- what is there ---------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, None while it is not running."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def exit_status(self) -> int | None:
        """How the last postmaster ended, -N by signal N; None while it runs or before any ran."""
        process = self._process
        return None if process is None else process.poll()

    @property
    def upstream(self) -> str | None:
        """The address of the writer it streams from, None for the writer."""
        return self._upstream

    def state(self) -> str:
        """Return what the postmaster last said of itself: `starting`, `ready`..., or ''.

        A reader says `ready` as a writer does.
        """
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        if len(lines) < 8 or lines[0] != str(self.pid):  # noqa: PLR2004 - the status is line 8
            return ""
        return lines[7].strip()

    def log_tail(self, lines: int = 5) -> str:
        """Return the last lines of the server's log, on one line."""
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return "no log"
        return " | ".join(text.splitlines()[-lines:])

    # -- data directory --------------------------------------------------------------------------

    def create_from_template(self) -> None:
        """Make the data directory a copy of the template."""
        self.directory.mkdir(mode=0o755)
        self._foundation.template.copy_to(self.data, self._foundation.account)

    def clone_from(self, writer_address: str) -> None:
        """Make the data directory a copy of the running writer's.

        Raises:
            HostError: pg_basebackup failed, as when the writer went away.
        """
        foundation = self._foundation
        unmount_all(self.data)
        shutil.rmtree(self.data, ignore_errors=True)
        self.directory.mkdir(mode=0o755, exist_ok=True)
        foundation.account.give(self.directory)
        connection = (
            f"host={writer_address} port={foundation.port} user={STREAM_ROLE} connect_timeout=2 "
            f"application_name={self.identifier}-clone sslmode=disable"
        )
        foundation.account.run(
            [
                foundation.binaries.program("pg_basebackup"),
                *("--pgdata", str(self.data), "--dbname", connection),
                *("--checkpoint", "fast", "--wal-method", "stream"),
                *("--no-sync", "--no-manifest", "--no-password"),
            ],
            timeout_s=_CLONE_TIMEOUT_S,
            environment={"PGPASSWORD": foundation.template.stream_password},
        )

    def adopt(self, data: Path) -> None:
        """Make a stopped server's data directory this node's."""
        self.directory.mkdir(mode=0o755)
        self._foundation.account.give(self.directory)
        data.rename(self.data)

    def release(self, place: Path) -> Path:
        """Move this stopped node's data directory to `place` and return that."""
        unmount_all(self.data)  # What is mounted in it would go with it, and nobody would find it.
        self.data.rename(place)
        return place

    def remove(self) -> None:
        """Kill the server if it runs, and remove all its files."""
        with self._lock:
            self.kill()
            self.silence.end()
            unmount_all(self.data)
            with self._files:
                shutil.rmtree(self.directory, ignore_errors=True)

    # -- life ------------------------------------------------------------------------------------

    def start(self, upstream: str | None) -> None:
        """Start as a reader of the writer at address `upstream`, or as the writer (None).

        Returns when it accepts connections.

        Raises:
            HostError: it has no power, or ended instead; with the end of its log.
            WaitTimeout: it did not get that far within 30 s.
        """
        with self._lock:
            if self.silence.lasts:
                raise HostError(f"{self.identifier} has no power")
            signal_file = self.data / "standby.signal"
            if upstream is None:
                signal_file.unlink(missing_ok=True)
            else:
                signal_file.touch(mode=0o600)
                self._foundation.account.give(signal_file)
            self._write_certificate()
            self._wanted = self._started_with = dict(self.settings_wanted())
            self._configure(upstream)
            self.requests.mkdir(mode=0o700, exist_ok=True)
            self._foundation.account.give(self.requests)
            with self.log.open("ab") as output:
                self._process = self._foundation.account.spawn(
                    [
                        self._foundation.binaries.program("postgres"),
                        *("-D", str(self.data)),
                        *("-c", f"config_file={self.directory / 'postgresql.conf'}"),
                    ],
                    log=output,
                )
            wait_until(
                self._accepts,
                f"{self.identifier} to accept connections",
                timeout_s=_START_TIMEOUT_S,
                interval_s=_POLL_S,
            )

    def _accepts(self) -> bool:
        if self.exit_status is not None:
            raise HostError(
                f"{self.identifier} ended with status {self.exit_status} instead of starting: "
                f"{self.log_tail()}"
            )
        return self.state() == "ready"

    def shut_down(self, *, grace_s: float) -> None:
        """End all sessions (SQLSTATE 57P01) and the server; kill it after `grace_s` seconds."""
        with self._lock:
            pid = self.pid
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
                self._await_exit(grace_s)
            self.kill()

    def kill(self) -> None:
        """SIGKILL every process of the server; harmless when it is down."""
        with self._lock:
            pid = self.pid
            kill_all(self.data, pid)
            self.freezer.forget()
            if self._process is not None:
                self._process.wait(timeout=_START_TIMEOUT_S)
            sweep_lock_file(self.data)

    def crash(self) -> None:
        """SIGKILL every process, whatever else is being done with the server."""
        kill_all(self.data, self.pid)
        self.freezer.forget()

    def freeze(self, reason: str) -> None:
        """Stop every process by signal (`freezing.py`)."""
        self.freezer.freeze(self.pid, reason)

    def thaw(self, reason: str) -> None:
        """Take `freeze` back."""
        self.freezer.thaw(reason)

    def _await_exit(self, grace_s: float) -> None:
        process = self._process
        if process is not None:
            # Not gone in time is no error here: the caller kills what is left.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=grace_s)

    # -- replication -----------------------------------------------------------------------------

    def end_sessions(self) -> None:
        """End every session that clients have (57P01); new ones are accepted."""
        try:
            with self.connect() as session:
                session.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
        except (DatabaseError, psycopg.Error) as error:
            log.warning("sessions of %s were not ended: %s", self.identifier, error)

    def promote(self, *, keep_sessions: bool = False) -> None:
        """Turn this reader into a writer, after it has replayed all that storage holds.

        Sessions that clients had on the reader end (57P01), unless they are to be kept.

        Raises:
            DatabaseError: the server ended meanwhile, or does not answer.
            WaitTimeout: it was not writable within 30 s.
        """
        with self._lock, self.connect() as session:
            pid = self.pid
            if pid is None:
                raise DatabaseError(f"cannot promote {self.identifier}: it is not running")
            trigger = self.data / "promote"
            trigger.touch(mode=0o600)
            self._foundation.account.give(trigger)
            os.kill(pid, signal.SIGUSR1)

            def promoted() -> bool:
                row = session.execute("SELECT pg_is_in_recovery()").fetchone()
                return row is not None and row[0] is False

            wait_until(
                promoted,
                f"{self.identifier} to become the writer",
                timeout_s=_PROMOTE_TIMEOUT_S,
                interval_s=0.002,
            )
            self._configure(None)
        if not keep_sessions:
            self.end_sessions()

    def follow(self, upstream: str) -> None:
        """Stream from another writer from now on, without a restart; also while it is down."""
        self._configure(upstream)

    # -- files -----------------------------------------------------------------------------------

    def rebase(self, foundation: Foundation) -> None:
        """Use another foundation, as after a change of port, from the next start on."""
        self._foundation = foundation

    def write_topology(self, members: list[dict[str, str]]) -> None:
        """Set what `aurora_replica_status()` of this node says the cluster is made of."""
        with self._files:
            self._write("topology.json", json.dumps(members))

    def set(self, settings: Mapping[str, str | None]) -> None:
        """Set what only this node has set, until it is set to None; a reload must be enough."""
        with self._files:
            given = {name: value for name, value in settings.items() if value is not None}
            kept = {name: v for name, v in self._own_settings.items() if name not in settings}
            self._own_settings = kept | given
        self._configure(self._upstream)

    def reload_access(self) -> None:
        """Let clients in by the cluster's present rules from now on."""
        self._configure(self._upstream)

    def reconfigure(self) -> None:
        """Set what is wanted now; settings that need a restart wait for one."""
        self._wanted = dict(self.settings_wanted())
        self._configure(self._upstream)

    def started_with(self, name: str) -> str | None:
        """Return what a setting was given at the last start, None where it was left alone."""
        return self._started_with.get(name)

    def write_global_status(self, content: Mapping[str, object]) -> None:
        """Set what this node shows of the global cluster that its cluster is a member of."""
        with self._files:
            self._write("global.json", json.dumps(content))

    def _write_certificate(self) -> None:
        issued = self._foundation.access.certificate(self.identifier)
        if issued is not None:
            with self._files:
                self._write("server.crt", issued.certificate)
                self._write("server.key", issued.key)

    def _configure(self, upstream: str | None) -> None:
        """Write the configuration, and let the server read it if it runs."""
        self._upstream = upstream
        settings = NodeSettings(
            identifier=self.identifier,
            data=self.data,
            hba=self.directory / "pg_hba.conf",
            address=self.address,
            port=self._foundation.port,
            upstream=upstream,
            stream_password=self._foundation.template.stream_password,
            storage=self._foundation.storage.path,
            tls=self.directory if self._foundation.access.tls else None,
            own={**self._wanted, **self._own_settings},
        )
        with self._files:
            rules = self._foundation.access.rules
            self._write(
                "pg_hba.conf",
                rules.render(self.address, self._foundation.binaries.major, settings.own),
            )
            self._write("postgresql.conf", settings.render())
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    def _write(self, name: str, text: str) -> None:
        """Replace a file of this node so that the server reads the old or the new, never a part."""
        if not self.directory.is_dir():
            return  # It has no data yet, or is removed; a start writes both files anew.
        path = self.directory / name
        fresh = path.with_name(f"{name}.new")
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        self._foundation.account.give(fresh)
        fresh.replace(path)
