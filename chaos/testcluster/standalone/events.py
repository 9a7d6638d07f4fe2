"""The events of stand-alone instances, and what the nodes' events mean for those who see one instance.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
"""

from __future__ import annotations

from collections.abc import Mapping

from chaos.testcluster import events
from chaos.testcluster.events import EventKind

_CHANGE = ("configuration change",)

FAILOVER_STARTED = EventKind(
    "db-instance", "RDS-EVENT-0013", ("failover",), "Multi-AZ instance failover started."
)
FAILOVER_TO_STANDBY = EventKind(
    "db-instance",
    "RDS-EVENT-0015",
    ("failover",),
    "Multi-AZ failover to standby complete - DNS propagation may take a few minutes.",
)
FAILOVER_ABANDONED = EventKind(
    "db-instance",
    "RDS-EVENT-0034",
    ("failover",),
    "Abandoning user requested failover since a failover recently occurred on the database "
    "instance.",
)
FAILOVER_COMPLETED = EventKind(
    "db-instance", "RDS-EVENT-0049", ("failover",), "Multi-AZ instance failover completed."
)
TO_MULTI_AZ = EventKind(
    "db-instance",
    "RDS-EVENT-0024",
    _CHANGE,
    "Applying modification to convert to a Multi-AZ DB instance.",
)
IS_MULTI_AZ = EventKind(
    "db-instance",
    "RDS-EVENT-0025",
    _CHANGE,
    "Finished applying modification to convert to a Multi-AZ DB instance.",
)
TO_SINGLE_AZ = EventKind(
    "db-instance",
    "RDS-EVENT-0030",
    _CHANGE,
    "Applying modification to convert to a standard (Single-AZ) DB instance.",
)
IS_SINGLE_AZ = EventKind(
    "db-instance",
    "RDS-EVENT-0029",
    _CHANGE,
    "Finished applying modification to convert to a standard (Single-AZ) DB instance.",
)
PASSWORD_RESET = EventKind("db-instance", "RDS-EVENT-0016", _CHANGE, "Reset master credentials.")
REPLICATION_ENDED = EventKind(
    "db-instance",
    "RDS-EVENT-0057",
    ("read replica",),
    "Replication streaming has been terminated.",
)

OF_THE_PAIR: Mapping[EventKind, tuple[EventKind, ...]] = {
    events.FAILOVER_SAME_AZ: (FAILOVER_STARTED,),
    events.FAILOVER_CROSS_AZ: (FAILOVER_STARTED,),
    events.FAILOVER_COMPLETED: (FAILOVER_TO_STANDBY, FAILOVER_COMPLETED),
    events.CREDENTIALS_RESET: (PASSWORD_RESET,),
}
"""Events about both nodes, as the instance has them."""

OF_THE_ACTIVE_NODE = frozenset(
    {
        events.CLASS_CHANGED,
        events.CLASS_CHANGES,
        events.INSTANCE_FAILED,
        events.INSTANCE_RESTARTED,
        events.INSTANCE_SHUTDOWN,
        events.INSTANCE_STARTED,
        events.INSTANCE_STOPPED,
    }
)
"""Events about one node, which are the instance's where that is the active one."""
