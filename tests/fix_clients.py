"""Clients that nobody here wrote, in processes of their own, driven one request at a time."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fix_server import LiveCluster

from chaos.testcluster.process.state import ClusterState
from chaos.wait import wait_until

SCRIPT = Path(__file__).parent / "clients" / "sessions.py"
ANSWER_TIMEOUT_S = 120.0
END_TIMEOUT_S = 30.0

WHO = "SELECT aurora_db_instance_identifier(), pg_is_in_recovery()"


class ClientProcess:
    """One process of clients of a cluster (`clients/sessions.py`), and what it complained of."""

    def __init__(self, state: ClusterState, log: Path) -> None:
        self._access = state.access
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **aws_environment(state)},
            )
        self._asked = 0
        self._send(asdict(state.name_server))

    # -- requests --------------------------------------------------------------------------------

    def ask(self, do: str, name: str, **arguments: Any) -> dict[str, Any]:
        """Carry out a request and return its answer."""
        self.begin(do, name, **arguments)
        return self.answer()

    def begin(self, do: str, name: str, **arguments: Any) -> None:
        """Send a request whose answer is fetched later."""
        assert not self._asked, "the answer before is still to be fetched"
        self._asked += 1
        self._send({"do": do, "name": name, **arguments})

    def has_answered(self) -> bool:
        """Tell whether the answer to `begin` is there."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def answer(self) -> dict[str, Any]:
        """Return the answer to `begin`."""
        assert self._process.stdout is not None
        wait_until(self.has_answered, f"an answer; see {self._log}", timeout_s=ANSWER_TIMEOUT_S)
        line = self._process.stdout.readline()
        assert line, f"the client died: {self.complaints()}"
        self._asked -= 1
        told: dict[str, Any] = json.loads(line)
        return told

    def result(self, do: str, name: str, **arguments: Any) -> Any:
        """Carry out a request that must succeed."""
        told = self.ask(do, name, **arguments)
        assert "result" in told, (told, self.complaints())
        return told["result"]

    def complaints(self) -> str:
        """The end of what the process wrote on standard error."""
        return self._log.read_text(errors="replace")[-2000:]

    # -- what tests keep asking ------------------------------------------------------------------

    def wrapper(self, name: str, endpoint: str, plugins: str | None, **options: Any) -> None:
        """Connect by the AWS wrapper to an endpoint's name, or to a DNS name."""
        given = {"autocommit": True, "cluster_id": name, **options}
        if plugins is not None:
            given["plugins"] = plugins
        conninfo = self.conninfo(endpoint)
        self.result("wrapper_connect", name, conninfo=conninfo, options=given)

    def who(self, name: str) -> tuple[str, bool]:
        """The instance behind a connection, and whether it is a reader."""
        ((instance, is_reader),) = self.result("execute", name, sql=WHO)
        return instance, is_reader

    def conninfo(self, endpoint: str, **options: Any) -> str:
        """A libpq connection string for an endpoint by its name here, or for DNS names."""
        access = self._access
        parameters = {
            "host": access.endpoints.get(endpoint, endpoint),
            "port": access.port,
            "user": access.user,
            "password": access.password,
            "dbname": access.database,
            "connect_timeout": 5,
            **options,
        }
        return " ".join(f"{name}={value}" for name, value in parameters.items())

    def url(self, endpoint: str) -> str:
        """An SQLAlchemy URL for an endpoint by its name here."""
        access = self._access
        password = urllib.parse.quote(access.password)
        host = access.endpoints[endpoint]
        return (
            f"postgresql+psycopg://{access.user}:{password}@{host}:{access.port}/{access.database}"
        )

    # -- its process -----------------------------------------------------------------------------

    def _send(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """Kill the process, for one whose client waits for ever."""
        self._process.kill()

    def close(self) -> None:
        """End the process; one that does not end by itself is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def aws_environment(state: ClusterState) -> dict[str, str]:
    """What makes an AWS SDK talk to a test cluster's control plane."""
    return {
        "AWS_ENDPOINT_URL": state.api_url,
        "AWS_DEFAULT_REGION": state.region,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(scope="module")
def noted(live: LiveCluster) -> LiveCluster:
    """A module's cluster with a table for `note`."""
    with psycopg.connect(**address_of(live, "cluster"), autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (client text, number int)")
    return live


def address_of(live: LiveCluster, endpoint: str) -> dict[str, Any]:
    """Connection parameters for an endpoint, resolved as it is now."""
    (address,) = live.resolve(endpoint).addresses
    return {**live.state.access.parameters(endpoint), "hostaddr": address, "connect_timeout": 5}


def fail_over(live: LiveCluster) -> None:
    """Ask for a failover to whichever reader the cluster chooses."""
    live.rds.failover_db_cluster(DBClusterIdentifier=live.state.id)


def await_moved(live: LiveCluster, old: str) -> str:
    """Wait until the API shows another writer and everything available, whatever names lead to."""

    def moved() -> bool:
        statuses = {i["DBInstanceStatus"] for i in live.instances().values()}
        cluster = live.cluster()["Status"]
        return live.api_writer() != old and {cluster, *statuses} == {"available"}

    wait_until(moved, "another writer", timeout_s=60, interval_s=0.2)
    return live.api_writer()


def settled_writer(live: LiveCluster) -> str:
    """The writer, once everything is available."""
    live.await_available(3)
    return live.api_writer()


def note(client: ClientProcess, name: str, number: int) -> str:
    """Write a row by a client's connection, and return the instance that took it."""
    statement = f"INSERT INTO notes VALUES ('{name}', {number})"
    ((instance,),) = client.result(
        "execute", name, sql=f"{statement} RETURNING aurora_db_instance_identifier()"
    )
    return str(instance)


def notes(live: LiveCluster, name: str) -> list[int]:
    """The rows that a connection has written, as the writer has them."""
    found = live.sql(
        "cluster",
        "SELECT coalesce(array_agg(number ORDER BY number), '{}') FROM notes "
        f"WHERE client = '{name}'",
    )
    return list(found)


NewClient = Callable[[ClusterState], ClientProcess]


@pytest.fixture
def new_client(tmp_path: Path) -> Iterator[NewClient]:
    """Start client processes; they end with the test."""
    running: list[ClientProcess] = []

    def new(state: ClusterState) -> ClientProcess:
        running.append(ClientProcess(state, tmp_path / f"client-{len(running)}.log"))
        return running[-1]

    yield new
    for client in running:
        client.close()
