"""What recording everything costs: our Locust users against bare ones making the same SQLAlchemy call.

    python tests/benchmarks/recording_cost.py [--rounds 8] [--round-s 3] [--arm default-pool]

Both sides run in this one process against the same private PostgreSQL with the same engine and the
same number of saturated users, in alternating rounds. A bare user executes and counts; ours takes
its operation from the arrival schedule, may retry, classifies and records every operation. The goal
is a median of paired rounds of at most 15 % fewer operations per second. CPU time per operation is
printed too, since it is less sensitive to whatever else the machine does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gevent
import locust  # patches the process: must come before anything that imports psycopg
from locust.env import Environment
from sqlalchemy import Engine, text

sys.path.insert(0, str(Path(__file__).parents[1]))
from fix_postgres import PlainPostgres

from chaos.model.operation import Kind
from loadgen import ledger
from loadgen.arms import Arm, find
from loadgen.client import Client, ReadClient, WriteClient
from loadgen.engine import build_engine
from loadgen.recorder import FLUSH_EVERY_S, Recorder
from loadgen.schedule import Arrivals, Schedule
from loadgen.tables import READ, WRITE, WRITE_KEYED, WriteIds, table_of
from loadgen.users import users_of

RUN = "recording-cost"
USERS = 5  # as many as the default pool keeps, so that no round measures connecting
GOAL = 0.15


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one side."""

    operations: int
    elapsed_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.operations / self.elapsed_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.operations * 1e6


def run_users(user_class: type[locust.User], round_s: float, count: Callable[[], int]) -> Round:
    """Saturate for one round, leaving out a start-up of a tenth of it."""
    environment = Environment(user_classes=[user_class])
    runner = environment.create_local_runner()
    runner.start(USERS, spawn_rate=USERS)
    gevent.sleep(round_s / 10)
    count_before, cpu_before, before = count(), time.process_time(), time.monotonic()
    gevent.sleep(round_s)
    done, cpu_s, elapsed_s = (
        count() - count_before,
        time.process_time() - cpu_before,
        time.monotonic() - before,
    )
    runner.quit()
    return Round(done, elapsed_s, cpu_s)


def bare(kind: Kind, engine: Engine, arm: Arm, ids: WriteIds, round_s: float) -> Round:
    """Run users that do nothing but the call."""
    table = table_of(RUN)
    done = [0]
    write = text((WRITE_KEYED if arm.idempotent else WRITE).format(table=table))
    read = text(READ.format(table=table))

    def bare_write(user: locust.User) -> None:
        with engine.connect() as connection:
            connection.execute(write, {"arm": arm.name, "write_id": ids.next(), "attempt": 1})
            connection.commit()
        done[0] += 1

    def bare_read(user: locust.User) -> None:
        with engine.connect() as connection:
            connection.execute(read, {"arm": arm.name}).first()
        done[0] += 1

    members = {
        "abstract": False,
        "wait_time": locust.constant(0),
        "tasks": [bare_write if kind is Kind.WRITE else bare_read],
    }
    return run_users(type("BareUser", (locust.User,), members), round_s, lambda: done[0])


class Ours:
    """Runs our users, recording as a traffic process does."""

    def __init__(self, folder: Path, engine: Engine, arm: Arm, ids: WriteIds) -> None:
        self._engine, self._arm, self._ids = engine, arm, ids
        self._recorder = Recorder(folder, arm.name, time.monotonic_ns())
        self._file = folder / "operations" / f"{arm.name}.ops"

    def run(self, kind: Kind, rate_per_s: float, round_s: float) -> Round:
        """Offer more operations per second than can be done, so that users never wait."""
        table = table_of(RUN)
        arrivals = Arrivals(
            Schedule(rate_per_s, f"seed {time.monotonic_ns()}", time.monotonic_ns()),
            queue_max=10**9,
            reject=lambda _intended, _now: None,
        )

        def client() -> Client:
            if kind is Kind.WRITE:
                return WriteClient(
                    self._arm, self._engine, self._recorder, table=table, ids=self._ids
                )
            return ReadClient(self._arm, self._engine, self._recorder, table=table)

        def flush() -> None:
            while True:
                gevent.sleep(FLUSH_EVERY_S)
                self._recorder.tick(time.monotonic_ns())

        flusher = gevent.spawn(flush)
        users = users_of("OurUser", USERS, arrivals, self._recorder, client)
        result = run_users(users, round_s, self._count)
        flusher.kill()
        return result

    def _count(self) -> int:
        self._recorder.operations.flush()
        return self._file.stat().st_size // 48


def compare(kind: Kind, engine: Engine, ours: Ours, options: argparse.Namespace) -> float:
    """Print the rounds of one kind of operation and return the median cost."""
    arm = find(options.arm)
    ids = WriteIds(9, int(kind))
    rate_per_s = 1.3 * bare(kind, engine, arm, ids, options.round_s).per_s
    costs: list[float] = []
    rounds: list[tuple[Round, Round]] = []
    for number in range(options.rounds):
        # Each side goes first every other time.
        if number % 2:
            recorded = ours.run(kind, rate_per_s, options.round_s)
            plain = bare(kind, engine, arm, ids, options.round_s)
        else:
            plain = bare(kind, engine, arm, ids, options.round_s)
            recorded = ours.run(kind, rate_per_s, options.round_s)
        costs.append(1 - recorded.per_s / plain.per_s)
        rounds.append((plain, recorded))
        print(
            f"{kind.name:5} round {number + 1}: bare {plain.per_s:7.0f}/s {plain.cpu_us:5.0f} us"
            f"   ours {recorded.per_s:7.0f}/s {recorded.cpu_us:5.0f} us   cost {costs[-1]:6.1%}"
        )
    cpu = statistics.median(r.cpu_us for _, r in rounds) / statistics.median(
        p.cpu_us for p, _ in rounds
    )
    cost = statistics.median(costs)
    print(
        f"{kind.name:5} median cost {cost:.1%} [{min(costs):.1%} .. {max(costs):.1%}],"
        f" CPU per operation {cpu - 1:+.1%}"
    )
    return cost


def main() -> int:
    """Compare writes and reads; exit with 1 when a median misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--round-s", type=float, default=3.0)
    parser.add_argument("--arm", default="default-pool")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = PlainPostgres(Path(folder))
        server.start()
        try:
            ledger.prepare(server.access(), RUN)
            arm = find(options.arm)
            engine = build_engine(arm, server.access(), "cluster")
            ours = Ours(Path(folder), engine, arm, WriteIds(8))
            costs = [compare(kind, engine, ours, options) for kind in (Kind.WRITE, Kind.READ)]
        finally:
            server.stop()
    met = max(costs) <= GOAL
    print(f"goal: at most {GOAL:.0%} - {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
