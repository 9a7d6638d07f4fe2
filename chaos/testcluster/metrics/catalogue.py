"""The metrics of `AWS/RDS` that are published here: unit, and whose.

Names, units and meanings are AWS's: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/
"Amazon CloudWatch metrics for Amazon Aurora", and the RDS guide's for stand-alone instances.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

NAMESPACE = "AWS/RDS"


class Published(NamedTuple):
    """A metric's unit, who publishes it, and what it is here."""

    unit: str
    by: str
    what: str


METRICS: Mapping[str, Published] = {
    "ACUUtilization": Published(
        "Percent", "Serverless v2 instances", "present capacity of the maximum"
    ),
    "AuroraGlobalDBReplicationLag": Published(
        "Milliseconds", "instances of a secondary cluster", "age of what is not replayed yet"
    ),
    "AuroraReplicaLag": Published(
        "Milliseconds", "Aurora readers", "age of what is not replayed yet"
    ),
    "AuroraReplicaLagMaximum": Published(
        "Milliseconds", "the Aurora writer", "the highest lag of its readers"
    ),
    "AuroraReplicaLagMinimum": Published(
        "Milliseconds", "the Aurora writer", "the lowest lag of its readers"
    ),
    "BufferCacheHitRatio": Published(
        "Percent", "Aurora instances", "blocks found in shared buffers; missing while none is read"
    ),
    "CPUUtilization": Published(
        "Percent",
        "all instances",
        "processor time of the server's processes: of the maximum capacity's for Serverless v2, "
        "else of this machine's",
    ),
    "CommitThroughput": Published(
        "Count/Second", "the Aurora writer", "transactions that ended well, the service's own too"
    ),
    "DBLoad": Published("None", "all instances", "clients' sessions that are active"),
    "DBLoadCPU": Published("None", "all instances", "those of them that wait for nothing"),
    "DBLoadNonCPU": Published("None", "all instances", "those of them that wait"),
    "DatabaseConnections": Published(
        "Count", "all instances", "clients' sessions, without the service's own"
    ),
    "Deadlocks": Published("Count/Second", "Aurora instances", "deadlocks found"),
    "EngineUptime": Published("Seconds", "Aurora instances", "time since the server started"),
    "FreeableMemory": Published(
        "Bytes",
        "all instances",
        "memory of the class (2 GiB an ACU of the maximum capacity) without what the server uses",
    ),
    "ReplicaLag": Published(
        "Seconds", "read replicas of stand-alone instances", "age of what is not replayed yet"
    ),
    "ServerlessDatabaseCapacity": Published(
        "Count", "Serverless v2 instances", "present capacity in ACU; 0 while paused"
    ),
}
