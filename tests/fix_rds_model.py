"""An estate served in this process, and boto3 clients that hold every answer to the service's model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from fix_control_plane import DOMAIN, rds_client
from fix_testcluster import PASSWORD, open_estate
from rds_model import holding_to_the_model

from chaos.names import NameServer
from chaos.testcluster.api.control import Control, ServerFacts
from chaos.testcluster.api.server import ApiServer
from chaos.testcluster.estate import Estate, start_cluster
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.records import Address, Alias, ClusterSpec
from chaos.wait import wait_until


@dataclass
class Served:
    """A real estate behind its API; `rds` is a validating client of its first Region."""

    estate: Estate
    url: str
    rds: Any
    clients: list[Any] = field(default_factory=list)

    def client(self, service: str = "rds", **settings: Any) -> Any:
        """Return another validating client, as of another Region."""
        made = holding_to_the_model(rds_client(self.url, service=service, **settings))
        self.clients.append(made)
        return made

    def start_cluster(self, **spec: Any) -> Any:
        """Start a cluster by `ClusterSpec` fields, without the API."""
        return start_cluster(self.estate, ClusterSpec(**spec), PASSWORD)

    def behind(self, name: str) -> set[str]:
        """Return the addresses that a DNS name may be answered with now."""
        names = self.estate.names()
        found = names.get(name)
        if found is None:
            return set()
        if isinstance(found, Address):
            return {found.address}
        assert isinstance(found, Alias)
        return {address for target in found.targets for address in self.behind(target)}

    def address(self, instance: str) -> str:
        """Return an instance's address, whatever its names say."""
        return self.estate.cluster_of(instance).core.members[instance].node.address

    def instance(self, instance: str) -> dict[str, Any]:
        """Return an instance as the API describes it."""
        found: dict[str, Any] = self.rds.describe_db_instances(DBInstanceIdentifier=instance)[
            "DBInstances"
        ][0]
        return found

    def cluster(self, cluster: str) -> dict[str, Any]:
        """Return a cluster as the API describes it."""
        found: dict[str, Any] = self.rds.describe_db_clusters(DBClusterIdentifier=cluster)[
            "DBClusters"
        ][0]
        return found

    def await_available(self, cluster: str, instances: int) -> None:
        """Wait until the API shows a cluster and so many instances, all available."""

        def settled() -> bool:
            if self.cluster(cluster)["Status"] != "available":
                return False
            members = self.rds.describe_db_instances(
                Filters=[{"Name": "db-cluster-id", "Values": [cluster]}]
            )["DBInstances"]
            return [m["DBInstanceStatus"] for m in members] == ["available"] * instances

        wait_until(settled, f"{cluster} to be available", timeout_s=60, interval_s=0.2)


@contextmanager
def serving(binaries: PostgresBinaries) -> Iterator[Served]:
    """Serve an estate without clusters."""
    with open_estate(binaries) as estate, ExitStack() as stack:
        block = estate.ground.block
        url = f"http://{block.control}:{block.control_port}"
        facts = ServerFacts(
            api_url=url,
            control_url=f"{url}/control",
            name_server=NameServer(address=block.control, port=block.dns_port, domain=DOMAIN),
            profile="fast",
            seed=0,
            pid=1,
            directory=str(estate.ground.directory),
            ca_file=str(estate.security.ca_file or ""),
            why_no_tls=estate.security.why_no_tls,
        )
        server = ApiServer(estate, Control(estate, facts, lambda: None), listener=block.listener)
        stack.callback(server.close)
        served = Served(estate, url, holding_to_the_model(rds_client(url)))
        served.clients.append(served.rds)
        stack.callback(lambda: [client.close() for client in served.clients])
        yield served


@pytest.fixture(scope="module")
def served(postgres_binaries: PostgresBinaries) -> Iterator[Served]:
    """An estate of this module's own, without clusters, and validating clients of it."""
    with serving(postgres_binaries) as served:
        yield served


Refused = Callable[..., str]


@pytest.fixture
def refused() -> Refused:
    """Call an operation that must be refused with a code; return the message."""

    def call(code: str, operation: Callable[..., Any], **parameters: Any) -> str:
        with pytest.raises(Exception, match=code) as raised:
            operation(**parameters)
        error = raised.value.response["Error"]  # type: ignore[attr-defined]
        assert error["Code"] == code
        message: str = error["Message"]
        return message

    return call
