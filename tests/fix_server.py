"""Real test clusters in processes of their own, and what they may not leave behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg
import pytest
from botocore.config import Config

from chaos import names
from chaos.testcluster.process import lifecycle
from chaos.testcluster.process.registry import Slot
from chaos.testcluster.process.state import ClusterState
from chaos.testcluster.records import ClusterSpec
from chaos.wait import wait_until


class LiveCluster:
    """A running test cluster and its clients: the API by boto3, names by packets, SQL by psycopg."""

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.rds: Any = boto3.client(
            "rds",
            endpoint_url=state.api_url,
            region_name=state.region,
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def cluster(self) -> dict[str, Any]:
        """What DescribeDBClusters shows of it."""
        found: dict[str, Any] = self.rds.describe_db_clusters(DBClusterIdentifier=self.state.id)[
            "DBClusters"
        ][0]
        return found

    def instances(self) -> dict[str, dict[str, Any]]:
        """What DescribeDBInstances shows, by identifier."""
        found = self.rds.describe_db_instances()["DBInstances"]
        return {instance["DBInstanceIdentifier"]: instance for instance in found}

    def api_writer(self) -> str:
        """The writer by the API."""
        (writer,) = [
            m["DBInstanceIdentifier"]
            for m in self.cluster()["DBClusterMembers"]
            if m["IsClusterWriter"]
        ]
        return str(writer)

    def resolve(self, endpoint: str) -> names.Answer:
        """What the name server answers for `cluster`, `reader` or an instance."""
        return names.query(self.state.access.endpoints[endpoint], self.state.name_server)

    def dns_writer(self) -> str:
        """The instance that the cluster endpoint's alias names."""
        return self.resolve("cluster").chain[0].partition(".")[0]

    def sql(self, endpoint: str, statement: str) -> Any:
        """The first value that a statement gives at an endpoint."""
        parameters = self.state.access.parameters(endpoint)
        (address,) = self.resolve(endpoint).addresses
        with psycopg.connect(**parameters, hostaddr=address, connect_timeout=30) as connection:
            row = connection.execute(statement).fetchone()  # type: ignore[call-overload]
        return row[0]

    def await_available(self, members: int) -> None:
        """Wait until the cluster and this many members are available, by the API and by names."""

        def settled() -> bool:
            if self.dns_writer() != self.api_writer() or self.cluster()["Status"] != "available":
                return False
            statuses = [i["DBInstanceStatus"] for i in self.instances().values()]
            return statuses == ["available"] * members

        wait_until(settled, "the cluster to be available", timeout_s=60, interval_s=0.2)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    """An embedded cluster that the tests of a module share; each leaves it available."""
    log = tmp_path_factory.mktemp("live") / "server.log"
    with lifecycle.embedded(ClusterSpec(id="live", seed=7), log) as embedded:
        live = LiveCluster(embedded.state)
        yield live
        live.rds.close()


@pytest.fixture
def state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of this test's own; whatever still stands in it at the end is taken down."""
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    yield tmp_path / "state"
    for state in lifecycle.status():
        lifecycle.down(state.id)


def processes_below(directory: str) -> list[psutil.Process]:
    """Return the processes that work in a cluster's folder, or watch over it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd().startswith(directory) or directory in process.cmdline():
                found.append(process)
    return found


@pytest.fixture
def gone() -> Callable[[ClusterState], None]:
    """Wait until nothing of a cluster is left: processes, folder, addresses, record."""

    def check(state: ClusterState) -> None:
        wait_until(
            lambda: not psutil.pid_exists(state.pid) or _is_zombie(state.pid),
            "the server to end",
            timeout_s=60,
        )
        wait_until(lambda: not Path(state.directory).exists(), "its folder to go", timeout_s=60)
        wait_until(
            lambda: not processes_below(state.directory), "its processes to end", timeout_s=60
        )
        slot = Slot.of(state.id)
        left = [path for path in slot.path.parent.glob(f"*{state.id}*") if path != slot.log]
        assert left == []

    return check


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@pytest.fixture
def plain_environment() -> dict[str, str]:
    """This process's environment without anything that configures an AWS client."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
