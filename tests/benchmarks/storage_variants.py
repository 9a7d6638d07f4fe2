"""Why the test cluster's storage is what it is: three ways to fail over, side by side.

    python tests/benchmarks/storage_variants.py [--runs 5] [--postgres FOLDER]

- `storage`: asynchronous streaming, and every node can read the writer's WAL (storage.py)
- `sync`: synchronous_standby_names = 'ANY 1 (*)', the most advanced reader is promoted
- `async`: streaming alone, a fixed reader is promoted; the control that shows what can go wrong

Each run: two clients commit single rows for a second, the writer is killed, a reader is promoted, the
old writer rejoins (by a plain start, or after pg_rewind where its history may differ).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from chaos.clock import NS, MonotonicClock
from chaos.testcluster.postgres.account import server_account
from chaos.testcluster.postgres.configuration import CONTROL_ROLE
from chaos.testcluster.postgres.node import Foundation, Node
from chaos.testcluster.postgres.programs import find_postgres
from chaos.testcluster.postgres.storage import Storage
from chaos.testcluster.postgres.template import cached_template
from chaos.testcluster.process.addresses import AddressBlock, free_port
from chaos.testcluster.process.directory import make_directory
from chaos.wait import wait_until

CLOCK = MonotonicClock()
LOAD_S = 1.0
REWINDABLE = "wal_log_hints = on\nfull_page_writes = on\n"
EXTRA = {
    "storage": "",
    "sync": REWINDABLE + "synchronous_standby_names = 'ANY 1 (*)'\n",
    "async": REWINDABLE,
}


class VariantNode(Node):
    """A node with further settings."""

    extra = ""

    def _configure(self, upstream: str | None) -> None:
        super()._configure(upstream)
        path = self.directory / "postgresql.conf"
        path.write_text(path.read_text() + self.extra)


@dataclass
class Result:
    """What the runs of one variant gave."""

    commits_per_s: list[float] = field(default_factory=list)
    promoted_ms: list[float] = field(default_factory=list)
    rejoined_ms: list[float] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0


def load(node: Node, number: int, acked: list[int], stop: threading.Event) -> None:
    sequence = number * 10_000_000
    try:
        with node.connect() as session:
            while not stop.is_set():
                sequence += 1
                session.execute("INSERT INTO t VALUES (%s)", [sequence])
                acked.append(sequence)
    except Exception:  # noqa: BLE001 - the end of the server ends the load
        return


def received(node: Node) -> int:
    row = node.ask("SELECT (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::bigint")
    return int(row[0]) if row and row[0] is not None else 0


def run(variant: str, foundation: Foundation, block: AddressBlock, folder: Path) -> Result:
    result = Result()
    nodes = [
        VariantNode(f"n{i}", folder / f"n{i}", block.instance_address(i), foundation)
        for i in (1, 2, 3)
    ]
    writer, *readers = nodes
    for node in nodes:
        node.extra = EXTRA[variant]
        node.create_from_template()
        node.start(None if node is writer else writer.address)
    try:
        one_run(variant, foundation, writer, readers, result)
    finally:
        for node in nodes:
            node.remove()
    return result


def one_run(
    variant: str,
    foundation: Foundation,
    writer: VariantNode,
    readers: list[VariantNode],
    result: Result,
) -> None:
    if variant == "storage":
        foundation.storage.attach(writer.data)
    with writer.connect() as session:
        session.execute("CREATE TABLE t (id bigint)")
    acked: list[list[int]] = [[], []]
    stop = threading.Event()
    clients = [
        threading.Thread(target=load, args=(writer, n + 1, acked[n], stop)) for n in range(2)
    ]
    for client in clients:
        client.start()
    CLOCK.sleep(LOAD_S)
    result.commits_per_s.append(sum(map(len, acked)) / LOAD_S)

    begun = CLOCK.now_ns()
    writer.kill()
    new = max(readers, key=received) if variant == "sync" else readers[0]
    new.promote()
    result.promoted_ms.append((CLOCK.now_ns() - begun) / NS * 1000)
    stop.set()
    for client in clients:
        client.join()
    for node in readers:
        if node is not new:
            node.follow(new.address)
    if variant == "storage":
        foundation.storage.attach(new.data)
    begun = CLOCK.now_ns()
    if variant != "storage":
        rewind(foundation, writer, new)
    writer.start(new.address)
    position = new.position()
    assert position is not None
    wait_until(lambda: writer.follows(position), "the old writer to rejoin", timeout_s=20)
    result.rejoined_ms.append((CLOCK.now_ns() - begun) / NS * 1000)
    count(new, acked, result)


def rewind(foundation: Foundation, writer: VariantNode, new: Node) -> None:
    with new.connect() as session:
        session.execute("CHECKPOINT")  # PostgreSQL 15's pg_rewind reads the control file.
    source = (
        f"host={new.address} port={foundation.port} user={CONTROL_ROLE} dbname=postgres "
        f"password={foundation.template.control_password}"
    )
    foundation.account.run(
        [
            foundation.binaries.program("pg_rewind"),
            *("--target-pgdata", str(writer.data), "--no-sync"),
            *("--config-file", str(writer.directory / "postgresql.conf")),
            *("--source-server", source),
        ],
        timeout_s=60,
    )


def count(new: Node, acked: list[list[int]], result: Result) -> None:
    with new.connect() as session:
        found = {row[0] for row in session.execute("SELECT id FROM t")}
    everything = {id_ for one in acked for id_ in one}
    result.acknowledged += len(everything)
    result.lost += len(everything - found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--postgres", type=Path)
    options = parser.parse_args()
    block, folder = AddressBlock.lease(), make_directory(3)
    binaries = find_postgres(options.postgres)
    account = server_account(binaries)
    lost_by_us = 0
    print(f"PostgreSQL {binaries.version}; medians of {options.runs} runs")
    print("variant   commits/s  kill to promoted      rejoined    acknowledged  lost")
    try:
        for variant in ("storage", "sync", "async"):
            results = []
            for _ in range(options.runs):
                foundation = Foundation(
                    binaries=binaries,
                    account=account,
                    template=cached_template(binaries, account),
                    storage=Storage(folder / f"storage-{variant}"),
                    port=free_port(block.instance_address(1)),
                )
                results.append(run(variant, foundation, block, folder))
            show(variant, results)
            lost_by_us += sum(r.lost for r in results) if variant == "storage" else 0
    except psycopg.Error as error:
        print(f"the benchmark failed: {error}")
        return 2
    finally:
        shutil.rmtree(folder)
        block.close()
    return int(lost_by_us > 0)


def show(variant: str, results: list[Result]) -> None:
    def median(values: list[list[float]]) -> float:
        return statistics.median(value for one in values for value in one)

    print(
        f"{variant:9} {median([r.commits_per_s for r in results]):9.0f} "
        f"{median([r.promoted_ms for r in results]):14.0f} ms "
        f"{median([r.rejoined_ms for r in results]):16.0f} ms "
        f"{sum(r.acknowledged for r in results):13} {sum(r.lost for r in results):5}"
    )


if __name__ == "__main__":
    sys.exit(main())
