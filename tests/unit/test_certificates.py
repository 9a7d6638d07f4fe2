"""Certificates are what clients verify: who issued them, for which names, to what end."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store

from chaos.testcluster.security.certificates import (
    CertificateAuthority,
    EndpointTls,
    write_authority,
)

SUFFIX = "cabc.eu-west-1.rds.amazonaws.com"


def test_a_certificate_is_good_for_every_endpoint_of_its_cluster() -> None:
    authority = CertificateAuthority()
    issued = EndpointTls(authority, SUFFIX).issue("shop-instance-1")
    store = Store([x509.load_pem_x509_certificate(authority.certificate.encode())])
    leaf = x509.load_pem_x509_certificate(issued.certificate.encode())
    for name in (
        f"shop-instance-1.{SUFFIX}",
        f"shop.cluster-{SUFFIX}",
        f"shop.cluster-ro-{SUFFIX}",
        f"reports.cluster-custom-{SUFFIX}",
    ):
        verifier = PolicyBuilder().store(store).build_server_verifier(x509.DNSName(name))
        assert verifier.verify(leaf, [])[0] == leaf


def test_a_key_belongs_to_its_certificate_alone() -> None:
    tls = EndpointTls(CertificateAuthority(), SUFFIX)
    issued, other = tls.issue("a"), tls.issue("b")
    key = serialization.load_pem_private_key(issued.key.encode(), password=None)
    assert (
        key.public_key() == x509.load_pem_x509_certificate(issued.certificate.encode()).public_key()
    )
    assert issued.key != other.key


def test_an_instances_long_name_is_cut_where_certificates_end_it() -> None:
    """A common name has 64 characters at most; clients read the alternative names."""
    issued = EndpointTls(CertificateAuthority(), SUFFIX).issue("i" * 63)
    leaf = x509.load_pem_x509_certificate(issued.certificate.encode())
    (name,) = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert len(name.value) == 64


def test_clients_may_read_the_authoritys_certificate(tmp_path: Path) -> None:
    authority = CertificateAuthority()
    path = write_authority(authority, tmp_path)
    assert path.read_text() == authority.certificate
    assert path.stat().st_mode & 0o777 == 0o644
