"""What faults see of a cluster from outside: who answers, how late, how far behind.

Nothing here changes anything but the log: a reader's lag only shows while somebody writes, so a look at
it writes a message that no table holds.
"""

from __future__ import annotations

from chaos.errors import DatabaseError
from chaos.faults.base import Context, Fault
from chaos.model.answers import RoundTrips
from chaos.model.topology import Topology

READ = "SELECT 1"
COMMIT = "SELECT pg_catalog.pg_logical_emit_message(true, 'gameday', '')"
"""Writes to the log and commits, without a table."""
TRIPS = 10
_GRACE_S = 3600


def is_silent(context: Context, instance: str) -> bool:
    """Tell whether an instance does not answer SQL; one that says why it refuses does answer."""
    try:
        context.database.identify(instance)
    except DatabaseError as error:
        return error.sqlstate is None or error.sqlstate.startswith("57P0")
    return False


def trips(context: Context, instance: str, statement: str) -> RoundTrips:
    """Measure a statement on an instance, several times."""
    return context.database.round_trips(instance, statement, TRIPS)


def is_slower(now: RoundTrips, was: RoundTrips, by_s: float) -> bool:
    """Tell whether statements take at least half of `by_s` longer on average than they took."""
    return now.mean_s - was.median_s >= by_s / 2


def lag_ms(context: Context, topology: Topology, reader: str, *, writing: bool = True) -> float:
    """Return how far a reader is behind the writer by `aurora_replica_status()`, in milliseconds.

    Without `writing` it is what the last write of somebody else showed.
    """
    assert topology.writer is not None
    writer = topology.writer.id
    if writing:
        context.database.query(writer, COMMIT)
    rows = context.database.query(
        writer, "SELECT server_id, replica_lag_in_msec FROM pg_catalog.aurora_replica_status()"
    )
    return max((float(lag or 0) for name, lag in rows if name == reader), default=0.0)


def dead_man(fault: Fault) -> str:
    """Return the statement by which the server ends an idle transaction long after the fault's end.

    A runner that dies takes its sockets with it; this is for one whose machine is cut off.
    """
    limit_s = fault.effect_timeout_s + fault.hold_s + _GRACE_S
    return f"SET LOCAL idle_in_transaction_session_timeout = '{limit_s:.0f}s'"
