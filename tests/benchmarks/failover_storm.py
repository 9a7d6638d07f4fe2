"""Failovers in a row under load: what each cost, and whether any acknowledged write was lost.

    python tests/benchmarks/failover_storm.py [--failovers 30] [--clients 2] [--unpaced]

Crashes (SIGKILL of the writer's postmaster alone, so that its backends live on for moments) alternate
with FailoverDBCluster. The clients connect to where the cluster endpoint points and insert unique
ids, one commit each. Exit status 1 if a write is lost or a member does not come back.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import statistics
import sys
import threading
from dataclasses import fields
from pathlib import Path

import psycopg

from chaos.clock import NS, MonotonicClock
from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.estate import Estate, start_cluster
from chaos.testcluster.postgres.programs import find_postgres
from chaos.testcluster.process.addresses import AddressBlock
from chaos.testcluster.profiles import Delays
from chaos.testcluster.records import Address, Alias, ClusterSpec
from chaos.wait import wait_until

PASSWORD = "storm"
CLOCK = MonotonicClock()


class Client(threading.Thread):
    """Inserts ids without pause; on any error it reconnects to where the endpoint points now."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.number = number
        self.acked: list[tuple[int, int]] = []  # (id, acknowledged at)
        self.failed: set[int] = set()
        self.stop = threading.Event()

    def run(self) -> None:
        sequence = self.number * 100_000_000
        while not self.stop.is_set():
            try:
                with connect(self.cluster) as connection:
                    while not self.stop.is_set():
                        sequence += 1
                        self.failed.add(sequence)
                        connection.execute("INSERT INTO storm VALUES (%s)", [sequence])
                        self.failed.discard(sequence)
                        self.acked.append((sequence, CLOCK.now_ns()))
            except psycopg.Error:
                self.stop.wait(0.005)


def connect(cluster: Cluster) -> psycopg.Connection[tuple[object, ...]]:
    record, names = cluster.snapshot(), cluster.names()
    alias = names[record.cluster_endpoint]
    assert isinstance(alias, Alias)
    address = names[alias.targets[0]]
    assert isinstance(address, Address)
    return psycopg.connect(
        host=address.address,
        port=record.port,
        user=record.user,
        password=PASSWORD,
        dbname=record.database,
        connect_timeout=2,
        autocommit=True,
    )


def settled(cluster: Cluster) -> bool:
    record = cluster.snapshot()
    return record.status == "available" and all(
        i.status == "available" and i.pid is not None for i in record.instances
    )


def disturb(cluster: Cluster, number: int) -> str:
    """Make one failover happen; return when everything is available again."""
    before = cluster.snapshot()
    writer = next(i for i in before.instances if i.is_writer)
    if number % 2 == 0:
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        kind = "crash"
    else:
        readers = [i.id for i in before.instances if not i.is_writer]
        cluster.failover(readers[number % len(readers)] if number % 4 == 1 else None)
        kind = "api"

    def moved() -> bool:
        return settled(cluster) and not any(
            i.is_writer and i.id == writer.id for i in cluster.snapshot().instances
        )

    wait_until(moved, "the failover to complete", timeout_s=60, interval_s=0.01)
    return kind


def longest_gap(client: Client, start: int, end: int) -> float:
    instants = [start, *(at for _, at in client.acked if start <= at <= end), end]
    return max(b - a for a, b in itertools.pairwise(instants)) / NS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--failovers", type=int, default=30)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--postgres", type=Path)
    parser.add_argument("--unpaced", action="store_true", help="without any modelled delay")
    parser.add_argument("--older", action="store_true", help="without read availability")
    options = parser.parse_args()
    block = AddressBlock.lease()
    spec = ClusterSpec(id="storm", readers=options.readers, read_availability=not options.older)
    estate = Estate(block=block, binaries=find_postgres(options.postgres))
    begun = CLOCK.now_ns()
    cluster = start_cluster(estate, spec, PASSWORD)
    print(
        f"PostgreSQL {cluster.snapshot().engine_version}, ready in "
        f"{(CLOCK.now_ns() - begun) / NS:.2f} s"
    )
    if options.unpaced:
        for delay in fields(Delays):
            cluster.core.pacer.fix(delay.name, 0)
    try:
        return storm(cluster, options.failovers, options.clients)
    finally:
        estate.close()
        block.close()


def storm(cluster: Cluster, failovers: int, clients: int) -> int:
    with connect(cluster) as connection:
        connection.execute("CREATE TABLE storm (id bigint)")
    load = [Client(cluster, number) for number in range(1, clients + 1)]
    for client in load:
        client.start()
    gaps: dict[str, list[float]] = {"crash": [], "api": []}
    for number in range(failovers):
        CLOCK.sleep(0.2)
        start = CLOCK.now_ns()
        kind = disturb(cluster, number)
        end = CLOCK.now_ns()
        gap = max(longest_gap(client, start, end) for client in load)
        gaps[kind].append(gap)
        writer = next(i.id for i in cluster.snapshot().instances if i.is_writer)
        print(
            f"{number + 1:3} {kind:6} to {writer:18} settled {(end - start) / NS:5.2f} s"
            f"   longest gap {gap:5.2f} s"
        )
    for client in load:
        client.stop.set()
        client.join(10)
    return judge(cluster, load, gaps)


def judge(cluster: Cluster, load: list[Client], gaps: dict[str, list[float]]) -> int:
    acked = [id_ for client in load for id_, _ in client.acked]
    with connect(cluster) as connection:
        rows = [int(str(row[0])) for row in connection.execute("SELECT id FROM storm")]
    found = set(rows)
    lost = set(acked) - found
    unknown = set().union(*(client.failed for client in load))
    for kind, values in gaps.items():
        if values:
            print(
                f"{kind}: {len(values)} failovers, client gap median "
                f"{statistics.median(values):.3f} s, max {max(values):.3f} s"
            )
    print(
        f"acknowledged {len(acked)}, lost {len(lost)}, stored twice {len(rows) - len(found)}, "
        f"unacknowledged {len(unknown)} of which stored {len(unknown & found)}, "
        f"stored unasked {len(found - set(acked) - unknown)}"
    )
    members = [i.status for i in cluster.snapshot().instances]
    print(f"members: {members}")
    return int(bool(lost) or len(rows) != len(found) or set(members) != {"available"})


if __name__ == "__main__":
    sys.exit(main())
