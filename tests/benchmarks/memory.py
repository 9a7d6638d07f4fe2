"""Whether a traffic process grows with the length of the run: its memory after 1 and after 10 minutes.

    python tests/benchmarks/memory.py [--rate 250] [--minute-rate 100] [--minutes 10]

Memory could only grow with what has been done, so minutes are counted in operations: one minute is
what an arm of the demo does in it (`--minute-rate` operations per second). They are offered faster
than that (`--rate` of each kind), against a private PostgreSQL, in the real process. The first
minute includes all warming up; the goal is at most 5 MB more after the tenth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from fix_postgres import PlainPostgres

from chaos.model.operation import OPERATION
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.traffic import STOP_S_MIN, Traffic

ARM = "resilient"
GOAL_MB = 5.0


def measure(server: PlainPostgres, folder: Path, options: argparse.Namespace) -> list[float]:
    """Return the process's resident memory in MB at the end of each equivalent minute."""
    ledger.prepare(server.access(), folder.name)
    arm = ArmTraffic(arm=ARM, writes_per_s=options.rate, reads_per_s=options.rate)
    traffic = Traffic(TrafficConfig(run=folder.name, arms=(arm,)), server.access(), folder)
    traffic.start(60)
    (process,) = traffic._processes
    worker = psutil.Process(process.pid)
    operations = folder / "operations" / f"{ARM}.ops"
    found: list[float] = []
    for minute in range(1, options.minutes + 1):
        wanted = minute * 60 * options.minute_rate * OPERATION.size
        wait_until(
            lambda wanted=wanted: operations.stat().st_size >= wanted,  # type: ignore[misc]
            f"minute {minute}",
            timeout_s=600,
        )
        traffic.check()
        found.append(worker.memory_info().rss / 1e6)
        print(
            f"minute {minute:2}: {wanted // OPERATION.size:7} operations, RSS {found[-1]:6.1f} MB"
        )
    traffic.stop(STOP_S_MIN)
    return found


def main() -> int:
    """Measure; exit with 1 when the process grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=250.0)
    parser.add_argument("--minute-rate", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = PlainPostgres(Path(folder))
        server.start()
        try:
            found = measure(server, Path(folder) / "run", options)
        finally:
            server.stop()
    growth = found[-1] - found[0]
    met = growth <= GOAL_MB
    print(
        f"growth from minute 1 to {options.minutes}: {growth:+.1f} MB;"
        f" goal: at most {GOAL_MB:g} MB - {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
