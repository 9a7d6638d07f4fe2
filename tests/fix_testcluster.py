"""Running test clusters: real PostgreSQL servers, each cluster on an address block of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
import pytest

from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.estate import Estate, start_cluster
from chaos.testcluster.postgres.programs import PostgresBinaries, find_postgres
from chaos.testcluster.process.addresses import AddressBlock
from chaos.testcluster.records import Address, Alias, ClusterRecord, ClusterSpec, InstanceRecord
from chaos.wait import wait_until

PASSWORD = "for-tests"

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Running:
    """A running cluster, and what tests keep asking of one."""

    cluster: Cluster
    estate: Estate

    @property
    def record(self) -> ClusterRecord:
        return self.cluster.snapshot()

    @property
    def writer(self) -> InstanceRecord:
        return next(i for i in self.record.instances if i.is_writer)

    @property
    def readers(self) -> list[InstanceRecord]:
        return [i for i in self.record.instances if not i.is_writer]

    def instance(self, number: int) -> InstanceRecord:
        """Return `ID-instance-NUMBER`."""
        name = f"{self.record.id}-instance-{number}"
        return next(i for i in self.record.instances if i.id == name)

    def behind(self, endpoint: str) -> set[str]:
        """Return the addresses that a DNS name leads to now."""
        names = self.cluster.names()
        alias = names[endpoint]
        assert isinstance(alias, Alias)
        addresses = [names[target] for target in alias.targets]
        return {a.address for a in addresses if isinstance(a, Address)}

    def connect(self, address: str, **options: object) -> Connection:
        record = self.record
        parameters: dict[str, object] = {
            "host": address,
            "port": record.port,
            "user": record.user,
            "password": PASSWORD,
            "dbname": record.database,
            "connect_timeout": 30,
            "autocommit": True,
            **options,
        }
        return psycopg.connect(**parameters)  # type: ignore[arg-type]

    def settled(self) -> bool:
        record = self.record
        return record.status == "available" and all(
            i.status == "available" and i.pid is not None for i in record.instances
        )

    def await_settled(self, timeout_s: float = 60) -> None:
        wait_until(self.settled, "the cluster to be available", timeout_s=timeout_s)

    def await_writer(self, instance: str, timeout_s: float = 60) -> None:
        """Wait until the API shows this writer and everything is available."""
        wait_until(
            lambda: self.writer.id == instance and self.settled(),
            f"{instance} to be the writer",
            timeout_s=timeout_s,
        )

    def event_ids(self, source: str) -> list[str]:
        """Return them once nothing goes on that may add to them: events follow a status."""
        wait_until(lambda: not self.cluster.core.busy, "what goes on to end", timeout_s=60)
        return self.event_ids_so_far(source)

    def event_ids_so_far(self, source: str) -> list[str]:
        return [
            e.event_id.removeprefix("RDS-EVENT-")
            for e in self.estate.ground.events.all()
            if e.source_id == source
        ]


NewCluster = Callable[..., Running]


@pytest.fixture(scope="session")
def postgres_binaries() -> PostgresBinaries:
    return find_postgres()


@contextmanager
def open_estate(binaries: PostgresBinaries) -> Iterator[Estate]:
    """An estate without clusters, closed at the end."""
    block = AddressBlock.lease()
    try:
        estate = Estate(block=block, binaries=binaries)
        try:
            yield estate
        finally:
            estate.close()
    finally:
        block.close()


def _clusters(postgres_binaries: PostgresBinaries) -> Iterator[NewCluster]:
    with ExitStack() as stack:

        def new(**spec: object) -> Running:
            estate = stack.enter_context(open_estate(postgres_binaries))
            wanted = ClusterSpec(**{"id": "t", **spec})  # type: ignore[arg-type]
            return Running(start_cluster(estate, wanted, PASSWORD), estate)

        yield new


@pytest.fixture
def new_cluster(postgres_binaries: PostgresBinaries) -> Iterator[NewCluster]:
    """Start clusters by `ClusterSpec` fields; they are closed after the test."""
    yield from _clusters(postgres_binaries)


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Running:
    """One writer and two readers, the test's own."""
    return new_cluster()


@pytest.fixture(scope="module")
def shared_cluster(postgres_binaries: PostgresBinaries) -> Iterator[Running]:
    """One writer and two readers, for a module's tests that change nothing."""
    for new in _clusters(postgres_binaries):
        yield new()
