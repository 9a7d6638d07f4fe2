"""A run's traffic from two workers, each a process of its own, with an address of its own.

Where the kernel lets us, one also has a host name and a clock of its own (UTS and time namespaces).
All are on one machine: a network namespace of its own would reach neither run nor database.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from fix_postgres import PlainPostgres

from chaos.checks.judge import judge
from chaos.checks.recording import Recording
from chaos.clock import NS, Anchor, MonotonicClock
from chaos.errors import ExitCode, HostError
from chaos.model.history import History, load_history, load_operations
from chaos.model.operation import Kind
from chaos.model.record import FORMAT, Event, LineWriter
from chaos.model.verdict import Verdict
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.distributed.force import STOP_S_MIN, TOKEN_VARIABLE, Force, ForceConfig

pytestmark = pytest.mark.seconds(30)
ARM = "default-pool"
RUN = "two-workers"
TOKEN = "only-for-this-test"
LISTEN = "127.9.0.1"
SENDERS = ("127.9.0.2", "127.9.0.3")
"""From where the workers join: ZeroMQ takes `SOURCE:PORT;HOST:PORT` for where to connect."""
ELSEWHERE = "load-elsewhere"
AHEAD_S = 1000
FROZEN_S = 1.5
OUTAGES = 2


def elsewhere() -> list[str]:
    """What runs a program as on another machine; nothing where the kernel refuses.

    Its monotonic clock is ahead, and its host has another name.
    """
    named = f"import os, socket, sys; socket.sethostname({ELSEWHERE!r}); "
    named += "os.execv(sys.argv[1], sys.argv[1:])"
    for user in ([], ["--map-root-user"]):
        command = ["unshare", *user, "--time", "--uts", "--fork", "--kill-child"]
        command += [f"--monotonic={AHEAD_S}", sys.executable, "-c", named, sys.executable]
        tried = subprocess.run([*command, "-c", ""], capture_output=True, check=False)
        if tried.returncode == 0:
            return command
    return []


@dataclass
class Day:
    """What happened, beside what was recorded."""

    folder: Path
    told: list[str] = field(default_factory=list)
    outages: list[tuple[int, int]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    senders: set[str] = field(default_factory=set)
    """Addresses from which somebody was connected to the run."""
    clock_is_ahead: bool = False


def started(python: list[str], sender: str, port: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [*python, "-m", "chaos", "worker", "--join", f"{sender}:0;{LISTEN}:{port}"],
            env={**os.environ, TOKEN_VARIABLE: TOKEN, "TMPDIR": str(log.parent)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def kill_worker(process: subprocess.Popen[bytes]) -> None:
    """Kill the process that talks to the run, as a machine does that loses power."""
    (worker,) = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "loadgen.distributed.worker_process" in child.cmdline()
    ]
    worker.send_signal(signal.SIGKILL)


def connected_to(port: int) -> set[str]:
    """Return the addresses that are connected to one, as IPv4 writes them."""
    return {
        one.laddr.ip.removeprefix("::ffff:")
        for one in psutil.net_connections(kind="tcp")
        if one.laddr and one.raddr and one.raddr.port == port and one.raddr.ip.endswith(LISTEN)
    }


def operations(folder: Path) -> int:
    return len(load_operations(folder / "operations", ARM).operations)


def await_more(folder: Path, count: int) -> None:
    """Wait until so many more operations are recorded."""
    before = operations(folder)
    wait_until(lambda: operations(folder) > before + count, "operations", timeout_s=60)


@pytest.fixture(scope="module")
def day(postgres: PlainPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """Two workers write and read; the server hangs now and then; then a worker is killed."""
    folder = tmp_path_factory.mktemp("workers") / RUN
    (folder / "operations").mkdir(parents=True)
    made = Day(folder)
    anchor = Anchor.take()
    journal = LineWriter(folder / "journal.jsonl")

    def note(type_: str, **data: object) -> None:
        journal.append(Event(at_ns=time.monotonic_ns(), type=type_, data=data))

    ledger.prepare(postgres.access(), RUN)
    with socket.create_server((LISTEN, 0)) as free:
        port = free.getsockname()[1]
    away = elsewhere()
    made.clock_is_ahead = bool(away)
    pythons = (away or [sys.executable], [sys.executable])
    joined = [
        started(python, sender, port, folder / f"{sender}.out")
        for python, sender in zip(pythons, SENDERS, strict=True)
    ]
    config = ForceConfig(workers=2, listen=(LISTEN, port), token=TOKEN)
    try:
        with Force(config, (ARM,), folder, made.told.append, MonotonicClock()) as force:
            arms = (ArmTraffic(arm=ARM, writes_per_s=60, reads_per_s=60),)
            traffic = force.traffic(TrafficConfig(run=RUN, arms=arms), postgres.access())
            traffic.start(60)
            made.senders = connected_to(port)
            note("run", state="started", format=FORMAT)
            note("phase", phase="recording", state="started")
            await_more(folder, 200)
            for _ in range(OUTAGES):
                with postgres.frozen():
                    since_ns = time.monotonic_ns()
                    MonotonicClock().sleep(FROZEN_S)
                    made.outages.append((since_ns, time.monotonic_ns()))
                # What fell due meanwhile, and more than a stable stretch of it.
                await_more(folder, 600)
            told = len(made.told)
            kill_worker(joined[1])

            def lost() -> bool:
                traffic.check()
                return any("was lost" in line for line in made.told[told:])

            wait_until(lost, "the worker to be missed", timeout_s=60)
            note("phase", phase="recording", state="ended", error=None)
            traffic.stop(STOP_S_MIN)
            note("run", state="ended", status="completed")
        made.statuses = [process.wait(60) for process in joined]
    finally:
        for process in joined:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    environment = {
        "run": RUN,
        "experiment": {"workload": {"arms": [{"arm": ARM}]}},
        "anchor": {
            "monotonic_ns": anchor.monotonic_ns,
            "wall_ns": anchor.wall_ns,
            "uncertainty_ns": anchor.uncertainty_ns,
        },
        "workers": 2,
    }
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    yield made
    ledger.drop(postgres.access(), RUN)


@pytest.fixture(scope="module")
def history(day: Day) -> History:
    return load_history(day.folder)


def test_each_worker_came_from_an_address_and_by_a_name_of_its_own(
    day: Day, history: History
) -> None:
    assert day.senders == set(SENDERS)
    hosts = {worker["host"] for worker in judge(history, ()).as_json()["workers"]}
    here = socket.gethostname()
    assert hosts == ({here, ELSEWHERE} if day.clock_is_ahead else {here})


def test_every_worker_sent_its_share_with_ids_of_its_own(history: History) -> None:
    log = history.arms[ARM]
    writes = log.operations["write_id"][log.operations["kind"] == Kind.WRITE]
    assert {int(i) // 10**9 for i in writes} == {1001, 1002}
    assert len(set(writes.tolist())) == len(writes)
    assert int(log.shares["count"].sum()) == len(log.operations)


def test_a_worker_says_what_its_own_files_hold_and_all_of_it_was_collected(
    history: History,
) -> None:
    (said,) = (o for o in history.of_kind("worker") if o.value == "delivered")
    shares = history.arms[ARM].shares
    mine = shares[shares["worker"] == int(said.subject.removeprefix("worker "))]
    assert said.detail["operations"] == int(mine["count"].sum()) > 0


def test_a_clock_of_another_machine_is_known_within_its_stated_error(
    day: Day, history: History
) -> None:
    told = {w["worker"]: w for w in judge(history, ()).as_json()["workers"]}
    truths = {0.0, float(AHEAD_S)} if day.clock_is_ahead else {0.0}
    for worker in told.values():
        assert min(abs(worker["clock_offset_s"] - t) for t in truths) <= worker["clock_error_s"]
        assert 0 < worker["clock_error_s"] < 1
    assert {round(w["clock_offset_s"]) for w in told.values()} == truths


def test_an_outage_lies_within_the_bounds_of_what_both_felt_together(
    day: Day, history: History
) -> None:
    for endpoint, kind in (("cluster", Kind.WRITE), ("reader", Kind.READ)):
        windows = Recording(history).windows(ARM, endpoint, kind)
        spare_s = []
        for since_ns, until_ns in day.outages:
            (window,) = [
                w for w in windows if w.from_ns < until_ns and (w.to_ns or w.until_ns) > since_ns
            ]
            truth_s = (until_ns - since_ns) / NS
            assert window.from_ns <= since_ns
            assert window.to_ns is not None
            assert window.to_ns >= until_ns
            assert truth_s <= window.measured_s
            spare_s.append(truth_s - window.lower_s)
        # A machine that stands still right after one makes that one longer.
        assert max(spare_s) >= 0


def test_a_lost_worker_is_named_and_keeps_the_run_from_passing(day: Day, history: History) -> None:
    judgement = judge(history, ())
    (finding,) = [f for f in judgement.findings if f.check == "assumption/workers"]
    lost = [w for w in judgement.as_json()["workers"] if w["lost"]]
    assert len(lost) == 1
    assert lost[0]["operations"] > 0
    if day.clock_is_ahead:
        assert round(lost[0]["clock_offset_s"]) == 0
    assert finding.verdict is Verdict.UNKNOWN
    assert f"worker {lost[0]['worker']} ({socket.gethostname()}) was lost " in finding.why
    assert any("was lost" in line for line in day.told)
    left, killed = day.statuses
    assert left == 0
    assert killed != 0


def test_every_acknowledged_write_that_was_shipped_is_accounted_for(
    day: Day, postgres: PlainPostgres
) -> None:
    counted = ledger.reconcile(postgres.access(), day.folder, RUN).arms[ARM]
    assert counted.acknowledged > 100
    assert counted.lost == 0
    assert counted.duplicated == 0


def test_who_does_not_know_the_token_is_not_taken_in(tmp_path: Path) -> None:
    """The run waits on; the stranger's message counts for nothing, and it leaves nothing behind."""
    with socket.create_server((LISTEN, 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "operations").mkdir()
    (tmp_path / "scratch").mkdir()
    stranger = subprocess.Popen(
        [sys.executable, "-m", "chaos", "worker", "--join", f"{LISTEN}:{port}"],
        env={**os.environ, TOKEN_VARIABLE: TOKEN[::-1], "TMPDIR": str(tmp_path / "scratch")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = tmp_path / "logs" / "workers.log"

    class UntilRefused(MonotonicClock):
        def sleep(self, duration_s: float) -> None:
            super().sleep(duration_s)
            if log.exists() and "not sealed with this run's token" in log.read_text():
                raise HostError("refused, as it should be")

    config = ForceConfig(workers=1, listen=(LISTEN, port), token=TOKEN)
    told: list[str] = []
    try:
        with pytest.raises(HostError, match="as it should be"):
            Force(config, (ARM,), tmp_path, told.append, UntilRefused()).__enter__()
        stranger.terminate()
        assert stranger.wait(60) == ExitCode.INTERRUPTED
    finally:
        if stranger.poll() is None:
            os.killpg(stranger.pid, signal.SIGKILL)
            stranger.wait()
    assert not any("joined" in line for line in told)
    assert list((tmp_path / "scratch").iterdir()) == []
