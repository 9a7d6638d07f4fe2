"""Probes at work against the servers of `fix_outage`, and what they have recorded so far."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fix_outage import READER, WRITER, Rig

from chaos.checks.evidence import Trace
from chaos.checks.windows import Window, find_windows
from chaos.clock import NS
from chaos.model.history import OperationLog, Stream, load_operations
from chaos.model.operation import PROBE_ARM, PROBE_SLOW_S, Kind, Outcome
from chaos.model.record import Observation, read_observations
from chaos.wait import wait_until
from loadgen.probes.config import ProbesConfig
from loadgen.probes.driver import Probes
from loadgen.probes.failures import MISSED, MISSED_WAITING
from loadgen.probes.table import drop, prepare

PATIENCE_S = 60.0
STABLE_S = 0.5
HEALTHY = {
    ("role", WRITER): "writer",
    ("role", READER): "reader",
    ("dns", "cluster"): WRITER,
    ("dns", "reader"): READER,
}
"""What is seen of a service that nothing disturbs, by kind and subject."""


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

        wait_until(ended, f"the window of {endpoint} to end", timeout_s=PATIENCE_S)

    def await_turns(self, endpoint: str, kind: Kind, since_ns: int, count: int) -> None:
        """Wait until turns that were due after an instant are recorded."""

        def recorded() -> bool:
            return (
                int((self.stream(endpoint, kind).records["intended_ns"] > since_ns).sum()) >= count
            )

        wait_until(
            recorded, f"{count} turns of {endpoint}", timeout_s=PATIENCE_S, errors=(ValueError,)
        )

    def await_alive(self, after_ns: int) -> None:
        """Wait until the probes said how late they were up to an instant."""
        wait_until(
            lambda: any(o.at_ns > after_ns for o in self.seen("alive", "probes")),
            "the probes to say that they are alive",
            timeout_s=PATIENCE_S,
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

    def strange(self, since_ns: int) -> list[str]:
        """Tell of roles and names, seen since an instant or standing at it, that are not `HEALTHY`."""
        told = []
        for (kind, subject), value in HEALTHY.items():
            seen = self.seen(kind, subject)
            standing = [o for o in seen if o.at_ns <= since_ns][-1:]
            since = [o for o in seen if o.at_ns > since_ns]
            told += [
                f"{kind} of {subject}: {o.value}" for o in standing + since if o.value != value
            ]
        return told

    def seen(self, kind: str, subject: str) -> list[Observation]:
        observations = read_observations(self.folder / "observations.jsonl")
        return [o for o in observations if (o.kind, o.subject) == (kind, subject)]

    def await_seen(self, kind: str, subject: str, value: str) -> Observation:
        def latest() -> Observation | None:
            seen = self.seen(kind, subject)
            return seen[-1] if seen and seen[-1].value == value else None

        found = wait_until(latest, f"{kind} of {subject} to be {value}", timeout_s=PATIENCE_S)
        assert found is not None
        return found


@contextmanager
def watching(rig: Rig, folder: Path) -> Iterator[Watch]:
    run = f"run-{os.getpid()}"
    prepare(rig.access, run)
    probes = Probes(ProbesConfig(run=run), rig.access, folder)
    probes.start(PATIENCE_S)
    try:
        yield Watch(probes, folder)
    finally:
        probes.stop(PATIENCE_S)
    drop(rig.access, run)
