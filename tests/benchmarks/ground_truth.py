"""Do the probes say how long an outage was? Outages of a known length, made from outside.

    python tests/benchmarks/ground_truth.py [--runs 10] [--duration 2.0] [--mode freeze ...] [--load N]

Each outage begins at a random phase of the probes' grid. Its truth is the time in which certainly
nothing was served: from when the last process was stopped (the last connection reset, forwarding
ended) to when the first was about to continue. The report is the product's own window
(chaos.checks.windows); its error is never below zero when the bound holds.

freeze   SIGSTOP of all server processes, then SIGCONT
refuse   every connection reset and the listener closed, then open again
hold     forwards nothing while the kernel acknowledges, then goes on with what arrived meanwhile
forget   the same, but what was connected before stays silent for ever: only new connections work
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from fix_outage import READER, WRITER, Rig, running_rig
from load import Load

from chaos.checks.evidence import Trace
from chaos.checks.recording import PROBE_SLOW_S, STABLE_S
from chaos.checks.windows import Window, find_windows
from chaos.clock import NS, MonotonicClock
from chaos.model.history import load_operations
from chaos.model.operation import PROBE_ARM
from loadgen.probes.config import ProbesConfig
from loadgen.probes.driver import Probes
from loadgen.probes.table import drop, prepare

SETTLE_S = 2.0
PAUSE_S = STABLE_S + 1.0
RUN = "truth"
CLOCK = MonotonicClock()


@dataclass(frozen=True)
class Outage:
    """When certainly nothing was served by an endpoint's instance, in monotonic ns."""

    mode: str
    endpoint: str
    since_ns: int
    until_ns: int

    @property
    def truth_s(self) -> float:
        return (self.until_ns - self.since_ns) / NS


ENDPOINTS = {"cluster": WRITER, "reader": READER}
ORDERS = {"refuse": ("refuse", "reopen"), "hold": ("hold", "release"), "forget": ("hold", "forget")}


def outage(mode: str, rig: Rig, duration_s: float) -> list[Outage]:
    """Make one outage of everything and return its truth for each endpoint."""
    if mode == "freeze":
        since_ns = rig.freeze()
        CLOCK.sleep((since_ns - CLOCK.now_ns()) / NS + duration_s)
        until_ns = rig.thaw()
        return [Outage(mode, endpoint, since_ns, until_ns) for endpoint in ENDPOINTS]
    begin, end = ORDERS[mode]
    since = rig.order_gates(begin)
    CLOCK.sleep((max(since.values()) - CLOCK.now_ns()) / NS + duration_s)
    until = rig.order_gates(end)
    return [Outage(mode, e, since[node], until[node]) for e, node in ENDPOINTS.items()]


def reported(folder: Path, endpoint: str) -> tuple[Window, ...]:
    """Return the windows of one probe stream, as the product computes them."""
    log = load_operations(folder / "operations", PROBE_ARM)
    (stream,) = [s for s in log.streams() if s.endpoint == endpoint]
    trace = Trace.of(log, stream, PROBE_SLOW_S)
    return find_windows(trace, stable_s=STABLE_S, until_ns=int(stream.records["ended_ns"].max()))


def window_of(windows: tuple[Window, ...], outage: Outage) -> Window | None:
    """Return the window that overlaps an outage."""
    for window in windows:
        if window.from_ns < outage.until_ns and (window.to_ns or window.until_ns) > outage.since_ns:
            return window
    return None


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def row(name: str, errors_ms: list[float], lower_ms: list[float], missing: int) -> str:
    if not errors_ms:
        return f"{name:16} no window reported"
    return (
        f"{name:16} {len(errors_ms):4} {statistics.mean(errors_ms):8.1f} {min(errors_ms):8.1f}"
        f" {max(errors_ms):8.1f} {max(lower_ms):10.1f} {missing:8}"
    )


def report(folder: Path, outages: list[Outage]) -> bool:
    """Print one line for each mode and endpoint; tell whether all errors are within the promise."""
    say(
        f"{'error in ms':16} {'runs':>4} {'mean':>8} {'min':>8} {'max':>8} {'lower-truth':>10}"
        f" {'missing':>8}"
    )
    good = True
    for mode in dict.fromkeys(o.mode for o in outages):
        for endpoint in ("cluster", "reader"):
            windows = reported(folder, endpoint)
            errors, lowers, missing = [], [], 0
            for made in outages:
                if (made.mode, made.endpoint) != (mode, endpoint):
                    continue
                window = window_of(windows, made)
                if window is None:
                    missing += 1
                    continue
                errors.append((window.measured_s - made.truth_s) * 1000)
                lowers.append((window.lower_s - made.truth_s) * 1000)
            say(row(f"{mode} {endpoint}", errors, lowers, missing))
            good = good and not missing and all(0 <= e <= 60 for e in errors)
    return good


def main() -> int:
    options = parse()
    phase = random.Random(options.seed)
    outages: list[Outage] = []
    folder = Path(tempfile.mkdtemp(prefix="ground-truth-"))
    with running_rig() as rig:
        prepare(rig.access, RUN)
        probes = Probes(
            ProbesConfig(
                run=RUN,
                slots=options.slots,
                period_s=options.period,
                deadline_s=options.deadline,
            ),
            rig.access,
            folder,
        )
        probes.start(20)
        process = psutil.Process(probes.pid)
        with Load(rig, options.load, options.load_rate):
            CLOCK.sleep(SETTLE_S)
            busy_s, at_ns = sum(process.cpu_times()[:2]), CLOCK.now_ns()
            CLOCK.sleep(SETTLE_S)
            share = (sum(process.cpu_times()[:2]) - busy_s) / ((CLOCK.now_ns() - at_ns) / NS)
            for mode in options.mode:
                for _ in range(options.runs):
                    CLOCK.sleep(PAUSE_S + phase.random())
                    outages.extend(outage(mode, rig, options.duration))
            CLOCK.sleep(PAUSE_S)
        probes.stop(10)
        drop(rig.access, RUN)
    made = json.dumps([asdict(o) for o in outages])
    (folder / "outages.json").write_text(made, encoding="utf-8")
    say(
        f"{options.slots} slots every {options.period:g} s, outages of {options.duration:g} s,"
        f" load of {options.load} processes; the probes used {share:.0%} of a core; {folder}"
    )
    return 0 if report(folder, outages) else 1


def parse() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    defaults = ProbesConfig(run=RUN)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds")
    parser.add_argument("--mode", nargs="+", default=["freeze", "refuse", "hold"])
    parser.add_argument("--load", type=int, default=0, help="processes that saturate the servers")
    parser.add_argument("--load-rate", type=float, default=0.0, help="per second each, 0: no limit")
    parser.add_argument("--slots", type=int, default=defaults.slots)
    parser.add_argument("--period", type=float, default=defaults.period_s)
    parser.add_argument("--deadline", type=float, default=defaults.deadline_s)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
