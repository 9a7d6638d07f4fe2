"""Traffic in its own processes against one real PostgreSQL, which is disturbed in several ways."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from fix_postgres import INSTANCE, PlainPostgres

from chaos.clock import NS, MonotonicClock
from chaos.errors import HostError
from chaos.model.history import OperationLog, Records, load_operations
from chaos.model.operation import Kind, Outcome
from chaos.model.record import Observation, read_observations
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.arms import find
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.traffic import STOP_S_MIN, Traffic

pytestmark = [pytest.mark.spread(3), pytest.mark.seconds(30)]

BOTH = ("default-pool", "resilient")
START_S = 40.0
ENDED_BY_SERVER = {
    "57P01 AdminShutdown",
    # The server's farewell is lost when the client sends its next query at that moment.
    "----- ServerClosedConnection",
    "----- ConnectionReset",
}


class Rig:
    """One run's traffic in a folder of its own, and ways to look at it while it flows."""

    def __init__(self, postgres: PlainPostgres, folder: Path) -> None:
        self.postgres = postgres
        self.folder = folder
        self.run = folder.name
        self.traffic: Traffic | None = None
        ledger.prepare(postgres.access(), self.run)

    def start(
        self, *arms: str, rate_per_s: float = 30, users: int = 8, queue_max: int = 1000
    ) -> None:
        configured = tuple(
            ArmTraffic(
                arm=arm,
                writes_per_s=rate_per_s,
                reads_per_s=rate_per_s,
                users=users,
                queue_max=queue_max,
            )
            for arm in arms
        )
        config = TrafficConfig(run=self.run, arms=configured, seed=7)
        self.traffic = Traffic(config, self.postgres.access(), self.folder)
        self.traffic.start(START_S)

    def stop(self) -> None:
        assert self.traffic is not None
        self.traffic.stop(STOP_S_MIN)
        self.traffic = None

    def log(self, arm: str) -> OperationLog:
        return load_operations(self.folder / "operations", arm)

    def stream(self, arm: str, kind: Kind) -> Records:
        return next(s.records for s in self.log(arm).streams() if s.kind is kind)

    def writes(self, arm: str) -> Records:
        return self.stream(arm, Kind.WRITE)

    def errors(self, arm: str) -> set[str]:
        log = self.log(arm)
        return {log.names[i] for i in np.unique(log.attempts["error"])}

    def await_writes(self, arm: str, outcome: Outcome, more_than: int = 0) -> None:
        """Wait until more writes than `more_than` of the arm have this outcome."""
        wait_until(
            lambda: np.count_nonzero(self.writes(arm)["outcome"] == outcome) > more_than,
            f"{outcome.name} writes of {arm}",
            timeout_s=60,
        )

    def await_error(self, arm: str, error: str) -> None:
        wait_until(lambda: error in self.errors(arm), f"{error} in {arm}", timeout_s=60)

    def await_newer_success(self, arm: str) -> None:
        """Wait until a write that was intended after now has succeeded."""
        now_ns = time.monotonic_ns()

        def succeeded() -> bool:
            writes = self.writes(arm)
            newer = writes[writes["intended_ns"] > now_ns]
            return bool(np.any(newer["outcome"] == Outcome.OK))

        wait_until(succeeded, f"a new write of {arm} to succeed", timeout_s=60)

    def terminate_sessions(self) -> int:
        rows = self.postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'gameday-%'"
        )
        return len(rows)


@pytest.fixture
def rig(postgres: PlainPostgres, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(postgres, tmp_path)
    yield made
    if made.traffic is not None:
        made.traffic.stop(1.0)
    ledger.drop(postgres.access(), made.run)


def pause(duration_s: float) -> None:
    """Let a disturbance last."""
    MonotonicClock().sleep(duration_s)


def alive_workers(folder: Path) -> list[psutil.Process]:
    """Return traffic processes that write below `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(
                str(folder) in f.path for f in process.open_files()
            ) and "locust_process" in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def lags_of(rig: Rig, arm: str) -> list[Observation]:
    observed = read_observations(rig.folder / "observations.jsonl")
    return [o for o in observed if (o.kind, o.subject) == ("lag", arm)]


def require_lag_every_second(rig: Rig, arm: str) -> None:
    lags = lags_of(rig, arm)
    assert len(lags) >= 3
    assert all(float(o.value) >= 0 for o in lags)
    for earlier, later in itertools.pairwise(lags):
        assert later.since_ns == earlier.at_ns


def test_both_arms_record_everything_on_schedule_and_stop_clean(rig: Rig) -> None:
    """The undisturbed run: every write acknowledged is in the table once, and nothing is missed."""
    rig.start(*BOTH)
    for arm in BOTH:
        rig.await_writes(arm, Outcome.OK, more_than=70)
    rig.traffic.check()  # type: ignore[union-attr]
    rig.stop()
    for arm in BOTH:
        require_lag_every_second(rig, arm)
    accounts = ledger.reconcile(rig.postgres.access(), rig.folder, rig.run)
    assert accounts.complete, accounts.why
    assert accounts.read_from == INSTANCE
    every_id: list[int] = []
    for arm in BOTH:
        log = rig.log(arm)
        assert {s.endpoint: s.kind for s in log.streams()} == {
            "cluster": Kind.WRITE,
            "reader": Kind.READ,
        }
        for stream in log.streams():
            records = stream.records
            assert np.all(records["outcome"] == Outcome.OK)
            # Only what stood still for so long may have met a limit of resilient's.
            prompt = records[records["ended_ns"] - records["started_ns"] < NS]
            assert np.all(prompt["attempts"] == 1)
            assert {log.names[i] for i in np.unique(records["instance"])} == {INSTANCE}
            assert np.all(records["backend_pid"] > 0)
            assert np.all(records["intended_ns"] <= records["started_ns"])
            gaps_s = np.diff(records["intended_ns"]) / NS
            assert gaps_s.max() <= 1.5 / 30 + 1e-6
        writes = rig.writes(arm)
        every_id += writes["write_id"].tolist()
        account = accounts.arms[arm]
        assert account.applied_once == account.acknowledged == len(writes)
        assert account.lost == account.duplicated == account.unexpected == 0
    assert len(set(every_id)) == len(every_id)
    assert alive_workers(rig.folder) == []


def test_a_frozen_server_meets_a_deadline_and_latency_counts_from_the_intended_start(
    rig: Rig,
) -> None:
    """While nothing answers, arrivals go on: each shows how long its client would have waited."""
    rig.start("resilient", users=4)
    with rig.postgres.frozen():
        frozen_ns = time.monotonic_ns()
        deadline_s = find("resilient").deadline_s
        assert deadline_s is not None
        pause(deadline_s + 1)
        thawed_ns = time.monotonic_ns()
    rig.await_newer_success("resilient")
    rig.stop()
    assert "----- DeadlineExceeded" in rig.errors("resilient")
    for kind in (Kind.WRITE, Kind.READ):
        records = rig.stream("resilient", kind)
        during = records[
            (records["intended_ns"] > frozen_ns) & (records["intended_ns"] < thawed_ns)
        ]
        expected = 30 * (thawed_ns - frozen_ns) / NS
        assert len(during) == pytest.approx(expected, rel=0.1, abs=3)
        succeeded = during[during["outcome"] == Outcome.OK]
        waited = succeeded["ended_ns"] - succeeded["intended_ns"]
        assert np.all(waited >= thawed_ns - succeeded["intended_ns"])
        # Most of them were started late, which a closed loop would have left out of the latency.
        assert np.median(succeeded["ended_ns"] - succeeded["started_ns"]) < np.median(waited)
    account = ledger.reconcile(rig.postgres.access(), rig.folder, rig.run).arms["resilient"]
    assert account.duplicated == account.lost == 0


def test_both_arms_retry_terminated_sessions_and_read_only_poisons_default_pool(rig: Rig) -> None:
    """The demoted writer: pooled connections stay read-only after the server no longer is."""
    rig.start(*BOTH, users=1)
    assert rig.terminate_sessions() > 0
    for arm in BOTH:
        rig.await_newer_success(arm)
    for arm in BOTH:
        assert rig.errors(arm) & ENDED_BY_SERVER
        writes = rig.writes(arm)
        assert np.any((writes["outcome"] == Outcome.OK) & (writes["attempts"] > 1))

    with rig.postgres.new_sessions_read_only():
        rig.terminate_sessions()
        rig.await_error("default-pool", "25006 ReadOnlySqlTransaction")
    rig.await_newer_success("resilient")
    poisoned_from_ns = time.monotonic_ns()
    wait_until(
        lambda: np.count_nonzero(rig.writes("default-pool")["intended_ns"] > poisoned_from_ns) > 20,
        "more writes of default-pool",
        timeout_s=60,
    )
    stopping_ns = time.monotonic_ns()
    rig.stop()
    assert "25006 ReadOnlySqlTransaction" in rig.errors("resilient")
    late = rig.writes("default-pool")
    # What the end of the traffic cut off shows nothing.
    late = late[(late["intended_ns"] > poisoned_from_ns) & (late["ended_ns"] < stopping_ns)]
    assert len(late) > 20
    assert np.all(late["outcome"] == Outcome.FAILED)
    assert np.all(late["attempts"] == 1)
    names = rig.log("default-pool").names
    assert {names[i] for i in np.unique(late["error"])} == {"25006 ReadOnlySqlTransaction"}
    accounts = ledger.reconcile(rig.postgres.access(), rig.folder, rig.run).arms
    for arm in BOTH:
        account = accounts[arm]
        assert account.lost == account.failed_applied == account.unexpected == 0
    assert accounts["resilient"].duplicated == 0


def test_a_full_queue_is_recorded_as_failed_and_never_sent(rig: Rig) -> None:
    rig.start("default-pool", rate_per_s=100, users=2, queue_max=20)
    with rig.postgres.frozen():
        wait_until(
            lambda: "----- QueueFull" in rig.log("default-pool").names, "QueueFull", timeout_s=60
        )
    rig.await_newer_success("default-pool")
    rig.stop()
    log, writes = rig.log("default-pool"), rig.writes("default-pool")
    refused = writes[writes["error"] == log.names.index("----- QueueFull")]
    assert np.all(refused["outcome"] == Outcome.FAILED)
    assert np.all(refused["attempts"] == 0)
    assert np.all(refused["write_id"] == -1)
    # At once, but for how late the generator was itself.
    late_ns = max(float(o.value) for o in lags_of(rig, "default-pool")) * 1e6
    assert np.all(refused["ended_ns"] - refused["intended_ns"] < NS + late_ns)


def test_what_is_in_flight_when_told_to_stop_is_cut_off_in_time_and_recorded(rig: Rig) -> None:
    """Nothing hides at the end: a write that hangs is unknown or failed, one in the queue failed."""
    rig.start("default-pool", users=4)
    with rig.postgres.frozen():
        frozen_ns = time.monotonic_ns()
        pause(1)
        rig.stop()
        took_s = (time.monotonic_ns() - frozen_ns) / NS - 1
    assert took_s < STOP_S_MIN
    log, writes = rig.log("default-pool"), rig.writes("default-pool")
    stopped = writes[writes["error"] == log.names.index("----- Stopped")]
    assert len(stopped) >= 20
    assert np.count_nonzero(stopped["attempts"]) == 4
    assert np.all(stopped["outcome"] != Outcome.OK)
    gaps_s = np.diff(writes["intended_ns"]) / NS
    assert gaps_s.max() <= 1.5 / 30 + 1e-6


def test_a_worker_ends_and_keeps_its_records_when_the_runner_is_killed(rig: Rig) -> None:
    """kill -9 of the runner closes the worker's standard input: it drains and goes."""
    script = (
        "import json, sys, time\n"
        "from pathlib import Path\n"
        "from chaos.model.access import DatabaseAccess\n"
        "from loadgen.config import ArmTraffic, TrafficConfig\n"
        "from loadgen.traffic import Traffic\n"
        "access = DatabaseAccess.from_json(json.loads(sys.stdin.readline()))\n"
        "arm = ArmTraffic(arm='resilient', writes_per_s=30, reads_per_s=30)\n"
        "config = TrafficConfig(run=sys.argv[1], arms=(arm,))\n"
        f"Traffic(config, access, Path(sys.argv[2])).start({START_S})\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, rig.run, str(rig.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as runner:
        assert runner.stdin is not None
        assert runner.stdout is not None
        runner.stdin.write(json.dumps(rig.postgres.access().as_json()) + "\n")
        runner.stdin.flush()
        assert runner.stdout.readline() == "ready\n"
        (worker,) = alive_workers(rig.folder)
        os.kill(runner.pid, signal.SIGKILL)
    psutil.wait_procs([worker], timeout=60)
    assert not worker.is_running()
    account = ledger.reconcile(rig.postgres.access(), rig.folder, rig.run).arms["resilient"]
    assert account.acknowledged == account.applied_once > 0
    assert account.unexpected == 0


def test_a_dead_worker_is_noticed_and_named(rig: Rig) -> None:
    rig.start(*BOTH)
    for worker in alive_workers(rig.folder):
        if any("resilient" in f.path for f in worker.open_files()):
            worker.kill()  # not waited for: the traffic is to see its exit status

    def noticed() -> bool:
        try:
            rig.traffic.check()  # type: ignore[union-attr]
        except HostError as error:
            return "resilient" in str(error)
        return False

    wait_until(noticed, "the dead worker to be noticed", timeout_s=60)
    with pytest.raises(HostError, match=r"traffic of arm resilient.*exit status -9"):
        rig.stop()
    rig.traffic = None


def test_a_full_disk_ends_the_arm_with_a_clear_error_and_keeps_what_was_written(rig: Rig) -> None:
    """/dev/full stands in for the file of failed attempts, so that the first failure fills the disk."""
    (rig.folder / "operations").mkdir()
    (rig.folder / "operations" / "resilient.attempts").symlink_to("/dev/full")
    rig.start("resilient")
    before = len(rig.log("resilient").operations)
    rig.terminate_sessions()

    def full() -> bool:
        try:
            rig.traffic.check()  # type: ignore[union-attr]
        except HostError as error:
            return "resilient ended: disk full" in str(error)
        return False

    wait_until(full, "the full disk to be noticed", timeout_s=60)
    with pytest.raises(HostError, match="disk full"):
        rig.stop()
    rig.traffic = None
    assert len(rig.log("resilient").operations) >= before > 0


def test_start_says_why_an_arm_gets_nowhere_and_leaves_no_process(
    rig: Rig, postgres: PlainPostgres
) -> None:
    access = postgres.access()
    wrong = type(access)(
        **{**access.as_json(), "database": "no_such_database", "name_server": None}
    )
    arm = ArmTraffic(arm="resilient", writes_per_s=2, reads_per_s=2)
    traffic = Traffic(TrafficConfig(run=rig.run, arms=(arm,)), wrong, rig.folder)
    with pytest.raises(
        HostError, match=r"traffic of arm resilient could not start: no write .*no_such_database"
    ):
        traffic.start(25.0)
    assert alive_workers(rig.folder) == []
