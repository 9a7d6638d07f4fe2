"""Do probes and arms say how long an outage was? Outages of a known length, made from outside.

    python tests/benchmarks/ground_truth.py [--short] [--runs 20] [--durations 0.3 1 2 5]
        [--mode freeze refuse hold] [--load 0 2] [--arms default-pool resilient] [--json FILE]

Each outage begins at a random phase of the probes' grid. Its truth is the time in which certainly
nothing was served: from when the last process was stopped (a gate forwarded nothing any more) to
when the first was about to continue (a gate to open). The report is the product's own window
(chaos.checks.windows); its error, measured - truth, is never below zero when the bound holds, and
`right` counts the outages whose truth lies in [measured - uncertainty, measured].

Outages shorter than what an arm calls late (1 s) may go unfelt by it: `unfelt` counts those without
a window. From half as long again on, and for probes always, a window that is missing is a fault.

freeze   SIGSTOP of all server processes, then SIGCONT
refuse   every connection reset and the listener closed, then open again
hold     silent drop: forwards nothing while the kernel acknowledges, then what arrived meanwhile
forget   the same, but what was connected before stays silent for ever: only new connections work

`--load 0` is an idle machine, `--load 2` one on which two processes insert as fast as they can.
`waited` is the share of time in which some process of the machine had to wait for a processor; what
others do there counts, too. `--quiet` lets each outage wait, at most so many seconds, for a second in
which that share is below a fifth.
"""

from __future__ import annotations

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

from figures import Figures, parser, say
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
MEAN_MS, WORST_MS = 20.0, 40.0
FELT_FROM = 1.5
"""An outage of so many times what a stream calls late must not go unfelt."""
QUIET = 0.2
ARM_USERS = 5
RECOVERY_S_MAX = 60.0
AFTERMATH_S = 0.2
CLOCK = MonotonicClock()


@dataclass(frozen=True)
class Outage:
    """When certainly nothing was served by an endpoint's instance, in monotonic ns."""

    mode: str
    duration_s: float
    load: int
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


def outage(mode: str, rig: Rig, duration_s: float, load: int) -> list[Outage]:
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
    return [
        Outage(mode, duration_s, load, e, since[node], until[node], share)
        for e, node in ENDPOINTS.items()
    ]


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
    """Return the longest window that overlaps an outage."""
    found = [
        window
        for window in windows
        if window.from_ns < outage.until_ns and (window.to_ns or window.until_ns) > outage.since_ns
    ]
    return max(found, key=lambda window: window.measured_s, default=None)


@dataclass
class Errors:
    """What one stream reported of outages of one kind, against the truth."""

    slow_s: float
    errors_ms: list[float] = field(default_factory=list)
    uncertainties_ms: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    missing: int = 0
    unfelt: int = 0

    def add(self, made: Outage, window: Window | None) -> None:
        if window is None and made.truth_s < FELT_FROM * self.slow_s and self.slow_s >= 1:
            self.unfelt += 1
        elif window is None or window.to_ns is None:
            self.missing += 1
        else:
            self.waited.append(made.waited)
            self.errors_ms.append((window.measured_s - made.truth_s) * 1000)
            self.uncertainties_ms.append(window.uncertainty_s * 1000)

    @property
    def right(self) -> int:
        """In how many outages the truth lay within the stated uncertainty."""
        stated = zip(self.errors_ms, self.uncertainties_ms, strict=True)
        return sum(0 <= error <= uncertainty for error, uncertainty in stated)

    def row(self) -> dict[str, Any]:
        felt = len(self.errors_ms)
        return {
            "n": felt,
            "mean_ms": statistics.mean(self.errors_ms) if felt else None,
            "min_ms": min(self.errors_ms, default=None),
            "worst_ms": max(self.errors_ms, default=None),
            "uncertainty_ms": statistics.mean(self.uncertainties_ms) if felt else None,
            "right": self.right,
            "missing": self.missing,
            "unfelt": self.unfelt,
            "waited": statistics.mean(self.waited) if felt else None,
        }


def report(folder: Path, outages: list[Outage], arms: list[str], figures: Figures) -> None:
    """Add a row for each kind of outage and stream, and hold all of them to what is promised."""
    windows = {(a, e): reported(folder, a, e) for a in (PROBE_ARM, *arms) for e in ENDPOINTS}
    by_probes = Errors(default_slow_s(PROBE_ARM))
    by_arms = Errors(1.0)
    kinds = dict.fromkeys((o.load, o.mode, o.duration_s) for o in outages)
    for load, mode, duration_s in kinds:
        for (arm, endpoint), found in windows.items():
            errors = Errors(default_slow_s(arm))
            together = by_probes if arm == PROBE_ARM else by_arms
            for made in outages:
                if (made.load, made.mode, made.duration_s) != (load, mode, duration_s):
                    continue
                if made.endpoint == endpoint:
                    errors.add(made, window_of(found, made))
                    together.add(made, window_of(found, made))
            figures.row(f"load {load} {mode} {duration_s:g} s, {arm} {endpoint}", **errors.row())
    probes = by_probes.row()
    if probes["n"]:
        figures.goal("the probes' mean error in ms", probes["mean_ms"], at_most=MEAN_MS)
        figures.goal("the probes' worst error in ms", probes["worst_ms"], at_most=WORST_MS)
        figures.goal("the probes' least error in ms", probes["min_ms"], at_least=0)
    for who, errors in (("probes", by_probes), ("arms", by_arms)):
        told = errors.row()
        if told["n"] + told["missing"]:
            share = told["right"] / (told["n"] + told["missing"])
            figures.goal(f"the {who}' figures inside their bounds", share, at_least=1.0)


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
    figures = Figures("ground truth", options)
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
        come_first()
        share = share_of_a_core(probes.pid)
        for load in options.load:
            with Load(rig, load, options.load_rate):
                disturb(options, rig, folder, load, outages)
    made = json.dumps([asdict(o) for o in outages])
    (folder / "outages.json").write_text(made, encoding="utf-8")
    say(
        f"{options.slots} slots every {options.period:g} s; the probes used {share:.0%} of a core;"
        f" records in {folder}"
    )
    report(folder, outages, options.arms, figures)
    return figures.told()


def come_first() -> None:
    """Have this process run before others: the last server must be stopped right after the first.

    Each thread has a priority of its own; one of them is the name server, which must not wait
    behind the clients that reconnect: names that are not answered are an outage, too.
    """
    with suppress(PermissionError):
        for thread in psutil.Process().threads():
            os.setpriority(os.PRIO_PROCESS, thread.id, -15)


def share_of_a_core(pid: int) -> float:
    """Return what a process uses while nothing happens."""
    process = psutil.Process(pid)
    CLOCK.sleep(SETTLE_S)
    busy_s, at_ns = sum(process.cpu_times()[:2]), CLOCK.now_ns()
    CLOCK.sleep(SETTLE_S)
    return float((sum(process.cpu_times()[:2]) - busy_s) / ((CLOCK.now_ns() - at_ns) / NS))


def disturb(options: Any, rig: Rig, folder: Path, load: int, outages: list[Outage]) -> None:
    """Make every outage under one load."""
    phase = random.Random(options.seed)
    CLOCK.sleep(SETTLE_S)
    for mode in options.mode:
        for duration_s in options.durations:
            for _ in range(options.runs):
                CLOCK.sleep(PAUSE_S)
                await_service(folder, options.arms)
                await_quiet(options.quiet)
                CLOCK.sleep(phase.random())
                outages.extend(outage(mode, rig, duration_s, load))
            say(f"load {load}, {mode}, {duration_s:g} s: {options.runs} outages made")
    CLOCK.sleep(PAUSE_S)


def parse() -> Any:
    made = parser(__doc__)
    defaults = ProbesConfig(run=RUN)
    made.add_argument("--runs", type=int, default=20, help="outages of each kind")
    made.add_argument("--durations", type=float, nargs="+", default=[0.3, 1.0, 2.0, 5.0])
    made.add_argument("--mode", nargs="+", default=["freeze", "refuse", "hold"])
    made.add_argument("--arms", nargs="*", default=["default-pool", "resilient"])
    made.add_argument("--arm-rate", type=float, default=50.0, help="writes, and reads, a second")
    made.add_argument(
        "--load", type=int, nargs="+", default=[0, 2], help="processes that saturate the servers"
    )
    made.add_argument("--load-rate", type=float, default=0.0, help="per second each, 0: no limit")
    made.add_argument("--quiet", type=float, default=0.0, help="seconds to wait for a calm")
    made.add_argument("--slots", type=int, default=defaults.slots)
    made.add_argument("--period", type=float, default=defaults.period_s)
    made.add_argument("--deadline", type=float, default=defaults.deadline_s)
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    if options.short:
        options.runs, options.durations, options.arms = 1, [1.0], options.arms[:1]
    return options


if __name__ == "__main__":
    sys.exit(main())
