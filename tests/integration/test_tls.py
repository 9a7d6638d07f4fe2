"""Clients can verify every node against the cluster's own authority, and must not trust another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from fix_testcluster import PASSWORD, NewCluster, Running

from chaos.testcluster import estate
from chaos.testcluster.aurora.cluster_changes import IAM
from chaos.testcluster.records import ApiError, ClusterChanges
from chaos.testcluster.security.certificates import CertificateAuthority, write_authority

USED = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(autouse=True)
def tls(shared_cluster: Running) -> None:
    if not shared_cluster.estate.ground.template.tls:
        pytest.skip("THIS POSTGRESQL WAS BUILT WITHOUT OPENSSL, so there is nothing to verify")


def used(running: Running, host: str, address: str, **options: object) -> tuple[object, ...] | None:
    """Whether a connection to an address, by a name, has TLS, and which."""
    with running.connect(host, hostaddr=address, **options) as connection:
        return connection.execute(USED).fetchone()


def verified(running: Running) -> dict[str, object]:
    return {"sslmode": "verify-full", "sslrootcert": str(running.estate.security.ca_file)}


def test_every_endpoint_can_be_verified(shared_cluster: Running) -> None:
    record = shared_cluster.record
    for instance in record.instances:
        for name in (record.cluster_endpoint, record.reader_endpoint, instance.endpoint):
            used_here = used(shared_cluster, name, instance.address, **verified(shared_cluster))
            assert used_here == (True, "TLSv1.3")


def test_another_name_is_refused(shared_cluster: Running) -> None:
    other = "t.cluster-another.eu-west-1.rds.amazonaws.com"
    address = shared_cluster.writer.address
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        used(shared_cluster, other, address, **verified(shared_cluster))
    assert used(
        shared_cluster, other, address, **verified(shared_cluster) | {"sslmode": "verify-ca"}
    )


def test_another_authority_is_refused(shared_cluster: Running, tmp_path: Path) -> None:
    """One of the same name too: who signed counts."""
    another = write_authority(CertificateAuthority(), tmp_path)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        used(
            shared_cluster,
            shared_cluster.record.cluster_endpoint,
            shared_cluster.writer.address,
            sslmode="verify-full",
            sslrootcert=str(another),
        )


def test_old_versions_of_tls_are_refused(shared_cluster: Running) -> None:
    address = shared_cluster.writer.address
    assert used(shared_cluster, address, address, ssl_max_protocol_version="TLSv1.2") == (
        True,
        "TLSv1.2",
    )
    with pytest.raises(psycopg.OperationalError):
        used(
            shared_cluster,
            address,
            address,
            sslmode="require",
            ssl_min_protocol_version="TLSv1.1",
            ssl_max_protocol_version="TLSv1.1",
        )


def test_no_tls_is_let_in_where_it_is_not_forced(shared_cluster: Running) -> None:
    for instance in shared_cluster.record.instances:
        address = instance.address
        assert used(shared_cluster, address, address, sslmode="disable") == (False, None)
        assert used(shared_cluster, address, address) == (True, "TLSv1.3")


def test_a_new_writer_can_be_verified(new_cluster: NewCluster) -> None:
    running = new_cluster(readers=1)
    (reader,) = running.readers
    running.cluster.failover(reader.id)
    running.await_writer(reader.id, 60)
    for instance in running.record.instances:
        assert used(
            running, running.record.cluster_endpoint, instance.address, **verified(running)
        ) == (True, "TLSv1.3")


def test_a_postgres_without_openssl_serves_without_tls(
    new_cluster: NewCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = estate.cached_template
    monkeypatch.setattr(
        estate, "cached_template", lambda *given: replace(cached(*given), tls=False)
    )
    running = new_cluster(readers=0)
    address = running.writer.address
    assert used(running, address, address, password=PASSWORD) == (False, None)
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
        used(running, address, address, sslmode="require")
    with pytest.raises(ApiError, match="built without OpenSSL"):
        running.cluster.modify(ClusterChanges(settings={IAM: True}, immediately=True))
    assert running.estate.security.why_no_tls == "this PostgreSQL was built without OpenSSL"
