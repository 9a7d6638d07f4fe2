"""PostgreSQL's configuration: one text for every node, and the few lines in which nodes differ.

The files lie outside the data directory, so that a copied data directory never brings another
node's identity along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# The control plane's own superuser, and the role with which readers stream; named as in RDS.
CONTROL_ROLE = "rdsadmin"
STREAM_ROLE = "rdsrepladmin"
ADMIN_ROLE = "gameday_admin"
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

HBA = """
# Passwords only, over TCP; the address block is loopback's.
host all all 127.0.0.0/8 scram-sha-256
host replication all 127.0.0.0/8 scram-sha-256
"""


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
        }
        lines = [f"{name} = {_quoted(value)}" for name, value in (own | {**self.own}).items()]
        return COMMON + "\n".join(lines) + "\n"

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
