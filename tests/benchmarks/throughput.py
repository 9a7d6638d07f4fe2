"""Operations per second and per second of processor time: the product beside what could replace it.

    python tests/benchmarks/throughput.py [--short] [--rounds 6] [--round-s 4] [--users 8] [--json FILE]

Every client inserts the same row into the same table of a private PostgreSQL, through as many
connections, as fast as it can. Rounds are interleaved, so that whatever else the machine does meets
all alike. `cpu us` is the processor time of the client's own process for one operation: with client
and server on the same processors that is the figure that carries over to other machines.

    pgbench                  -M prepared -j1: C, no records, what the server can take
    psycopg                  a bare loop in greenlets, a connection each, autocommit
    psycopg, commit          the same with a transaction and a commit, which is what applications send
    Locust, psycopg          the bare loop as Locust's users (autocommit, and with a commit)
    ours, held-connection    the arm: traffic process, open-loop arrivals, every operation recorded whole
    SQLAlchemy               a bare loop with a pool
    ours, default-pool       the arm
    Locust, session, event   usual practice: a session for each operation, told to events.request alone
    Locust, connect, event   a connection for each operation, told to events.request alone

Ours runs as in a run: the process that `gameday run` starts, offered more than it can do, so that its
users never wait. What is counted are the records it wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figures, parser, say, spread
from fix_postgres import PlainPostgres

from chaos.clock import NS, MonotonicClock
from chaos.model.history import load_operations
from chaos.model.operation import Outcome
from chaos.testcluster.postgres.programs import find_postgres
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.tables import table_of
from loadgen.traffic import STOP_S_MIN, Traffic

RUN = "throughput"
OF_BARE, OF_NAIVE = 0.85, 2.0
CLOCK = MonotonicClock()


@dataclass(frozen=True, slots=True)
class Round:
    """What one client did in one round."""

    operations: int
    elapsed_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.operations / self.elapsed_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.operations * 1e6


class Bench:
    """A private server, and each client as a function that does one round."""

    def __init__(self, server: PlainPostgres, folder: Path, options: argparse.Namespace) -> None:
        self._server = server
        self._folder = folder
        self._options = options
        self._rounds = 0
        self._rates: dict[str, float] = {}
        ledger.prepare(server.access(), RUN)

    def clients(self) -> dict[str, Callable[[], Round]]:
        bare = {
            "psycopg": "psycopg",
            "psycopg, commit": "psycopg-commit",
            "Locust, psycopg": "locust-psycopg",
            "Locust, psycopg, commit": "locust-psycopg-commit",
            "SQLAlchemy": "sqlalchemy",
            "Locust, session, event": "locust-session-event",
            "Locust, connect, event": "locust-connect-event",
        }
        arms = ("held-connection", "default-pool")
        found: dict[str, Callable[[], Round]] = {
            label: lambda name=name: self.bare(name)  # type: ignore[misc]
            for label, name in bare.items()
        }
        found |= {f"ours, {arm}": lambda arm=arm: self.ours(arm) for arm in arms}  # type: ignore[misc]
        if find_pgbench():
            found = {"pgbench": self.pgbench, **found}
        return found

    def bare(self, name: str) -> Round:
        """Run a client of bare_clients.py."""
        self._rounds += 1
        settings = {
            "parameters": self._server.access().parameters("cluster"),
            "users": self._options.users,
            "round_s": self._options.round_s,
            "table": table_of(RUN),
            "first_id": self._rounds * 10**8,
        }
        ran = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("bare_clients.py")), name],
            input=json.dumps(settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=120 + self._options.round_s,
        )
        if ran.returncode:
            raise SystemExit(f"{name}: {ran.stderr[-2000:]}")
        return Round(**json.loads(ran.stdout))

    def ours(self, arm: str) -> Round:
        """Run the traffic process of an arm, offered more than it can do."""
        self._rounds += 1
        folder = self._folder / f"round-{self._rounds}"
        folder.mkdir()
        rate = self._rates.get(arm, 1.0 * self._options.rate_first)
        offered = ArmTraffic(
            arm=arm,
            writes_per_s=rate,
            reads_per_s=0.0,
            users=self._options.users,
            queue_max=10_000_000,
        )
        config = TrafficConfig(run=RUN, arms=(offered,), seed=self._rounds, process=self._rounds)
        traffic = Traffic(config, self._server.access(), folder)
        traffic.start(60)
        (process,) = traffic._processes
        worker = psutil.Process(process.pid)
        CLOCK.sleep(max(0.5, self._options.round_s / 10))
        began_ns, cpu_s = time.monotonic_ns(), sum(worker.cpu_times()[:2])
        CLOCK.sleep(self._options.round_s)
        ended_ns, cpu_s = time.monotonic_ns(), sum(worker.cpu_times()[:2]) - cpu_s
        traffic.check()
        traffic.stop(STOP_S_MIN)
        records = load_operations(folder / "operations", arm).operations
        at_ns = records["ended_ns"]
        good = (records["outcome"] == Outcome.OK) & (at_ns >= began_ns) & (at_ns < ended_ns)
        made = Round(int(np.count_nonzero(good)), (ended_ns - began_ns) / NS, cpu_s)
        self._rates[arm] = 1.3 * max(made.per_s, rate if made.per_s > 0.9 * rate else 0.0)
        return made

    def pgbench(self) -> Round:
        """Run pgbench; its processor time is what its process used."""
        program = find_pgbench()
        assert program is not None
        self._rounds += 1
        script = self._folder / "insert.sql"
        script.write_text(
            "\\set id random(1, 1000000000)\n"
            f"INSERT INTO {table_of(RUN)} (arm, write_id, attempt, keyed) "
            "VALUES ('bench', :id, 1, false);\n",
            encoding="utf-8",
        )
        parameters = self._server.access().parameters("cluster")
        before = os.times()
        ran = subprocess.run(
            [
                *(program, "-n", "-M", "prepared", "-j1", f"-c{self._options.users}"),
                *(f"-T{max(1, round(self._options.round_s))}", "-f", str(script)),
                *("-h", str(parameters["host"]), "-p", str(parameters["port"])),
                *("-U", str(parameters["user"]), str(parameters["dbname"])),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        after = os.times()
        cpu_s = sum(after[2:4]) - sum(before[2:4])  # of children that have ended
        count = re.search(r"actually processed: (\d+)", ran.stdout)
        rate = re.search(r"tps = ([\d.]+)", ran.stdout)
        assert count is not None
        assert rate is not None
        operations = int(count[1])
        return Round(operations, operations / float(rate[1]), cpu_s)


def find_pgbench() -> str | None:
    """Return the server's own pgbench, None where it was not packed with it."""
    path = Path(find_postgres().program("postgres")).with_name("pgbench")
    return str(path) if path.exists() else None


def main() -> int:
    """Measure, compare; exit with 1 when a goal is missed."""
    made = parser(__doc__)
    made.add_argument("--rounds", type=int, default=6)
    made.add_argument("--round-s", type=float, default=4.0)
    made.add_argument("--users", type=int, default=8)
    made.add_argument("--rate-first", type=float, default=12_000.0, help="offered to ours at first")
    made.add_argument("--only", nargs="+", metavar="CLIENT", help="leave the others out")
    options = made.parse_args()
    if options.short:
        options.rounds, options.round_s = min(options.rounds, 2), min(options.round_s, 1.5)
    figures = Figures("throughput", options)
    done: dict[str, list[Round]] = {}
    with tempfile.TemporaryDirectory(prefix="gameday-throughput-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        server = PlainPostgres(folder)
        server.start()
        try:
            clients = Bench(server, folder, options).clients()
            chosen = options.only or list(clients)
            for number in range(options.rounds):
                # Each goes first in turn: what a server has grown to meets all alike.
                turn = number % len(chosen)
                for name in chosen[turn:] + chosen[:turn]:
                    done.setdefault(name, []).append(clients[name]())
                    last = done[name][-1]
                    say(f"round {number + 1} {name}: {last.per_s:.0f}/s, {last.cpu_us:.0f} us")
        finally:
            server.stop()
    for name in chosen:
        rounds = done[name]
        figures.row(
            name,
            per_s=spread([r.per_s for r in rounds]),
            per_cpu_s=spread([1e6 / r.cpu_us for r in rounds]),
            cpu_us=spread([r.cpu_us for r in rounds]),
        )
    compare(figures, done)
    return figures.told()


def compare(figures: Figures, done: dict[str, list[Round]]) -> None:
    """Hold ours to the goals, per second and per second of processor time."""

    def ratio(ours: str, theirs: str, by: Callable[[Round], float]) -> float:
        # Round by round: neighbours in time met the same machine.
        pairs = zip(done[ours], done[theirs], strict=True)
        return statistics.median(by(a) / by(b) for a, b in pairs)

    for ours, theirs, bound in (
        ("ours, held-connection", "psycopg, commit", OF_BARE),
        ("ours, held-connection", "Locust, psycopg, commit", OF_BARE),
        ("ours, default-pool", "SQLAlchemy", OF_BARE),
        ("ours, held-connection", "Locust, session, event", OF_NAIVE),
        ("ours, held-connection", "Locust, connect, event", OF_NAIVE),
    ):
        if ours in done and theirs in done:
            core = ratio(ours, theirs, lambda r: 1 / r.cpu_us)
            figures.goal(f"{ours} of {theirs}, per core", core, at_least=bound)
            second = ratio(ours, theirs, lambda r: r.per_s)
            figures.goal(f"{ours} of {theirs}, per second", second, at_least=bound)


if __name__ == "__main__":
    sys.exit(main())
