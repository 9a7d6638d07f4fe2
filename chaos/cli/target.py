"""Which cluster a command means: the embedded one, a running test cluster, or one on AWS."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from chaos import names
from chaos.aws.rds import ApiAccess, ControlPlane
from chaos.errors import ControlPlaneError, DefinitionError, GuardRefused
from chaos.model.access import DatabaseAccess
from chaos.model.topology import Topology
from chaos.testcluster import lifecycle
from chaos.testcluster.lifecycle import ClusterState
from chaos.testcluster.records import ClusterSpec

TEST_ACCOUNT = "000000000000"
EMBEDDED_ID = "gameday"
_AWS_HOST = re.compile(r"(^|\.)amazonaws\.com(\.cn)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A cluster to run on. `connect` makes the data plane's access from its topology."""

    rds: ControlPlane
    connect: Callable[[Topology], DatabaseAccess]

    def topology(self) -> Topology:
        """Describe the cluster.

        Raises:
            DefinitionError: there is none of that name.
            ControlPlaneError: the API cannot be used.
        """
        try:
            return self.rds.topology()
        except ControlPlaneError as error:
            if error.code == "DBClusterNotFoundFault":
                raise DefinitionError(
                    f"no cluster {self.rds.cluster} in {self.rds.region} at "
                    f"{self.rds.endpoint_url}, and no running test cluster of that name; "
                    "`gameday cluster status` lists those"
                ) from error
            raise

    def kind(self, topology: Topology) -> str:
        """Return `aws`, or `test` for whatever only looks like it: its durations are modelled."""
        host = urlsplit(self.rds.endpoint_url).hostname or ""
        account = topology.arn.split(":")[4] if topology.arn.count(":") >= 5 else TEST_ACCOUNT  # noqa: PLR2004
        return "aws" if _AWS_HOST.search(host) and account != TEST_ACCOUNT else "test"


@contextmanager
def opened(
    cluster: str | None, spec: ClusterSpec, log: Path, tell: Callable[[str], None]
) -> Iterator[Target]:
    """Open the cluster that `--cluster` names; without one start the embedded, and end it after.

    Raises:
        HostError: the embedded cluster cannot start here.
    """
    if cluster is None:
        tell(f"starting the embedded test cluster (1 writer, {spec.readers} readers)")
        embedded = lifecycle.embedded(spec, log)
        try:
            yield _on_test_cluster(embedded.state)
        finally:
            embedded.close()
        return
    running = [state for state in lifecycle.status(cluster) if state.alive]
    yield _on_test_cluster(running[0]) if running else _on_aws(cluster)


def _on_test_cluster(state: ClusterState) -> Target:
    names.install(state.name_server)
    api = ApiAccess(
        region=state.region,
        endpoint_url=state.api_url,
        access_key="any",
        secret_key="any",  # noqa: S106
    )
    return Target(
        rds=ControlPlane(state.id, api),
        connect=lambda topology: replace(state.access, endpoints=endpoints(topology)),
    )


def _on_aws(cluster: str) -> Target:
    return Target(rds=ControlPlane(cluster, ApiAccess()), connect=_credentials)


def _credentials(topology: Topology) -> DatabaseAccess:
    """Take user and password from GAMEDAY_DB_* or PG*, as libpq names them."""
    environment = os.environ
    user = environment.get("GAMEDAY_DB_USER") or environment.get("PGUSER")
    password = environment.get("GAMEDAY_DB_PASSWORD") or environment.get("PGPASSWORD")
    if not user or not password:
        raise DefinitionError(
            f"no database user for {topology.cluster}; set GAMEDAY_DB_USER and GAMEDAY_DB_PASSWORD"
        )
    database = environment.get("GAMEDAY_DB_NAME") or environment.get("PGDATABASE") or "postgres"
    options = {"sslmode": environment.get("PGSSLMODE", "require")}
    if root := environment.get("PGSSLROOTCERT"):
        options["sslrootcert"] = root
    return DatabaseAccess(
        endpoints=endpoints(topology),
        port=topology.port,
        user=user,
        password=password,
        database=database,
        options=options,
    )


def endpoints(topology: Topology) -> dict[str, str]:
    """Return the names of a cluster's endpoints: `cluster`, `reader` and each instance."""
    return {
        "cluster": topology.cluster_endpoint,
        "reader": topology.reader_endpoint or topology.cluster_endpoint,
        **{member.id: member.endpoint for member in topology.members if member.endpoint},
    }


def confirm(topology: Topology, region: str, faults: list[str], *, yes: bool) -> None:
    """Have a person type the cluster's name before anything real is disturbed.

    Raises:
        GuardRefused: another name was typed, or there is nobody to ask and no `--yes`.
    """
    if yes:
        return
    what = f"{', '.join(faults)} on cluster {topology.cluster} in {region}"
    if not sys.stdin.isatty():
        raise GuardRefused(f"{what} is real; without a terminal to ask on, confirm it with --yes")
    sys.stderr.write(f"This will do {what}, which is real.\nType its name to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != topology.cluster:
        raise GuardRefused(f"{topology.cluster} was not confirmed; nothing was done")
