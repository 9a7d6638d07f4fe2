"""A run whose traffic came from several workers is judged with what became of each."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fix_history import RunBuilder, failover_run, outage_run

from chaos.checks.instants import instants
from chaos.checks.judge import judge
from chaos.checks.recording import Recording
from chaos.checks.scene import Instant
from chaos.clock import NS
from chaos.model.history import History, load_history
from chaos.model.operation import OPERATION, Kind
from chaos.model.record import LineWriter, Observation
from chaos.model.shares import SHARE, SHARE_DTYPE, path_of
from chaos.model.verdict import Verdict
from reports import workers
from reports.read import load

WORKERS = 2


def sent(run: RunBuilder, *, error_ns: int = 2_000_000) -> History:
    """Write a run whose arm's operations came from two workers in turn."""
    history = run.write()
    count = len(history.arms["arm"].operations)
    shares = [
        SHARE.pack(first, min(10, count - first), 0, error_ns, 1 + first // 10 % WORKERS)
        for first in range(0, count, 10)
    ]
    path_of(run.folder / "operations", "arm").write_bytes(b"".join(shares))
    return with_workers(run)


def with_workers(run: RunBuilder) -> History:
    """Let a run that was written have been asked for with workers."""
    environment = (run.folder / "environment.json").read_text(encoding="utf-8")
    changed = environment.replace('"run":', f'"workers": {WORKERS}, "run":', 1)
    (run.folder / "environment.json").write_text(changed, encoding="utf-8")
    return load_history(run.folder)


def described(folder: Path) -> RunBuilder:
    run = outage_run(folder)
    for number in range(1, WORKERS + 1):
        subject, host = f"worker {number}", f"load-{number}"
        run.observe(0.0, "worker", subject, "joined", host=host)
        run.observe(
            0.1, "clock", subject, "0.5",
            offset_ns=NS // 2, error_ns=1_000_000, jumped_ns=0, exchanges=20,
        )  # fmt: skip
        for second in range(21):
            run.observe(float(second), "lag", "arm", "1.0", width_s=1.0, worker=number)
    return run


def finding(history: History) -> tuple[Verdict | None, str]:
    (found,) = [f for f in judge(history, ()).findings if f.check == "assumption/workers"]
    return found.verdict, found.why


def shares_of(folder: Path) -> dict[int, int]:
    """How many operations of the arm each worker has, by the same rule as `sent`."""
    count = len(described(folder / "counted").write().arms["arm"].operations)
    owners = 1 + np.arange(count) // 10 % WORKERS
    return {number: int((owners == number).sum()) for number in range(1, WORKERS + 1)}


def delivered(run: RunBuilder, folder: Path, *numbers: int, less: int = 0) -> None:
    counts = shares_of(folder)
    for number in numbers:
        run.observe(
            20.1, "worker", f"worker {number}", "delivered",
            host=f"load-{number}", operations=counts[number] + less,
        )  # fmt: skip


def test_all_were_there_from_start_to_end(tmp_path: Path) -> None:
    run = described(tmp_path)
    delivered(run, tmp_path, 1, 2)
    verdict, why = finding(sent(run))
    assert verdict is Verdict.PASS
    assert "0.0020 s" in why


def test_a_worker_that_was_lost_is_named_with_its_instant(tmp_path: Path) -> None:
    run = described(tmp_path)
    delivered(run, tmp_path, 1)
    run.observe(
        15.0, "worker", "worker 2", "lost",
        host="load-2", why="no heartbeat of it came any more", last_heard_ns=run_ns(11.25),
    )  # fmt: skip
    history = sent(run)
    verdict, why = finding(history)
    assert verdict is Verdict.UNKNOWN
    assert "worker 2 (load-2) was lost 11.2 s after the run began: no heartbeat" in why
    judged = judge(history, ()).as_json()
    (lost,) = [w for w in judged["workers"] if w["lost"]]
    assert lost["lost"]["at"] == pytest.approx(11.25)
    assert lost["host"] == "load-2"
    (history.folder / "verdict.json").write_text(json.dumps(judged), encoding="utf-8")
    _, row = workers.rows(load(history.folder))
    assert row.lost.startswith("at +6.250 s: "), "the page counts from the fault, requested at 5 s"


def test_a_worker_that_came_back_and_handed_over_all_is_not_lost(tmp_path: Path) -> None:
    run = described(tmp_path)
    run.observe(
        8.0,
        "worker",
        "worker 2",
        "lost",
        host="load-2",
        why="no heartbeat",
        last_heard_ns=run_ns(4.0),
    )
    run.observe(9.0, "worker", "worker 2", "back", host="load-2")
    delivered(run, tmp_path, 1, 2)
    assert finding(sent(run))[0] is Verdict.PASS


@pytest.mark.parametrize(
    ("numbers", "less", "told"),
    [
        ((1,), 0, "worker 2 (load-2) did not say that it handed over all"),
        ((1, 2), 5, "were collected"),
    ],
)
def test_records_that_never_came_keep_it_from_passing(
    tmp_path: Path, numbers: tuple[int, ...], less: int, told: str
) -> None:
    run = described(tmp_path)
    delivered(run, tmp_path, *numbers, less=less)
    findings = [f for f in judge(sent(run), ()).findings if f.check == "assumption/workers"]
    assert all(f.verdict is Verdict.UNKNOWN for f in findings)
    assert any(told in f.why for f in findings)


def test_operations_that_the_shares_promise_and_the_file_lacks_were_not_collected(
    tmp_path: Path,
) -> None:
    """The disk of the runner was full, say: the share was written, its operations were not."""
    run = described(tmp_path)
    delivered(run, tmp_path, 1, 2)
    sent(run)
    path = run.folder / "operations" / "arm.ops"
    path.write_bytes(path.read_bytes()[: -5 * OPERATION.size])
    verdict, why = finding(load_history(run.folder))
    assert verdict is Verdict.UNKNOWN
    assert re.search(r"worker 2 \(load-2\) recorded (\d+) operations, (\d+) were collected", why)


def stopped(folder: Path, worker: int, from_s: float, to_s: float) -> History:
    """What `described` recorded of workers that took turns, one of which sent nothing for a while."""
    run = described(folder)
    log = run.write().arms["arm"]
    owners = 1 + np.arange(len(log.operations)) % WORKERS
    due = log.operations["intended_ns"]
    sent = (owners != worker) | (due < run_ns(from_s)) | (due >= run_ns(to_s))
    operations, owners = np.array(log.operations[sent]), owners[sent]
    (run.folder / "operations" / "arm.ops").write_bytes(operations.tobytes())
    shares = (SHARE.pack(n, 1, 0, 1_000_000, int(owner)) for n, owner in enumerate(owners))
    path_of(run.folder / "operations", "arm").write_bytes(b"".join(shares))
    told = LineWriter(run.folder / "observations.jsonl")
    for number in range(1, WORKERS + 1):
        told.append(
            Observation(
                at_ns=run_ns(20.1), since_ns=None, kind="worker", subject=f"worker {number}",
                value="delivered",
                detail={"host": f"load-{number}", "operations": int((owners == number).sum())},
            )
        )  # fmt: skip
    told.close()
    return with_workers(run)


@pytest.mark.parametrize(("from_s", "to_s"), [(3.0, 20.0), (0.0, 20.0), (8.0, 12.0)])
def test_a_worker_that_lived_and_sent_nothing_is_named(
    tmp_path: Path, from_s: float, to_s: float
) -> None:
    """It answers heartbeats and hands over all that it recorded; the other's traffic hides the hole."""
    history = stopped(tmp_path, 2, from_s, to_s)
    verdict, why = finding(history)
    assert verdict is Verdict.UNKNOWN
    assert why.startswith("worker 2 (load-2): no writes of arm on cluster were recorded")
    assert judge(history, ()).verdict is Verdict.UNKNOWN


def test_workers_that_take_turns_without_a_hole_pass(tmp_path: Path) -> None:
    assert finding(stopped(tmp_path, 2, 8.0, 8.0))[0] is Verdict.PASS


def test_a_worker_whose_generator_fell_silent_is_named(tmp_path: Path) -> None:
    run = described(tmp_path)
    delivered(run, tmp_path, 1, 2)
    run.observations = [
        o
        for o in run.observations
        if o.kind != "lag" or o.detail.get("worker") != 1 or o.at_ns < run_ns(12.0)
    ]
    verdict, why = finding(sent(run))
    assert verdict is Verdict.UNKNOWN
    assert why == "worker 1 (load-1): its generator of arm was silent for 9.0 s before the end"


def test_a_clock_that_jumped_keeps_it_from_passing(tmp_path: Path) -> None:
    run = described(tmp_path)
    delivered(run, tmp_path, 1, 2)
    run.observe(
        12.0, "clock", "worker 1", "-30.0",
        offset_ns=-30 * NS, error_ns=1_000_000, jumped_ns=30 * NS, exchanges=60,
    )  # fmt: skip
    verdict, why = finding(sent(run))
    assert verdict is Verdict.UNKNOWN
    assert "the clock of worker 1 (load-1) jumped by 30.000 s" in why


def test_a_worker_that_never_joined_is_told(tmp_path: Path) -> None:
    run = outage_run(tmp_path)
    findings = [f for f in judge(sent(run), ()).findings if f.check == "assumption/workers"]
    assert {f.why for f in findings} == {"worker 1 never joined", "worker 2 never joined"}


def test_runs_without_workers_say_nothing_of_them(tmp_path: Path) -> None:
    judgement = judge(outage_run(tmp_path).write(), ())
    assert not [f for f in judgement.findings if f.check == "assumption/workers"]
    assert judgement.as_json()["workers"] == []


def test_the_error_of_the_clocks_moves_every_bound_outwards(tmp_path: Path) -> None:
    """By it on each side of a window, and by twice as much below its lower bound."""
    error_ns = 7_000_000
    plain = outage_run(tmp_path / "plain").write()
    blurred = sent(outage_run(tmp_path / "blurred"), error_ns=error_ns)
    (sharp,) = Recording(plain).windows("arm", "cluster", Kind.WRITE)
    (wide,) = Recording(blurred).windows("arm", "cluster", Kind.WRITE)
    assert wide.from_ns == sharp.from_ns - error_ns
    assert sharp.to_ns is not None
    assert wide.to_ns == sharp.to_ns + error_ns
    assert wide.measured_s == pytest.approx(sharp.measured_s + 0.014)
    assert wide.lower_ns == max(0, sharp.lower_ns - 2 * error_ns)


def run_ns(at_s: float) -> int:
    return 1_000 * NS + round(at_s * NS)


def behind(history: History, arm: str, *, clock_s: float, error_s: float) -> History:
    """The history as the clock of a worker would have told it that is so much behind."""
    log = history.arms[arm]
    operations, attempts = np.array(log.operations), np.array(log.attempts)
    for column in ("intended_ns", "started_ns", "ended_ns"):
        operations[column] -= round(clock_s * NS)
    for column in ("started_ns", "ended_ns"):
        attempts[column] -= round(clock_s * NS)
    shares = np.zeros(1, dtype=SHARE_DTYPE)
    shares["error_ns"], shares["count"] = round(error_s * NS), len(operations)
    log = replace(log, operations=operations, attempts=attempts, shares=shares)
    return replace(history, arms={**history.arms, arm: log})


def named_instants(history: History, name: str) -> list[Instant]:
    recording = Recording(history)
    return [i for i in instants(recording, recording.injections[0]) if i.name == name]


@pytest.mark.parametrize("clock_s", [0.0, 0.15, 0.2, -0.2])
def test_what_a_worker_felt_is_told_within_the_error_of_its_clock(
    tmp_path: Path, clock_s: float
) -> None:
    history = failover_run(tmp_path / "run").write()
    away = behind(history, "resilient", clock_s=clock_s, error_s=0.2)
    truth, found = (
        next(i for i in named_instants(told, "first committed write") if i.arm == "resilient")
        for told in (history, away)
    )
    assert truth.at_s is not None
    assert truth.uncertainty_s is not None
    assert found.at_s is not None
    assert found.uncertainty_s is not None
    assert found.at_s >= truth.at_s - 1e-9
    assert found.at_s - found.uncertainty_s <= truth.at_s - truth.uncertainty_s + 1e-9
    by_probes = "new writer by SQL"
    assert named_instants(away, by_probes) == named_instants(history, by_probes)
