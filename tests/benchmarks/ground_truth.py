"""Do probes and arms say how long an outage was? Outages of a known length, made from outside.

    python tests/benchmarks/ground_truth.py [--runs 10] [--duration 2.0] [--mode freeze ...]
        [--arms resilient default-pool] [--arm-rate 50] [--load N] [--quiet 60]

Each outage begins at a random phase of the probes' grid. Its truth is the time in which certainly
nothing was served: from when the last process was stopped (a gate forwarded nothing any more) to
when the first was about to continue (a gate to open). The report is the product's own window
(chaos.checks.windows); its error, measured - truth, is never below zero when the bound holds, and
`right` is the share of runs in which the truth lies in [measured - uncertainty, measured].

Without arms the probes' own error shows; with them, that of both while 2 s of arrivals are made up
for on the processors that everything shares. `waited` is the share of time in which some process
of the machine had to wait for one; what others do there counts, too. `--quiet` lets each outage
wait, at most so many seconds, for a second in which that share is below a fifth.

freeze   SIGSTOP of all server processes, then SIGCONT
refuse   every connection reset and the listener closed, then open again
hold     forwards nothing while the kernel acknowledges, then goes on with what arrived meanwhile
forget   the same, but what was connected before stays silent for ever: only new connections work
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from fix_outage import READER, WRITER, Rig, running_rig
from load import Load

from chaos.checks.evidence import Trace
from chaos.checks.recording import STABLE_S, default_slow_s
from chaos.checks.windows import Window, find_windows
from chaos.clock import NS, MonotonicClock
from chaos.model.history import load_operations
from chaos.model.operation import PROBE_ARM
from chaos.wait import wait_until
from loadgen import ledger
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.probes.config import ProbesConfig
from loadgen.probes.driver import Probes
from loadgen.probes.table import drop, prepare
from loadgen.traffic import STOP_S_MIN, Traffic

SETTLE_S = 2.0
PAUSE_S = STABLE_S + 1.0
RUN = "truth"
PROMISED_MS = 60.0
QUIET = 0.2
ARM_USERS = 5
RECOVERY_S_MAX = 60.0
AFTERMATH_S = 0.2
LOADS = os.getloadavg()
CLOCK = MonotonicClock()


@dataclass(frozen=True)
class Outage:
    """When certainly nothing was served by an endpoint's instance, in monotonic ns."""

    mode: str
    endpoint: str
    since_ns: int
    until_ns: int
    waited: float
    """For which share of it some process waited for a processor."""

    @property
    def truth_s(self) -> float:
        return (self.until_ns - self.since_ns) / NS


ENDPOINTS = {"cluster": WRITER, "reader": READER}
ORDERS = {"refuse": ("refuse", "reopen"), "hold": ("hold", "release"), "forget": ("hold", "forget")}


def outage(mode: str, rig: Rig, duration_s: float) -> list[Outage]:
    """Make one outage of everything and return its truth for each endpoint."""
    waited = Waited()
    if mode == "freeze":
        since = dict.fromkeys(rig.nodes, rig.freeze())
    else:
        since = rig.order_gates(ORDERS[mode][0])
    CLOCK.sleep((max(since.values()) - CLOCK.now_ns()) / NS + duration_s)
    if mode == "freeze":
        until = dict.fromkeys(rig.nodes, rig.thaw())
    else:
        until = rig.order_gates(ORDERS[mode][1])
    CLOCK.sleep(AFTERMATH_S)
    share = waited.share()
    return [Outage(mode, e, since[node], until[node], share) for e, node in ENDPOINTS.items()]


class Waited:
    """For how long some process of this machine waited for a processor, since it was asked last."""

    def __init__(self) -> None:
        self._at_s, self._total_s = self._now()

    def share(self) -> float:
        before, self._at_s, self._total_s = (self._at_s, self._total_s), *self._now()
        return (self._total_s - before[1]) / (self._at_s - before[0])

    @staticmethod
    def _now() -> tuple[float, float]:
        """Return the instant and the total; not a number where the kernel does not tell it."""
        try:
            some, *_ = Path("/proc/pressure/cpu").read_text(encoding="ascii").splitlines()
        except OSError:
            return CLOCK.now_ns() / NS, math.nan
        return CLOCK.now_ns() / NS, int(some.rpartition("=")[2]) / 1e6


def await_service(folder: Path, arms: list[str]) -> None:
    """Wait until every stream has made up for the last outage and is stable again."""

    def stable() -> bool:
        last = [reported(folder, a, e)[-1:] for a in (PROBE_ARM, *arms) for e in ENDPOINTS]
        return all(window.to_ns is not None for windows in last for window in windows)

    wait_until(stable, "every stream to be served again", timeout_s=RECOVERY_S_MAX, interval_s=0.5)


def await_quiet(limit_s: float) -> None:
    """Wait for a second in which hardly anything waited for a processor, but not longer than that."""
    waited, until_ns = Waited(), CLOCK.now_ns() + limit_s * NS
    while CLOCK.now_ns() < until_ns:
        CLOCK.sleep(1.0)
        if waited.share() < QUIET:
            return


def reported(folder: Path, arm: str, endpoint: str) -> tuple[Window, ...]:
    """Return the windows of one stream of an arm or of the probes, as the product computes them."""
    log = load_operations(folder / "operations", arm)
    (stream,) = [s for s in log.streams() if s.endpoint == endpoint]
    trace = Trace.of(log, stream, default_slow_s(arm))
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


@dataclass
class Errors:
    """What one stream reported of the outages of one mode, against the truth."""

    name: str
    errors_ms: list[float] = field(default_factory=list)
    uncertainties_ms: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    missing: int = 0

    def add(self, made: Outage, window: Window | None) -> None:
        if window is None or window.to_ns is None:
            self.missing += 1
            return
        self.waited.append(made.waited)
        self.errors_ms.append((window.measured_s - made.truth_s) * 1000)
        self.uncertainties_ms.append(window.uncertainty_s * 1000)

    @property
    def right(self) -> int:
        """In how many runs the truth lay within the stated uncertainty."""
        stated = zip(self.errors_ms, self.uncertainties_ms, strict=True)
        return sum(0 <= error <= uncertainty for error, uncertainty in stated)

    def line(self) -> str:
        if not self.errors_ms:
            return f"{self.name:28} no window reported"
        runs = len(self.errors_ms)
        return (
            f"{self.name:28} {runs:4} {statistics.mean(self.errors_ms):8.1f}"
            f" {min(self.errors_ms):8.1f} {max(self.errors_ms):8.1f}"
            f" {statistics.mean(self.uncertainties_ms):12.1f} {self.right / runs:6.0%}"
            f" {self.missing:8} {statistics.mean(self.waited):7.0%}"
        )


def report(folder: Path, outages: list[Outage], arms: list[str]) -> bool:
    """Print one line for each mode and stream; tell whether all keep what is promised."""
    say(
        f"{'error in ms':28} {'runs':>4} {'mean':>8} {'min':>8} {'max':>8} {'uncertainty':>12}"
        f" {'right':>6} {'missing':>8} {'waited':>7}"
    )
    good = True
    windows = {(a, e): reported(folder, a, e) for a in (PROBE_ARM, *arms) for e in ENDPOINTS}
    for mode in dict.fromkeys(o.mode for o in outages):
        for (arm, endpoint), found in windows.items():
            errors = Errors(f"{mode} {arm} {endpoint}")
            for made in outages:
                if (made.mode, made.endpoint) == (mode, endpoint):
                    errors.add(made, window_of(found, made))
            say(errors.line())
            good = good and not errors.missing and errors.right == len(errors.errors_ms)
            if arm == PROBE_ARM:
                good = good and all(0 <= e <= PROMISED_MS for e in errors.errors_ms)
    return good


@contextmanager
def running_arms(rig: Rig, arms: list[str], rate: float, folder: Path) -> Iterator[None]:
    """Run the traffic of arms beside the probes; nothing where there are none."""
    if not arms:
        yield
        return
    ledger.prepare(rig.access, RUN)
    traffic = Traffic(
        TrafficConfig(
            run=RUN,
            arms=tuple(
                ArmTraffic(arm=a, writes_per_s=rate, reads_per_s=rate, users=ARM_USERS)
                for a in arms
            ),
        ),
        rig.access,
        folder,
    )
    traffic.start(30)
    try:
        yield
        traffic.check()
    finally:
        traffic.stop(STOP_S_MIN)
    ledger.drop(rig.access, RUN)


def main() -> int:
    options = parse()
    outages: list[Outage] = []
    folder = Path(tempfile.mkdtemp(prefix="ground-truth-"))
    with ExitStack() as stack:
        rig = stack.enter_context(running_rig())
        prepare(rig.access, RUN)
        stack.callback(drop, rig.access, RUN)
        probes = Probes(
            ProbesConfig(
                run=RUN, slots=options.slots, period_s=options.period, deadline_s=options.deadline
            ),
            rig.access,
            folder,
        )
        probes.start(20)
        stack.callback(probes.stop, 10)
        stack.enter_context(running_arms(rig, options.arms, options.arm_rate, folder))
        stack.enter_context(Load(rig, options.load, options.load_rate))
        share = disturb(options, rig, probes, folder, outages)
    made = json.dumps([asdict(o) for o in outages])
    (folder / "outages.json").write_text(made, encoding="utf-8")
    say(
        f"{options.slots} slots every {options.period:g} s, outages of {options.duration:g} s,"
        f" load of {options.load} processes; the probes used {share:.0%} of a core; run queue before"
        f" and after: {LOADS[0]:.1f}, {os.getloadavg()[0]:.1f}; {folder}"
    )
    return 0 if report(folder, outages, options.arms) else 1


def disturb(options: Any, rig: Rig, probes: Probes, folder: Path, outages: list[Outage]) -> float:
    """Make the outages; return the share of a core that the probes used before them."""
    process = psutil.Process(probes.pid)
    phase = random.Random(options.seed)
    with suppress(PermissionError):
        os.nice(-15)  # so that the last process is stopped, or continued, right after the first
    CLOCK.sleep(SETTLE_S)
    busy_s, at_ns = sum(process.cpu_times()[:2]), CLOCK.now_ns()
    CLOCK.sleep(SETTLE_S)
    share = (sum(process.cpu_times()[:2]) - busy_s) / ((CLOCK.now_ns() - at_ns) / NS)
    for mode in options.mode:
        for _ in range(options.runs):
            CLOCK.sleep(PAUSE_S)
            await_service(folder, options.arms)
            await_quiet(options.quiet)
            CLOCK.sleep(phase.random())
            outages.extend(outage(mode, rig, options.duration))
    CLOCK.sleep(PAUSE_S)
    return float(share)


def parse() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    defaults = ProbesConfig(run=RUN)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds")
    parser.add_argument("--mode", nargs="+", default=["freeze", "refuse", "hold"])
    parser.add_argument("--arms", nargs="+", default=[])
    parser.add_argument("--arm-rate", type=float, default=50.0, help="writes, and reads, a second")
    parser.add_argument("--load", type=int, default=0, help="processes that saturate the servers")
    parser.add_argument("--load-rate", type=float, default=0.0, help="per second each, 0: no limit")
    parser.add_argument("--quiet", type=float, default=0.0, help="seconds to wait for a calm")
    parser.add_argument("--slots", type=int, default=defaults.slots)
    parser.add_argument("--period", type=float, default=defaults.period_s)
    parser.add_argument("--deadline", type=float, default=defaults.deadline_s)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
