"""Memory of an hour at 5,000 operations per second: recording it, judging it, telling it.

    python tests/benchmarks/long_history.py [--short] [--operations 18000000] [--keep DIR] [--json FILE]

The operations are synthetic: one arm that writes and reads, a service that is refused for 2 s and
hangs for 3 s, probes beside it, everything that a run records. They go through `OperationWriter` in
a process that flushes every quarter of a second of the run. Judging and the report are the commands
that a person types, in processes of their own. For each process:

    anonymous_mb  the most memory that was its own (RssAnon): what a machine must have
    total_mb      the most that was mapped (VmHWM), with the run's files, which the kernel can drop

The goal holds for `anonymous_mb`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figures, parser, say

sys.path.insert(0, str(Path(__file__).parents[1]))
from run_builder import RunBuilder, Shape, to_ns

from chaos.clock import NS
from chaos.model.ledger import ArmLedger, Ledger
from chaos.model.operation import Failure, Kind, OperationWriter, Outcome

GOAL_MB = 200.0
ARM = "resilient"
PER_S = 5_000
REFUSED_S, HUNG_S = 2.0, 3.0
EXPERIMENT = {
    "version": 1,
    "name": "long-history",
    "claim": "An hour of traffic is judged in bounded memory.",
    "workload": {"arms": [{"arm": ARM}], "writes_per_s": PER_S / 2, "reads_per_s": PER_S / 2},
    "method": [{"fault": "failover-cluster", "target": "writer"}],
    "objectives": [
        {
            "check": "interruption",
            "arm": ARM,
            "endpoint": "cluster",
            "operation": "write",
            "interruption_s_max": 10.0,
        },
        {"check": "acknowledged-writes", "lost_writes_max": 0},
    ],
}


def described(folder: Path, until_s: float) -> RunBuilder:
    """Write a run of that length without the arm's operations: probes, journal, observations."""
    run = RunBuilder(folder, experiment=EXPERIMENT)
    refused_s = until_s / 3
    run.outage("cluster", refused_s + 0.1, refused_s + 0.1 + REFUSED_S, Shape.REFUSE)
    run.fault("failover-cluster", refused_s)
    run.traffic(ARM, "cluster", Kind.WRITE, per_s=0.1, until_s=0.1)
    run.traffic(ARM, "reader", Kind.READ, per_s=0.1, until_s=0.1)
    run.fill(until_s=until_s)
    counts = ArmLedger(acknowledged=1, applied_once=1)
    run.ledger = Ledger(arms={ARM: counts}, read_from="x", read_at_ns=to_ns(until_s), complete=True)
    run.write()
    return run


def record(folder: Path, until_s: float) -> None:
    """Append the arm's operations; run in a process of its own, whose memory is measured."""
    refused_s, hung_s = until_s / 3, until_s * 2 / 3
    writer = OperationWriter(folder / "operations", ARM)
    step_ns = NS // PER_S
    flush_every = PER_S // 4
    for number in range(int(until_s * PER_S)):
        due_s = number / PER_S
        due_ns = to_ns(0) + number * step_ns
        write = number % 2 == 0
        took_ns = 1_200_000 + number * 7919 % 900_000
        outcome, error, failures = Outcome.OK, "", ()
        if refused_s + 0.1 <= due_s < refused_s + 0.1 + REFUSED_S:
            outcome, error, took_ns = Outcome.FAILED, "----- ConnectionRefused", 400_000
            failures = (Failure(started_ns=due_ns, ended_ns=due_ns + took_ns, error=error),)
        elif hung_s <= due_s < hung_s + HUNG_S:
            took_ns += int((hung_s + HUNG_S - due_s) * NS)
        writer.operation(
            kind=Kind.WRITE if write else Kind.READ,
            endpoint="cluster" if write else "reader",
            intended_ns=due_ns,
            started_ns=due_ns + 15_000,
            ended_ns=due_ns + took_ns,
            outcome=outcome,
            error=error,
            instance="gameday-instance-1" if write else "gameday-instance-2",
            write_id=10**12 + number,
            backend_pid=4000 + number % 15,
            failures=failures,
        )
        if number % flush_every == 0:
            writer.flush()
    writer.close()


def measured(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Run a command; return its peak of anonymous and of all resident memory in MB, and seconds."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    status = Path(f"/proc/{process.pid}/status")
    anonymous = total = 0
    while process.poll() is None:
        try:
            lines = dict(
                line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines()
            )
        except (FileNotFoundError, ProcessLookupError):
            break
        anonymous = max(anonymous, int(lines.get("RssAnon", "0 kB").split()[0]))
        total = max(total, int(lines.get("VmHWM", "0 kB").split()[0]))
        time.sleep(0.01)  # noqa: TID251 - samples the process
    error = process.stderr.read().decode() if process.stderr else ""
    process.wait()
    if process.returncode not in {0, 1, 2}:  # a verdict
        raise SystemExit(f"{' '.join(command)} failed: {error[-2000:]}")
    return anonymous / 1024, total / 1024, time.monotonic() - began


def main() -> int:
    """Write, judge and tell a long run; exit with 1 when one of them needs more than its share."""
    made = parser(__doc__)
    made.add_argument("--operations", type=int, default=18_000_000)
    made.add_argument("--keep", type=Path, help="make the run here, or use the one that is there")
    options = made.parse_args()
    if options.short:
        options.operations = min(options.operations, 1_000_000)
    figures = Figures("long history", options)
    until_s = options.operations / PER_S
    place = options.keep or Path(tempfile.mkdtemp(prefix="gameday-long-"))
    folder = place / "20260101T000000Z-long-history"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    try:
        here = str(Path(__file__))
        if not folder.exists():
            described(folder, until_s)
            say("recording")
            wrote = measured(
                [sys.executable, here, "record", str(folder), str(until_s)], environment
            )
            tell(figures, "recording", wrote)
        gameday = [sys.executable, "-m", "chaos"]
        for name, command in (("judge", "judge"), ("report", "report")):
            say(name)
            tell(figures, name, measured([*gameday, command, str(folder)], environment))
        verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
        windows = [
            round(window["measured"], 2)
            for repeat in verdict["repeats"]
            for window in repeat["windows"]
            if window["arm"] == ARM and window["operation"] == "write"
        ]
        size = sum(path.stat().st_size for path in (folder / "operations").iterdir())
        say(
            f"{options.operations:,} operations, {size / 1e6:.0f} MB; windows of writes: {windows} s"
        )
    finally:
        if not options.keep:
            shutil.rmtree(place)
    return figures.told()


def tell(figures: Figures, name: str, told: tuple[float, float, float]) -> None:
    """Add a row, and hold it to the goal."""
    anonymous, total, took_s = told
    figures.row(name, anonymous_mb=anonymous, total_mb=total, took_s=took_s)
    figures.goal(f"MB to {name}", anonymous, at_most=GOAL_MB)


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"]:
        record(Path(sys.argv[2]), float(sys.argv[3]))
        sys.exit(0)
    sys.exit(main())
