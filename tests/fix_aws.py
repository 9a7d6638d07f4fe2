"""A control plane whose boto3 clients are stubbed: exactly the requests that a test lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.stub import Stubber
from fix_rds import VirtualClock

from chaos.aws.clients import Clients
from chaos.aws.rds import ApiAccess, ControlPlane

ACCESS = ApiAccess(region="eu-west-1", access_key="any", secret_key="any")
ARN = "arn:aws:rds:eu-west-1:123456789012:cluster:c1"
CLUSTER: dict[str, Any] = {
    "DBClusterIdentifier": "c1",
    "DBClusterArn": ARN,
    "DbClusterResourceId": "cluster-ABC",
    "Status": "available",
    "Engine": "aurora-postgresql",
    "EngineVersion": "15.4",
    "Port": 5432,
    "Endpoint": "c1.cluster-x",
    "ReaderEndpoint": "c1.cluster-ro-x",
    "DBClusterMembers": [
        {"DBInstanceIdentifier": "i1", "IsClusterWriter": True, "PromotionTier": 0},
        {"DBInstanceIdentifier": "i2", "IsClusterWriter": False, "PromotionTier": 3},
    ],
}
OF_CLUSTER = {"Filters": [{"Name": "db-cluster-id", "Values": ["c1"]}]}


def instance(name: str, **fields: Any) -> dict[str, Any]:
    """An entry of DescribeDBInstances."""
    return {
        "DBInstanceIdentifier": name,
        "DBInstanceStatus": "available",
        "DBInstanceClass": "db.r6g.large",
        "Engine": "aurora-postgresql",
        "Endpoint": {"Address": f"{name}.x", "Port": 5432},
        **fields,
    }


class Stubs:
    """Stubs of a control plane's clients, by service and Region."""

    def __init__(self, plane: ControlPlane, stack: ExitStack) -> None:
        self._plane = plane
        self._stack = stack
        self._stubs: dict[tuple[str, str], Stubber] = {}

    def __call__(self, service: str, region: str = "eu-west-1") -> Stubber:
        """Return the stub of a client, to which a test adds what it expects."""
        key = (service, region)
        if key not in self._stubs:
            client = self._plane._api.client(service, region)
            self._stubs[key] = self._stack.enter_context(Stubber(client))
        return self._stubs[key]

    def describe(self, *instances: dict[str, Any], **fields: Any) -> None:
        """Expect the two requests of a topology."""
        stub = self("rds")
        stub.add_response(
            "describe_db_clusters",
            {"DBClusters": [{**CLUSTER, **fields}]},
            {"DBClusterIdentifier": "c1"},
        )
        stub.add_response("describe_db_instances", {"DBInstances": list(instances)}, OF_CLUSTER)

    def used_up(self) -> None:
        """Hold that everything that was expected has come."""
        for stub in self._stubs.values():
            stub.assert_no_pending_responses()


@pytest.fixture(scope="session")
def shared_clients() -> Clients:
    """boto3 takes long to make a client."""
    return Clients(ACCESS)


@pytest.fixture
def plane(
    clock: VirtualClock, shared_clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> ControlPlane:
    """A control plane that has asked nothing yet."""
    monkeypatch.setattr("chaos.aws.sending.Clients", lambda _: shared_clients)
    return ControlPlane("c1", ACCESS, clock)


@pytest.fixture
def stubs(plane: ControlPlane) -> Iterator[Stubs]:
    with ExitStack() as stack:
        made = Stubs(plane, stack)
        yield made
        made.used_up()
