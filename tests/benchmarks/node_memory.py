"""Memory of an idle test cluster: proportional set size of each server, and of the control plane.

    python tests/benchmarks/node_memory.py [--readers 2]

A page that several processes share counts for each with its part.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import psutil

from chaos.testcluster.process.lifecycle import embedded
from chaos.testcluster.records import ClusterSpec

MB = 1024 * 1024


def tree_mb(pid: int) -> tuple[float, int]:
    """Return the proportional set size of a process and its children in MB, and how many they are."""
    process = psutil.Process(pid)
    members = [process, *process.children(recursive=True)]
    return sum(p.memory_full_info().pss for p in members) / MB, len(members)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "cluster.log"
        with embedded(ClusterSpec(readers=options.readers), log) as cluster:
            for instance in cluster.state.status["instances"]:
                size, processes = tree_mb(instance["pid"])
                print(f"{instance['id']}: {size:5.1f} MB in {processes} processes")
            server = psutil.Process(cluster.state.pid)
            print(f"control plane: {server.memory_full_info().pss / MB:5.1f} MB")


if __name__ == "__main__":
    main()
