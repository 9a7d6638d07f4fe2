"""The probes process against real servers, names and outages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from fix_outage import READER, WRITER, Rig, running_rig

from chaos.checks.evidence import Trace
from chaos.checks.windows import Window, find_windows
from chaos.clock import NS, MonotonicClock
from chaos.errors import HostError
from chaos.model.history import OperationLog, Stream, load_operations
from chaos.model.operation import PROBE_ARM, PROBE_SLOW_S, Kind, Outcome
from chaos.model.record import Observation, read_observations
from chaos.wait import wait_until
from loadgen.probes.config import ProbesConfig
from loadgen.probes.driver import Probes
from loadgen.probes.failures import MISSED, MISSED_WAITING
from loadgen.probes.table import drop, prepare

pytestmark = pytest.mark.seconds(40)

CLOCK = MonotonicClock()
START_S = 30.0
STABLE_S = 0.5
# Nothing below may be reported, and this much above where other tests load the machine; what a quiet
# one reaches, tests/benchmarks/ground_truth.py measures.
ERROR_S_MAX = 1.5
BUSY_SHARE = 0.2
STRETCHES_MAX = 10


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running_rig() as running:
        yield running


class Watch:
    """Probes at work, and what they have recorded so far."""

    def __init__(self, probes: Probes, folder: Path) -> None:
        self.probes = probes
        self.folder = folder

    def recorded(self, endpoint: str, kind: Kind) -> tuple[OperationLog, Stream]:
        """Return a stream and the log that it is part of: loaded together, for the log grows."""
        log = load_operations(self.folder / "operations", PROBE_ARM)
        (found,) = [s for s in log.streams() if (s.endpoint, s.kind) == (endpoint, kind)]
        return log, found

    def stream(self, endpoint: str, kind: Kind) -> Stream:
        return self.recorded(endpoint, kind)[1]

    def errors(self, endpoint: str) -> set[str]:
        log = load_operations(self.folder / "operations", PROBE_ARM)
        return {
            log.names[number]
            for s in log.streams()
            if s.endpoint == endpoint
            for number in s.records["error"]
        }

    def windows(self, endpoint: str, kind: Kind) -> tuple[Window, ...]:
        log, stream = self.recorded(endpoint, kind)
        trace = Trace.of(log, stream, PROBE_SLOW_S)
        until_ns = int(stream.records["ended_ns"].max())
        return find_windows(trace, stable_s=STABLE_S, until_ns=until_ns)

    def window(self, endpoint: str, kind: Kind, since_ns: int, until_ns: int) -> Window | None:
        """Return the first window that overlaps an interval."""
        for window in self.windows(endpoint, kind):
            if window.from_ns < until_ns and (window.to_ns or window.until_ns) > since_ns:
                return window
        return None

    def await_end_of_window(self, endpoint: str, kind: Kind, since_ns: int, until_ns: int) -> None:
        """Wait until the recording shows the end of the window that overlaps an interval."""

        def ended() -> bool:
            window = self.window(endpoint, kind, since_ns, until_ns)
            return window is not None and window.to_ns is not None

        wait_until(ended, f"the window of {endpoint} to end", timeout_s=30)

    def await_turns(self, endpoint: str, kind: Kind, since_ns: int, count: int) -> None:
        """Wait until turns that were due after an instant are recorded."""

        def recorded() -> bool:
            return (
                int((self.stream(endpoint, kind).records["intended_ns"] > since_ns).sum()) >= count
            )

        wait_until(recorded, f"{count} turns of {endpoint}", timeout_s=30, errors=(ValueError,))

    def await_alive(self, after_ns: int) -> None:
        """Wait until the probes said how late they were up to an instant."""
        wait_until(
            lambda: any(o.at_ns > after_ns for o in self.seen("alive", "probes")),
            "the probes to say that they are alive",
            timeout_s=30,
        )

    def bad(self, endpoint: str, kind: Kind, since_ns: int) -> list[str]:
        """Tell of turns since an instant that failed, were slow, or were missed for no reason.

        A turn may be missed if the probes' own process was late by more than a round of turns.
        """
        log = load_operations(self.folder / "operations", PROBE_ARM)
        trouble = []
        for turn in self.stream(endpoint, kind).records:
            taken_s = (turn["ended_ns"] - turn["intended_ns"]) / NS
            error = log.names[turn["error"]]
            if turn["intended_ns"] <= since_ns:
                continue
            if turn["outcome"] == Outcome.OK and taken_s <= PROBE_SLOW_S:
                continue
            if (
                error in {MISSED, MISSED_WAITING}
                and self.lag_s(turn["intended_ns"]) > ProbesConfig(run="").period_s
            ):
                continue
            trouble.append(f"{endpoint}: {error or 'late'} after {taken_s:.3f} s")
        return trouble

    def lag_s(self, at_ns: int) -> float:
        """Return how late the probes' process was around an instant."""
        return max(
            (
                float(o.detail["lag_s_max"])
                for o in self.seen("alive", "probes")
                if o.since_ns is not None and o.since_ns - NS <= at_ns <= o.at_ns
            ),
            default=0.0,
        )

    def seen(self, kind: str, subject: str) -> list[Observation]:
        observations = read_observations(self.folder / "observations.jsonl")
        return [o for o in observations if (o.kind, o.subject) == (kind, subject)]

    def await_seen(self, kind: str, subject: str, value: str, timeout_s: float = 15) -> Observation:
        def latest() -> Observation | None:
            seen = self.seen(kind, subject)
            return seen[-1] if seen and seen[-1].value == value else None

        found = wait_until(latest, f"{kind} of {subject} to be {value}", timeout_s=timeout_s)
        assert found is not None
        return found


@contextmanager
def watching(rig: Rig, folder: Path) -> Iterator[Watch]:
    run = f"run-{os.getpid()}"
    prepare(rig.access, run)
    probes = Probes(ProbesConfig(run=run), rig.access, folder)
    probes.start(START_S)
    try:
        yield Watch(probes, folder)
    finally:
        probes.stop(10)
    drop(rig.access, run)


@pytest.fixture
def watch(rig: Rig, tmp_path: Path) -> Iterator[Watch]:
    with watching(rig, tmp_path) as watch:
        yield watch


def test_a_healthy_service_has_no_bad_probe_and_every_step_of_the_grid_a_record(
    watch: Watch,
) -> None:
    endpoints = (("cluster", Kind.WRITE, WRITER), ("reader", Kind.READ, READER))
    disturbed = 0
    while True:
        since_ns, waited_s = CLOCK.now_ns(), processors_waited_for_s()
        for endpoint, kind, _ in endpoints:
            watch.await_turns(endpoint, kind, since_ns, 150)
        watch.await_alive(CLOCK.now_ns())
        bad = [
            turn for endpoint, kind, _ in endpoints for turn in watch.bad(endpoint, kind, since_ns)
        ]
        if not bad:
            break
        # Only a machine that certainly had no time for the servers, or for the probes, is an excuse.
        busy = (processors_waited_for_s() - waited_s) / ((CLOCK.now_ns() - since_ns) / NS)
        assert busy > BUSY_SHARE, bad
        disturbed += 1
        assert disturbed < STRETCHES_MAX, bad
    watch.probes.check()
    watch.probes.stop(10)
    for endpoint, kind, answers in endpoints:
        records = watch.stream(endpoint, kind).records
        steps = records["intended_ns"][1:] - records["intended_ns"][:-1]
        assert set(steps) == {NS // 100}
        names = load_operations(watch.folder / "operations", PROBE_ARM).names
        answered_by = records["instance"][records["outcome"] == Outcome.OK]
        assert {names[number] for number in answered_by} == {answers}
    for instance, role in ((WRITER, "writer"), (READER, "reader")):
        roles = [o.value for o in watch.seen("role", instance)]
        assert roles == [role] or (disturbed and set(roles) <= {role, "unreachable"})
    assert [o.value for o in watch.seen("dns", "cluster")] == [WRITER]
    assert [o.value for o in watch.seen("dns", "reader")] == [READER]
    alive = watch.seen("alive", "probes")
    assert alive
    assert all("lag_s_max" in o.detail for o in alive)


def processors_waited_for_s() -> float:
    """Return for how long some process has waited for a processor, in all since the boot."""
    try:
        some, *_ = Path("/proc/pressure/cpu").read_text(encoding="ascii").splitlines()
    except OSError:
        # Not told here: then every machine counts as a busy one.
        return CLOCK.now_ns() / NS
    return int(some.rpartition("=")[2]) / 1e6


def by_gates(begin: str, end: str) -> Callable[[Rig], tuple[int, int]]:
    def outage(rig: Rig) -> tuple[int, int]:
        since_ns = max(rig.order_gates(begin).values())
        CLOCK.sleep(0.5)
        return since_ns, min(rig.order_gates(end).values())

    return outage


def frozen(rig: Rig) -> tuple[int, int]:
    since_ns = rig.freeze()
    CLOCK.sleep(0.5)
    return since_ns, rig.thaw()


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(frozen, id="freeze"),
        pytest.param(by_gates("refuse", "reopen"), id="refuse"),
        pytest.param(by_gates("hold", "release"), id="hold"),
        pytest.param(by_gates("hold", "forget"), id="forget"),
    ],
)
def test_an_outage_is_reported_no_shorter_than_it_was(
    rig: Rig, watch: Watch, outage: Callable[[Rig], tuple[int, int]]
) -> None:
    streams = (("cluster", Kind.WRITE), ("reader", Kind.READ))
    for endpoint, kind in streams:
        watch.await_turns(endpoint, kind, 0, 30)
    since_ns, until_ns = outage(rig)
    for endpoint, kind in streams:
        watch.await_end_of_window(endpoint, kind, since_ns, until_ns)
    for instance, role in ((WRITER, "writer"), (READER, "reader")):
        watch.await_seen("role", instance, role)
    watch.probes.stop(10)
    for endpoint, kind in streams:
        window = watch.window(endpoint, kind, since_ns, until_ns)
        assert window is not None
        assert window.preceded
        assert window.to_ns is not None
        assert window.from_ns <= since_ns
        assert window.to_ns >= until_ns
        assert window.measured_s - (until_ns - since_ns) / NS < ERROR_S_MAX
    for instance in (WRITER, READER):
        roles = [o.value for o in watch.seen("role", instance)]
        assert roles[1] == "unreachable"
        assert roles[-1] == roles[0]


def test_no_session_hangs_up_on_a_frozen_server(rig: Rig, watch: Watch) -> None:
    watch.await_turns("cluster", Kind.WRITE, 0, 30)
    since_ns, until_ns = frozen(rig)
    watch.await_end_of_window("cluster", Kind.WRITE, since_ns, until_ns)
    watch.probes.stop(10)
    records = watch.stream("cluster", Kind.WRITE).records
    served = records[records["outcome"] == Outcome.OK]
    before = {int(pid) for pid in served["backend_pid"][served["ended_ns"] < since_ns]}
    during = served[(served["intended_ns"] < until_ns) & (served["ended_ns"] > until_ns)]
    # Everybody waited, and was answered on the connection on which he had asked.
    assert len(before) == ProbesConfig(run="").slots
    assert before <= {int(pid) for pid in during["backend_pid"]}
    assert "----- Deadline" not in watch.errors("cluster")


def test_clients_follow_a_promotion(tmp_path: Path) -> None:
    """The writer goes, its name moves to the reader too early, and then that is promoted."""
    with running_rig() as rig, watching(rig, tmp_path) as watch:
        follow_a_promotion(rig, watch)


def follow_a_promotion(rig: Rig, watch: Watch) -> None:
    watch.await_seen("role", WRITER, "writer")
    rig.nodes[WRITER].shut_down(grace_s=10)
    gone = watch.await_seen("role", WRITER, "unreachable")
    assert gone.since_ns is not None
    assert gone.since_ns < gone.at_ns
    rig.lead("cluster", READER)
    before_ns = CLOCK.now_ns()
    flip = watch.await_seen("dns", "cluster", READER)
    assert before_ns < flip.at_ns
    wait_until(
        lambda: "25006 ReadOnlySqlTransaction" in watch.errors("cluster"),
        "a write to meet the reader",
        timeout_s=60,
    )
    before_ns = CLOCK.now_ns()
    rig.nodes[READER].promote()
    promoted = watch.await_seen("role", READER, "writer")
    assert promoted.since_ns is not None
    assert promoted.at_ns > before_ns
    assert promoted.at_ns - promoted.since_ns < NS

    def writes() -> bool:
        last = watch.stream("cluster", Kind.WRITE).records[-1]
        names = load_operations(watch.folder / "operations", PROBE_ARM).names
        return last["outcome"] == Outcome.OK and names[last["instance"]] == READER

    wait_until(writes, "writes on the new writer", timeout_s=60)
    assert watch.seen("role", WRITER)[-1].value == "unreachable"


@pytest.mark.parametrize(
    ("endpoint", "change", "told"),
    [
        ("cluster", {"cluster": "nowhere.outage.test"}, "NXDOMAIN"),
        ("reader", {"reader": "refusing.outage.test"}, "ConnectionRefused"),
    ],
)
def test_an_endpoint_that_does_not_answer_is_named_with_its_reason(
    rig: Rig, tmp_path: Path, endpoint: str, change: dict[str, str], told: str
) -> None:
    rig.zone["refusing.outage.test"] = replace(
        next(iter(v for v in rig.zone.values() if hasattr(v, "address"))), address="127.77.0.9"
    )
    access = replace(rig.access, endpoints={**rig.access.endpoints, **change})
    probes = Probes(ProbesConfig(run="none", open_timeout_s=0.3), access, tmp_path)
    if endpoint == "reader":
        prepare(access, "none")
    with pytest.raises(HostError, match=f"{endpoint} endpoint {change[endpoint]}.*{told}"):
        probes.start(START_S)
    probes.stop(1)


def test_probes_end_when_the_process_that_started_them_is_killed(rig: Rig, tmp_path: Path) -> None:
    run = f"orphan-{os.getpid()}"
    prepare(rig.access, run)
    script = f"""
        import json, sys
        from pathlib import Path
        from chaos.model.access import DatabaseAccess
        from loadgen.probes.config import ProbesConfig
        from loadgen.probes.driver import Probes
        access = DatabaseAccess.from_json(json.loads(sys.stdin.readline()))
        probes = Probes(ProbesConfig(run={run!r}), access, Path({str(tmp_path)!r}))
        probes.start({START_S})
        print(probes.pid, flush=True)
        sys.stdin.readline()
        """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    access: dict[str, Any] = rig.access.as_json()
    parent.stdin.write(json.dumps(access) + "\n")
    parent.stdin.flush()
    pid = int(parent.stdout.readline())
    records = tmp_path / "operations" / f"{PROBE_ARM}.ops"
    wait_until(lambda: records.stat().st_size, "the first records", timeout_s=60)
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdin.close()
    parent.stdout.close()
    wait_until(lambda: not psutil.pid_exists(pid), f"probes {pid} to end", timeout_s=60)
    log = load_operations(tmp_path / "operations", PROBE_ARM)
    assert (log.operations["outcome"] == Outcome.OK).any()
    drop(rig.access, run)
