"""Who may connect, and how: TLS, passwords and IAM tokens, as RDS lets its users in.

One `Security` per server process holds the certificate authority and the directory that judges tokens;
one `Access` per cluster says what its servers ask for. What PostgreSQL was built without is left out and
said so: TLS wants OpenSSL, tokens want LDAP and TLS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from chaos.testcluster.postgres.configuration import AccessRules
from chaos.testcluster.postgres.template import Template
from chaos.testcluster.records import ApiError
from chaos.testcluster.security.certificates import (
    CertificateAuthority,
    EndpointTls,
    ServerCertificate,
    write_authority,
)
from chaos.testcluster.security.iam_auth import Door
from chaos.testcluster.security.iam_directory import TokenDirectory


class Security:
    """What the clusters of one server process share.

    Attributes:
        ca_file: the certificate that clients are to trust; None without TLS.
        why_no_tls: empty with TLS.
    """

    def __init__(
        self,
        template: Template,
        directory: Path,
        address: str,
        door_at: Callable[[str], Door | None],
    ) -> None:
        """Make the certificate authority.

        Args:
            template: says what PostgreSQL was built with.
            directory: for the certificate.
            address: where tokens are judged.
            door_at: returns what opens the instance at an address, None where there is none.
        """
        self.why_no_tls = "" if template.tls else "this PostgreSQL was built without OpenSSL"
        self._authority = CertificateAuthority() if template.tls else None
        self.ca_file = write_authority(self._authority, directory) if self._authority else None
        self._why_no_tokens = self.why_no_tls or (
            "" if template.ldap else "this PostgreSQL was built without LDAP, which judges tokens"
        )
        self._address = address
        self._door_at = door_at
        self._lock = threading.Lock()
        self._directory: TokenDirectory | None = None

    def endpoint_tls(self, suffix: str) -> EndpointTls | None:
        """Return what a cluster whose names end with `suffix` needs for TLS; None without TLS."""
        return EndpointTls(self._authority, suffix) if self._authority else None

    def token_directory(self) -> tuple[str, int]:
        """Return where servers ask about tokens.

        Raises:
            ApiError: InvalidParameterCombination: they cannot ask.
        """
        if self._why_no_tokens:
            raise ApiError(
                "InvalidParameterCombination",
                "IAM Database Authentication is not supported for this configuration: "
                f"{self._why_no_tokens}.",
            )
        with self._lock:
            if self._directory is None:
                self._directory = TokenDirectory(self._address, self._door_at)
            return self._address, self._directory.port

    def close(self) -> None:
        """Judge no more tokens."""
        with self._lock:
            directory, self._directory = self._directory, None
        if directory is not None:
            directory.close()


class Access:
    """How one cluster's servers let clients in; changes take effect when nodes `reload_access`."""

    def __init__(self, security: Security | None = None, suffix: str = "") -> None:
        """Begin as RDS does: TLS is offered, passwords let in, tokens do not."""
        self._security = security
        self._tls = security.endpoint_tls(suffix) if security else None
        self.rules = AccessRules()

    @property
    def tls(self) -> bool:
        """Whether servers offer TLS."""
        return self._tls is not None

    @property
    def iam(self) -> bool:
        """Whether tokens let members of `rds_iam` in (EnableIAMDatabaseAuthentication)."""
        return self.rules.token_directory is not None

    def certificate(self, instance: str) -> ServerCertificate | None:
        """Make an instance's certificate; None without TLS."""
        return self._tls.issue(instance) if self._tls else None

    def change_iam(self, *, enabled: bool) -> None:
        """Let tokens in or no longer.

        Raises:
            ApiError: InvalidParameterCombination: this PostgreSQL cannot ask about them.
        """
        if enabled and self._security is None:
            raise ApiError("InvalidParameterCombination", "Nobody judges tokens for this cluster.")
        directory = self._security.token_directory() if enabled and self._security else None
        self.rules = AccessRules(token_directory=directory)
