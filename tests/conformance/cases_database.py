"""Cases of what works inside the database."""

from __future__ import annotations

from conformance.case import BRIEF, Case, Cases

from chaos.faults.block_with_lock import BlockWithLock
from chaos.faults.disk_congestion import DiskCongestion
from chaos.faults.disk_failure import DiskFailure
from chaos.faults.exhaust_connections import ExhaustConnections
from chaos.faults.long_transaction import LongTransaction
from chaos.faults.replica_lag import ReplicaLag

# They last as long as they were asked to; long enough to be seen by a busy machine.
INJECTED = {**BRIEF, "for_s": 10}
LOCKED = (
    "CREATE TABLE IF NOT EXISTS locked (id int PRIMARY KEY)",
    "INSERT INTO locked VALUES (1) ON CONFLICT DO NOTHING",
)

CASES: Cases = {
    "exhaust-connections": {
        "none is left": Case(lambda _: ExhaustConnections(**BRIEF), cluster="small"),
        "some are left": Case(
            lambda _: ExhaustConnections(target="any reader", leave=5, **BRIEF), cluster="small"
        ),
    },
    "block-with-lock": {
        "a table": Case(lambda _: BlockWithLock(table="locked", **BRIEF), given=LOCKED),
        "its rows": Case(
            lambda _: BlockWithLock(table="public.locked", lock="rows", **BRIEF), given=LOCKED
        ),
    },
    "long-transaction": {
        "snapshot on the writer": Case(lambda _: LongTransaction(older_than_s=0.5, **BRIEF)),
        "none, on a reader": Case(
            lambda _: LongTransaction(
                target="any reader", snapshot=False, older_than_s=0.5, **BRIEF
            )
        ),
    },
    "replica-lag": {
        "one reader": Case(lambda _: ReplicaLag(**INJECTED)),
        "all readers": Case(lambda _: ReplicaLag(target="all readers", **INJECTED)),
    },
    "disk-congestion": {
        "a disk": Case(lambda _: DiskCongestion(minimum_ms=80, maximum_ms=100, **INJECTED)),
    },
    "disk-failure": {
        "a storage node": Case(lambda _: DiskFailure(index=1, is_disk=False, **INJECTED)),
    },
}
