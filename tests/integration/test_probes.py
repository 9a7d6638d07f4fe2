"""The probes process against real servers, names and outages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from fix_outage import READER, WRITER, Rig, running_rig
from fix_probes import HEALTHY, PATIENCE_S, Watch, watching

from chaos.clock import NS, MonotonicClock
from chaos.errors import HostError
from chaos.model.history import Records, load_operations
from chaos.model.operation import PROBE_ARM, Kind, Outcome
from chaos.wait import wait_until
from loadgen.probes.config import ProbesConfig
from loadgen.probes.driver import Probes
from loadgen.probes.table import drop, prepare

pytestmark = pytest.mark.seconds(40)

CLOCK = MonotonicClock()
# Nothing below may be reported, and this much above where other tests load the machine; what a quiet
# one reaches, tests/benchmarks/ground_truth.py measures.
ERROR_S_MAX = 1.5
BUSY_SHARE = 0.2
STRETCHES_MAX = 10
OUTAGES_MAX = 5
STREAMS = (("cluster", Kind.WRITE), ("reader", Kind.READ))
ROLES = ((WRITER, "writer"), (READER, "reader"))


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running_rig() as running:
        yield running


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
        ] + watch.strange(since_ns)
        if not bad:
            break
        # Only a machine that certainly had no time for the servers, or for the probes, is an excuse.
        busy = (processors_waited_for_s() - waited_s) / ((CLOCK.now_ns() - since_ns) / NS)
        assert busy > BUSY_SHARE, bad
        disturbed += 1
        assert disturbed < STRETCHES_MAX, bad
    watch.probes.check()
    watch.probes.stop(PATIENCE_S)
    for endpoint, kind, answers in endpoints:
        records = watch.stream(endpoint, kind).records
        steps = records["intended_ns"][1:] - records["intended_ns"][:-1]
        assert set(steps) == {NS // 100}
        names = load_operations(watch.folder / "operations", PROBE_ARM).names
        answered_by = records["instance"][records["outcome"] == Outcome.OK]
        assert {names[number] for number in answered_by} == {answers}
    assert all(watch.seen(what, subject) for what, subject in HEALTHY)
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


Outage = Callable[[Rig, Watch], tuple[int, int]]
"""Disturbs the servers for half a second, until it is seen; returns from when to when."""


def by_gates(begin: str, end: str) -> Outage:
    def outage(rig: Rig, watch: Watch) -> tuple[int, int]:
        since_ns = max(rig.order_gates(begin).values())
        last(watch)
        return since_ns, min(rig.order_gates(end).values())

    return outage


def frozen(rig: Rig, watch: Watch) -> tuple[int, int]:
    since_ns = rig.freeze()
    last(watch)
    return since_ns, rig.thaw()


def last(watch: Watch) -> None:
    CLOCK.sleep(0.5)
    for instance, _ in ROLES:
        watch.await_seen("role", instance, "unreachable")


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
    rig: Rig, watch: Watch, outage: Outage
) -> None:
    for endpoint, kind in STREAMS:
        watch.await_turns(endpoint, kind, 0, 30)
    for _ in range(OUTAGES_MAX):
        since_ns, until_ns = outage(rig, watch)
        errors_s = [
            error_of(watch, endpoint, kind, since_ns, until_ns) for endpoint, kind in STREAMS
        ]
        for instance, role in ROLES:
            watch.await_seen("role", instance, role)
        if max(errors_s) < ERROR_S_MAX:
            break
    else:  # A machine that stands still just then makes one longer, not each of them.
        pytest.fail(f"reported longer than it was by {errors_s} s")


def error_of(watch: Watch, endpoint: str, kind: Kind, since_ns: int, until_ns: int) -> float:
    """Return by how much an outage is reported longer than it was; it may not be shorter."""
    watch.await_end_of_window(endpoint, kind, since_ns, until_ns)
    window = watch.window(endpoint, kind, since_ns, until_ns)
    assert window is not None
    assert window.preceded
    assert window.to_ns is not None
    assert window.from_ns <= since_ns
    assert window.to_ns >= until_ns
    return window.measured_s - (until_ns - since_ns) / NS


def test_no_session_hangs_up_on_a_frozen_server(rig: Rig, watch: Watch) -> None:
    for _ in range(OUTAGES_MAX):
        asked_ns = CLOCK.now_ns()
        watch.await_turns("cluster", Kind.WRITE, asked_ns, 30)
        since_ns, until_ns = frozen(rig, watch)
        watch.await_end_of_window("cluster", Kind.WRITE, since_ns, until_ns)
        if everybody_waited(watch, asked_ns, since_ns, until_ns):
            return
        # Who was not answered in time just before, or long after the others, does otherwise.
    pytest.fail(f"a session hung up in each of {OUTAGES_MAX} freezes")


def everybody_waited(watch: Watch, asked_ns: int, since_ns: int, until_ns: int) -> bool:
    """Tell whether each session was answered after a freeze on the connection on which it had asked."""
    log, stream = watch.recorded("cluster", Kind.WRITE)
    records = stream.records[stream.records["intended_ns"] > asked_ns]
    served = records[records["outcome"] == Outcome.OK]
    before = backends(served[served["ended_ns"] < since_ns])
    during = backends(served[(served["intended_ns"] < until_ns) & (served["ended_ns"] > until_ns)])
    errors = {log.names[number] for number in records["error"]}
    return (
        len(before) == ProbesConfig(run="").slots
        and before <= during
        and "----- Deadline" not in errors
    )


def backends(records: Records) -> set[int]:
    return {int(pid) for pid in records["backend_pid"]}


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

    def writes() -> bool:
        last = watch.stream("cluster", Kind.WRITE).records[-1]
        names = load_operations(watch.folder / "operations", PROBE_ARM).names
        return last["outcome"] == Outcome.OK and names[last["instance"]] == READER

    wait_until(writes, "writes on the new writer", timeout_s=60)
    asked = watch.stream(READER, Kind.READ).records
    asked = asked[(asked["outcome"] == Outcome.OK) & (asked["ended_ns"] < promoted.at_ns)]
    assert asked["started_ns"].max() <= promoted.since_ns, "it changed between two answers in a row"
    assert watch.seen("role", WRITER)[-1].value == "unreachable"


@pytest.mark.parametrize(
    ("endpoint", "change", "told", "timeout_s"),
    [
        ("cluster", {"cluster": "nowhere.outage.test"}, "NXDOMAIN", 0.3),
        # Until then the cluster endpoint has to have answered.
        ("reader", {"reader": "refusing.outage.test"}, "ConnectionRefused", 3.0),
    ],
)
def test_an_endpoint_that_does_not_answer_is_named_with_its_reason(
    rig: Rig, tmp_path: Path, endpoint: str, change: dict[str, str], told: str, timeout_s: float
) -> None:
    rig.zone["refusing.outage.test"] = replace(
        next(iter(v for v in rig.zone.values() if hasattr(v, "address"))), address="127.77.0.9"
    )
    access = replace(rig.access, endpoints={**rig.access.endpoints, **change})
    config = ProbesConfig(run="none", open_timeout_s=timeout_s, deadline_s=PATIENCE_S)
    probes = Probes(config, access, tmp_path)
    if endpoint == "reader":
        prepare(access, "none")
    with pytest.raises(HostError, match=f"{endpoint} endpoint {change[endpoint]}.*{told}"):
        probes.start(PATIENCE_S)
    probes.stop(PATIENCE_S)


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
        probes.start({PATIENCE_S})
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

    def served() -> bool:
        operations = load_operations(tmp_path / "operations", PROBE_ARM).operations
        return bool((operations["outcome"] == Outcome.OK).any())

    wait_until(served, "the first records", timeout_s=60)
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdin.close()
    parent.stdout.close()
    wait_until(lambda: not psutil.pid_exists(pid), f"probes {pid} to end", timeout_s=60)
    assert served()
    drop(rig.access, run)
