"""The RDS events that the test cluster emits, with AWS's identifiers, categories and words.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Events.Messages.html
"""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from chaos.testcluster.records import EventRecord

_EVENTS_MAX = 10_000


class EventKind(NamedTuple):
    """One documented event; `message` may hold names in braces, such as `{name}`."""

    source_type: str
    event_id: str
    categories: tuple[str, ...]
    message: str


class EventLog:
    """Everything that happened to a server's resources, the oldest first; bounded.

    It outlives what it tells of: the events of a deleted cluster stay.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[EventRecord] = deque(maxlen=_EVENTS_MAX)

    def append(self, event: EventRecord) -> None:
        """Add one event."""
        with self._lock:
            self._events.append(event)

    def all(self) -> tuple[EventRecord, ...]:
        """Return the events so far."""
        with self._lock:
            return tuple(self._events)


CREDENTIALS_RESET = EventKind(
    "db-cluster", "RDS-EVENT-0016", ("configuration change",), "Reset master credentials."
)
CLUSTER_STOPPED = EventKind(
    "db-cluster", "RDS-EVENT-0150", ("notification",), "DB cluster stopped."
)
CLUSTER_STARTED = EventKind(
    "db-cluster", "RDS-EVENT-0151", ("notification",), "DB cluster started."
)
CLUSTER_STOP_FAILED = EventKind(
    "db-cluster", "RDS-EVENT-0152", ("notification",), "DB cluster stop failed."
)
CLUSTER_DELETED = EventKind("db-cluster", "RDS-EVENT-0171", ("deletion",), "DB cluster deleted.")
CLUSTER_RENAMED = EventKind(
    "db-cluster", "RDS-EVENT-0172", ("notification",), "Renamed cluster from {old} to {new}."
)
CLUSTER_CREATED = EventKind("db-cluster", "RDS-EVENT-0170", ("creation",), "DB cluster created.")
FAILOVER_FAILED = EventKind(
    "db-cluster",
    "RDS-EVENT-0069",
    ("failover",),
    "Cluster failover failed, check the health of your cluster instances and try again.",
)
FAILOVER_BACK = EventKind(
    "db-cluster", "RDS-EVENT-0070", ("failover",), "Promoting previous primary again: {name}"
)
FAILOVER_COMPLETED = EventKind(
    "db-cluster", "RDS-EVENT-0071", ("failover",), "Completed failover to DB instance: {name}"
)
FAILOVER_SAME_AZ = EventKind(
    "db-cluster", "RDS-EVENT-0072", ("failover",), "Started same AZ failover to DB instance: {name}"
)
FAILOVER_CROSS_AZ = EventKind(
    "db-cluster",
    "RDS-EVENT-0073",
    ("failover",),
    "Started cross AZ failover to DB instance: {name}",
)

_GLOBAL = "global-failover"
_TO = "to DB cluster {name} in Region {region}"
SWITCHOVER_STARTED = EventKind(
    "db-cluster", "RDS-EVENT-0181", (_GLOBAL,), f"Global switchover {_TO} started."
)
SWITCHOVER_OLD_DOWN = EventKind(
    "db-cluster",
    "RDS-EVENT-0182",
    (_GLOBAL,),
    "Old primary DB cluster {name} in Region {region} successfully shut down.",
)
SWITCHOVER_WAITING = EventKind(
    "db-cluster",
    "RDS-EVENT-0183",
    (_GLOBAL,),
    "Waiting for data synchronization across global cluster members.",
)
SWITCHOVER_PROMOTED = EventKind(
    "db-cluster",
    "RDS-EVENT-0184",
    (_GLOBAL,),
    "New primary DB cluster {name} in Region {region} was successfully promoted.",
)
SWITCHOVER_FINISHED = EventKind(
    "db-cluster", "RDS-EVENT-0185", (_GLOBAL,), f"Global switchover {_TO} finished."
)
SWITCHOVER_CANCELLED = EventKind(
    "db-cluster", "RDS-EVENT-0186", (_GLOBAL,), f"Global switchover {_TO} is cancelled."
)
SWITCHOVER_FAILED = EventKind(
    "db-cluster", "RDS-EVENT-0187", (_GLOBAL,), f"Global switchover {_TO} failed."
)
GLOBAL_FAILOVER_COMPLETED = EventKind(
    "db-cluster", "RDS-EVENT-0238", (_GLOBAL,), f"Global failover {_TO} completed."
)
GLOBAL_FAILOVER_FAILED = EventKind(
    "db-cluster", "RDS-EVENT-0239", (_GLOBAL,), f"Global failover {_TO} failed."
)
GLOBAL_RESYNC_STARTED = EventKind(
    "db-cluster",
    "RDS-EVENT-0240",
    (_GLOBAL,),
    "Started resynchronizing members of DB cluster {name} in Region {region} following global "
    "failover.",
)
GLOBAL_RESYNC_FINISHED = EventKind(
    "db-cluster",
    "RDS-EVENT-0241",
    (_GLOBAL,),
    "Finished resynchronizing members of DB cluster {name} in Region {region} following global "
    "failover.",
)
GLOBAL_DNS_CHANGED = EventKind(
    "db-cluster",
    "RDS-EVENT-0397",
    (_GLOBAL,),
    "Finished changing the DNS entry for the global writer endpoint.",
)

INSTANCE_DELETED = EventKind("db-instance", "RDS-EVENT-0003", ("deletion",), "DB instance deleted.")
INSTANCE_SHUTDOWN = EventKind(
    "db-instance", "RDS-EVENT-0004", ("availability",), "DB instance shutdown."
)
CLASS_CHANGES = EventKind(
    "db-instance",
    "RDS-EVENT-0012",
    ("configuration change",),
    "Applying modification to database instance class.",
)
CLASS_CHANGED = EventKind(
    "db-instance",
    "RDS-EVENT-0014",
    ("configuration change",),
    "Finished applying modification to DB instance class.",
)
INSTANCE_STOPPED = EventKind(
    "db-instance", "RDS-EVENT-0087", ("notification",), "DB instance stopped."
)
INSTANCE_STARTED = EventKind(
    "db-instance", "RDS-EVENT-0088", ("notification",), "DB instance started."
)
INSTANCE_CREATED = EventKind("db-instance", "RDS-EVENT-0005", ("creation",), "DB instance created.")
INSTANCE_RESTARTED = EventKind(
    "db-instance", "RDS-EVENT-0006", ("availability",), "DB instance restarted."
)
TOPOLOGY_UPDATED = EventKind(
    "db-instance", "RDS-EVENT-0385", ("notification",), "Cluster topology is updated."
)
_SERVERLESS = ("notification", "serverless")

PAUSE_STARTED = EventKind(
    "db-instance", "RDS-EVENT-0370", _SERVERLESS, "Initiated pause for the DB instance."
)
PAUSE_CANCELLED = EventKind(
    "db-instance", "RDS-EVENT-0371", _SERVERLESS, "Pause was canceled for the DB instance."
)
PAUSED = EventKind(
    "db-instance", "RDS-EVENT-0372", _SERVERLESS, "Successfully paused the DB instance."
)
RESUME_STARTED = EventKind(
    "db-instance", "RDS-EVENT-0373", _SERVERLESS, "Initiated resume for the DB instance."
)
RESUMED = EventKind(
    "db-instance", "RDS-EVENT-0374", _SERVERLESS, "Successfully resumed the DB instance."
)
INSTANCE_FAILED = EventKind(
    "db-instance", "RDS-EVENT-0031", ("failure",), "DB instance put into failed state."
)
