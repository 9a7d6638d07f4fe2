"""PostgreSQL's configuration: one text for every node, and the few lines in which nodes differ.

The files lie outside the data directory, so that a copied data directory never brings another
node's identity along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chaos.testcluster.security.iam_directory import PREFIX, SUFFIX

# The control plane's own superuser, and the role with which readers stream; named as in RDS.
CONTROL_ROLE = "rdsadmin"
STREAM_ROLE = "rdsrepladmin"
ADMIN_ROLE = "gameday_admin"
TOKEN_ROLE = "rds_iam"  # noqa: S105 - whose members authenticate with tokens
DATABASE = "app"

SEGMENT_MB = 4

# Streaming is asynchronous: storage.py says why no commit is lost all the same. Data are throwaway,
# so nothing is flushed to disk; a process's crash loses nothing that it gave to the kernel.
COMMON = """
max_connections = 500
superuser_reserved_connections = 10
shared_buffers = 16MB
dynamic_shared_memory_type = mmap    # unlike the default, leaves nothing behind when killed
unix_socket_directories = ''
password_encryption = scram-sha-256
fsync = off
full_page_writes = off
autovacuum_naptime = 10s
max_wal_size = 64MB
min_wal_size = 16MB
wal_keep_size = 32MB
wal_level = replica
max_wal_senders = 40
max_replication_slots = 40
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
recovery_target_timeline = latest
hot_standby = on
hot_standby_feedback = on
restart_after_crash = off            # the control plane restarts a crashed node, at its own pace
jit = off
log_timezone = UTC
timezone = UTC
lc_messages = C
log_line_prefix = '%m [%p] %a '
log_min_messages = warning
"""

# Since 16, whoever grants a role is a member of it; the administrator's own password is to go on.
_OWN_MEMBERSHIP_MAJOR = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """Whom a cluster's servers let in.

    `token_directory` is where tokens are judged by LDAP, None where only passwords let in.
    """

    token_directory: tuple[str, int] | None = None

    def render(self, address: str, major: int, own: Mapping[str, str]) -> str:
        """Return the whole of a node's pg_hba.conf, which is read top down; `own`: its settings."""
        client = "hostssl" if own.get("rds.force_ssl") == "1" else "host"
        lines = [
            "# Over TCP only; the address block is loopback's.",
            f"host all {CONTROL_ROLE} 127.0.0.0/8 scram-sha-256",
            "host replication all 127.0.0.0/8 scram-sha-256",
        ]
        if self.token_directory is not None:
            if major >= _OWN_MEMBERSHIP_MAJOR:
                lines.append(f"{client} all {ADMIN_ROLE} 127.0.0.0/8 scram-sha-256")
            host, port = self.token_directory
            directory = (
                f"ldapserver={host} ldapport={port} "
                f'ldapprefix="{PREFIX}" ldapsuffix="{SUFFIX}{address}"'
            )
            lines += [
                f"hostssl all +{TOKEN_ROLE} 127.0.0.0/8 ldap {directory}",
                f"hostnossl all +{TOKEN_ROLE} 127.0.0.0/8 reject",
            ]
        lines.append(f"{client} all all 127.0.0.0/8 scram-sha-256")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What one node has of its own. `upstream` is the writer's address, None for the writer."""

    identifier: str
    data: Path
    hba: Path
    address: str
    port: int
    upstream: str | None
    stream_password: str
    storage: Path
    tls: Path | None = None
    """The folder of `server.crt` and `server.key`."""
    own: Mapping[str, str] = field(default_factory=dict)
    """Settings beyond these, by name; they come last and so win."""

    def render(self) -> str:
        """Return the whole of the node's postgresql.conf."""
        own = {
            "data_directory": str(self.data),
            "hba_file": str(self.hba),
            "cluster_name": self.identifier,
            "listen_addresses": self.address,
            "port": str(self.port),
            "restore_command": f'test -f "{self.storage}/%f" && cp "{self.storage}/%f" "%p"',
            "primary_conninfo": self._upstream_conninfo(),
            **self._tls(),
        }
        lines = [f"{name} = {_quoted(value)}" for name, value in (own | {**self.own}).items()]
        return COMMON + "\n".join(lines) + "\n"

    def _tls(self) -> dict[str, str]:
        if self.tls is None:
            return {}
        return {
            "ssl": "on",
            "ssl_cert_file": str(self.tls / "server.crt"),
            "ssl_key_file": str(self.tls / "server.key"),
            "ssl_min_protocol_version": "TLSv1.2",
        }

    def _upstream_conninfo(self) -> str:
        if self.upstream is None:
            return ""
        return (
            f"host={self.upstream} port={self.port} user={STREAM_ROLE} "
            f"password={self.stream_password} connect_timeout=2 "
            f"application_name={self.identifier} sslmode=disable"
        )


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
