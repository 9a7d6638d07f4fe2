"""The certificates of the test cluster's servers, from a certificate authority of its own.

One authority per server process, which keeps its key to itself; one certificate per node, with the
wildcard names that every endpoint of its cluster matches, so that renaming needs no other:
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.SSL.html . Keys are elliptic,
because an RSA key would take longer to make than a node to start.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chaos.clock import Anchor, MonotonicClock

_LIFETIME = timedelta(days=30)
_SKEW = timedelta(hours=1)
_KINDS = ("", "cluster-", "cluster-ro-", "cluster-custom-")


class CertificateAuthority:
    """Issues certificates that only whoever has its `certificate` trusts."""

    def __init__(self, common_name: str = "gameday test cluster root CA") -> None:
        """Make a fresh key and its certificate."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(common_name)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        usage = _usage(key_cert_sign=True, crl_sign=True)
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            identifier
        )

    @property
    def certificate(self) -> str:
        """The authority's certificate, as PEM."""
        return _pem(self._certificate)

    def issue(self, common_name: str, names: tuple[str, ...]) -> ServerCertificate:
        """Make a key and a certificate for a server that is reached by `names`."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(common_name), self._name, key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(self._identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return ServerCertificate(_pem(certificate), secret.decode())


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate and its private key, as PEM."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class EndpointTls:
    """What the nodes of one cluster need for TLS.

    `suffix` is what the names of its endpoints end with: `HASH.REGION.rds.amazonaws.com`.
    """

    authority: CertificateAuthority
    suffix: str

    def issue(self, instance: str) -> ServerCertificate:
        """Make the certificate of one instance."""
        return self.authority.issue(f"{instance}.{self.suffix}"[:64], self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that every node's certificate is valid for."""
        return tuple(f"*.{kind}{self.suffix}" for kind in _KINDS)


def write_authority(authority: CertificateAuthority, directory: Path) -> Path:
    """Write the authority's certificate into a folder, for clients; return the file."""
    path = directory / "ca.pem"
    path.write_text(authority.certificate)
    path.chmod(0o644)
    return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = Anchor.take().wall(MonotonicClock().now_ns())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "aurora-gameday"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
