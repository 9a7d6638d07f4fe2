"""Which cluster a command means: the embedded one, a running test cluster, or one on AWS."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaos import names
from chaos.aws.rds import ApiAccess, ControlPlane
from chaos.cli.defect import plant
from chaos.errors import ControlPlaneError, DefinitionError, GuardRefused
from chaos.model.access import DatabaseAccess
from chaos.model.topology import Topology
from chaos.run.restore import UNDO_TIMEOUT_S
from chaos.safety.ports import Control
from chaos.testcluster.process import lifecycle
from chaos.testcluster.process.control_address import ControlAddress
from chaos.testcluster.process.lifecycle import ClusterState
from chaos.testcluster.records import ClusterSpec

TEST_ACCOUNT = "000000000000"
# The embedded cluster ends with the run, so little is lost where it does not come back.
_EMBEDDED_UNDO_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A cluster to run on. `connect` makes the data plane's access from its topology.

    `check` raises once the cluster itself is known to be gone; `undo_timeout_s` is how long it is
    worth while to wait for it.
    """

    rds: ControlPlane
    connect: Callable[[Topology], DatabaseAccess]
    control: Control | None = None
    check: Callable[[], None] = lambda: None
    undo_timeout_s: float = UNDO_TIMEOUT_S

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
        """Return `test` for the account that AWS never issues, and `aws` for every other one."""
        return "test" if f":{TEST_ACCOUNT}:" in topology.arn else "aws"


@contextmanager
def opened(
    cluster: str | None,
    spec: ClusterSpec,
    log: Path,
    tell: Callable[[str], None],
    *,
    region: str | None = None,
    defects: Sequence[Mapping[str, Any]] = (),
) -> Iterator[Target]:
    """Open the cluster that `--cluster` names; without one start the embedded, and end it after.

    `defects` are planted in the embedded one, before anybody sees it.

    Raises:
        HostError: the embedded cluster cannot start here.
        DefinitionError: a test cluster of that name has died; AWS is not asked for one then.
    """
    if cluster is None:
        tell(f"starting the embedded test cluster (1 writer, {spec.readers} readers)")
        embedded = lifecycle.embedded(spec, log)
        try:
            plant(embedded.state, defects)
            target = _on_test_cluster(embedded.state)
            yield replace(target, check=embedded.check, undo_timeout_s=_EMBEDDED_UNDO_TIMEOUT_S)
        finally:
            embedded.close()
        return
    standing = lifecycle.status(cluster)
    if not standing:
        yield _on_aws(cluster, region)
    elif standing[0].alive:
        yield _on_test_cluster(standing[0])
    else:
        raise DefinitionError(
            f"the server of test cluster {cluster} has died; `gameday cluster down {cluster}`"
        )


def _on_test_cluster(state: ClusterState) -> Target:
    names.install(state.name_server)
    api = ApiAccess(
        region=state.region,
        endpoint_url=state.api_url,
        access_key="any",
        secret_key="any",  # noqa: S106 - a test cluster takes any
    )
    return Target(
        rds=ControlPlane(state.id, api),
        connect=lambda topology: replace(state.access, endpoints=endpoints(topology)),
        control=ControlAddress(state),
    )


def _on_aws(cluster: str, region: str | None) -> Target:
    return Target(rds=ControlPlane(cluster, ApiAccess(region=region)), connect=_credentials)


def login() -> dict[str, Any] | None:
    """Take user, password and what else only this machine knows from GAMEDAY_DB_* or PG*.

    None where no user or no password is set. `options` are libpq's, as libpq names them.
    """
    environment = os.environ
    user = environment.get("GAMEDAY_DB_USER") or environment.get("PGUSER")
    password = environment.get("GAMEDAY_DB_PASSWORD") or environment.get("PGPASSWORD")
    if not user or not password:
        return None
    options = {"sslmode": environment.get("PGSSLMODE", "require")}
    if root := environment.get("PGSSLROOTCERT"):
        options["sslrootcert"] = root
    return {"user": user, "password": password, "options": options}


def _credentials(topology: Topology) -> DatabaseAccess:
    """Reach a real cluster with the login of this machine."""
    found = login()
    if found is None:
        raise DefinitionError(
            f"no database user for {topology.cluster}; set GAMEDAY_DB_USER and GAMEDAY_DB_PASSWORD"
        )
    environment = os.environ
    database = environment.get("GAMEDAY_DB_NAME") or environment.get("PGDATABASE") or "postgres"
    return DatabaseAccess(
        endpoints=endpoints(topology), port=topology.port, database=database, **found
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
    # While a person thinks, Ctrl-C ends it at once, as everywhere else.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        typed = sys.stdin.readline().strip()
    finally:
        signal.signal(signal.SIGINT, handler)
    if typed != topology.cluster:
        raise GuardRefused(f"{topology.cluster} was not confirmed; nothing was done")


def reopened(
    environment: Mapping[str, Any], log: Path, tell: Callable[[str], None]
) -> AbstractContextManager[Target]:
    """Open the cluster of an earlier run again, from its `environment.json`.

    Raises:
        DefinitionError: it was a test cluster, which is gone.
    """
    cluster: str = environment["cluster"]
    if environment["cluster_kind"] == "test" and not lifecycle.status(cluster):
        raise DefinitionError(
            f"test cluster {cluster} is gone, and with it all that could be undone"
        )
    return opened(cluster, ClusterSpec(), log, tell, region=environment["region"])


def same(environment: Mapping[str, Any], topology: Topology) -> None:
    """Hold a cluster to be the very one of an earlier run, not another of its name.

    Raises:
        GuardRefused: it is another one.
    """
    if topology.resource_id != environment["resource_id"]:
        raise GuardRefused(
            f"{topology.cluster} is {topology.resource_id}, but the run was on "
            f"{environment['resource_id']}; nothing was done"
        )
