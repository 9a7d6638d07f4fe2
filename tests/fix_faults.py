"""Faults of nodes, networks and storage: a cluster that suffers them one after the other."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from fix_testcluster import Running

from chaos.errors import HostError
from chaos.testcluster.aurora.core import Member
from chaos.testcluster.disturbances import DISTURBANCES
from chaos.testcluster.disturbances.registry import parse
from chaos.testcluster.machine import health
from chaos.testcluster.machine.sockets import require_filters
from chaos.wait import wait_until

PATIENCE_S = 60.0


@dataclass
class Faults:
    """Begins and ends disturbances of a running cluster, and looks at what they do."""

    running: Running

    def begin(self, kind: str, **parameters: object) -> str:
        """Begin one and return its id."""
        wanted = parse({"kind": kind, **parameters}, DISTURBANCES)
        return self.running.estate.disturbances.begin(wanted).id

    def end(self, identifier: str) -> bool:
        """End one; tell whether there was one."""
        return self.running.estate.disturbances.end(identifier)

    def in_force(self) -> set[str]:
        return {active.id for active in self.running.estate.disturbances.active()}

    def end_all(self) -> None:
        """End those that are left, and wait until everything serves."""
        for identifier in self.in_force():
            self.end(identifier)
        self.running.await_settled(PATIENCE_S)

    def member(self, instance: str) -> Member:
        return self.running.cluster.core.members[instance]

    def await_writer_other_than(self, instance: str) -> None:
        """Wait until the API shows another writer and the cluster is available."""
        wait_until(
            lambda: (
                self.running.writer.id != instance and self.running.record.status == "available"
            ),
            f"another writer than {instance}",
            timeout_s=PATIENCE_S,
        )


@dataclass
class Writing:
    """Commits numbers one after the other on one connection, until that breaks or hangs."""

    connection: psycopg.Connection[tuple[object, ...]]
    table: str
    acknowledged: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connection.execute(f"CREATE TABLE {self.table} (id bigint)")
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        wait_until(lambda: len(self.acknowledged) > 20, "commits", timeout_s=PATIENCE_S)

    def _run(self) -> None:
        number = 0
        try:
            while True:
                number += 1
                self.connection.execute(f"INSERT INTO {self.table} VALUES (%s)", [number])
                self.acknowledged.append(number)
        except psycopg.Error:
            self.connection.close()

    def lost(self, found: psycopg.Connection[tuple[object, ...]]) -> set[int]:
        """Return what was acknowledged and is not there."""
        rows = found.execute(f"SELECT id FROM {self.table}").fetchall()
        return set(self.acknowledged) - {int(str(row[0])) for row in rows}


@pytest.fixture
def faults(shared_cluster: Running) -> Iterator[Faults]:
    """The module's cluster; what a test begins is ended after it, and the cluster recovers."""
    found = Faults(shared_cluster)
    yield found
    found.end_all()


@pytest.fixture
def unnoticed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """While a test wants it (until `undo`), the control plane notices nobody that does not answer."""
    with monkeypatch.context() as patched:
        patched.setattr(health, "ROUNDS", 10**9)
        yield patched


@pytest.fixture
def filters() -> None:
    """Packet filters on sockets, which need a privilege."""
    try:
        require_filters("this test")
    except HostError as error:
        pytest.skip(str(error))


@pytest.fixture
def mounts() -> None:
    """The right to mount, which root usually has."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        pytest.skip("this root may not mount")
