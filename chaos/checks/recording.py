"""What checks ask of a history, computed once: injections, streams, windows, states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chaos.checks.connecting import StreamKey, connect_streams
from chaos.checks.evidence import Trace
from chaos.checks.injections import Injection, find_injections
from chaos.checks.quiet import Stretches, long_silences, parts
from chaos.checks.reads import SeenReads, seen_reads
from chaos.checks.windows import Span, Window
from chaos.clock import NS
from chaos.model.history import History, OperationLog, Stream
from chaos.model.operation import PROBE_ARM, PROBE_SLOW_S, SLOW_S, Kind
from chaos.model.record import Observation
from chaos.model.stretch import quiet_stretches

API, PROBES = "api", "probes"
"""The observers: one asks the RDS API, the other the instances and the name server."""
STABLE_S = 2.0
"""Only good operations for this long end a window. Longer than the pauses between the parts of one
failover (a name that flaps, a reconnect), shorter than the pause between two injections."""


class Recording:
    """A history and what follows from it; computed when first asked for, then kept."""

    def __init__(self, history: History) -> None:
        """Take a history, which is never changed."""
        self.history = history
        self._streams: dict[tuple[str, str, Kind], Stream] | None = None
        self._traces: dict[tuple[str, str, Kind, float], Trace] = {}
        self._windows: dict[tuple[str, str, Kind, float, float], tuple[Window, ...]] = {}
        self._silences: dict[tuple[str, str, Kind, float], tuple[Span, ...]] = {}

    @cached_property
    def since_ns(self) -> int:
        """The start of the recording: from when every worker served, else the first operation."""
        told = self._phase("recording", "started")
        if told is not None:
            return told
        return min((int(ops["intended_ns"].min()) for ops in self._logs()), default=self._first())

    @cached_property
    def until_ns(self) -> int:
        """The end of the recording: when the workers were told to stop, else the last operation."""
        told = self._phase("recording", "ended")
        if told is not None:
            return told
        return max((int(ops["ended_ns"].max()) for ops in self._logs()), default=self._first())

    @cached_property
    def injections(self) -> tuple[Injection, ...]:
        """Every injection that was begun, in order."""
        return find_injections(self.history.events, self.until_ns)

    @cached_property
    def quiet(self) -> Stretches:
        """The stretches in which traffic and probes stood still, in order."""
        return quiet_stretches(self.history.events, self.until_ns)

    @cached_property
    def reads(self) -> Mapping[tuple[str, str], SeenReads]:
        """The reads of arms that show what they wrote, by arm and endpoint."""
        return seen_reads(self.history)

    @property
    def streams(self) -> Mapping[tuple[str, str, Kind], Stream]:
        """Every stream by arm, endpoint and kind."""
        if self._streams is None:
            self._streams = {
                (s.arm, s.endpoint, s.kind): s
                for log in self.history.arms.values()
                for s in log.streams()
            }
        return self._streams

    @cached_property
    def connecting(self) -> Mapping[StreamKey, tuple[OperationLog, Stream]]:
        """The connections that clients tried to open, as streams, each with the log it is of."""
        return connect_streams(self.history.arms)

    @property
    def declared_arms(self) -> tuple[str, ...]:
        """The arms of the workload, in the experiment's order."""
        declared = (self.history.experiment.get("workload") or {}).get("arms") or ()
        return tuple(str(arm.get("name") or arm["arm"]) for arm in declared)

    @property
    def arms(self) -> tuple[str, ...]:
        """The declared arms, then others that left operations; without the probes."""
        known = dict.fromkeys((*self.declared_arms, *self.history.arms))
        return tuple(arm for arm in known if arm != PROBE_ARM)

    @property
    def members(self) -> tuple[str, ...]:
        """The instances of the cluster before the run, as its environment names them."""
        return tuple(self.history.environment.get("members") or ())

    def trace(
        self, arm: str, endpoint: str, kind: Kind, slow_s: float | None = None
    ) -> Trace | None:
        """Return one stream's operations, or None where there were none.

        Of the kind `CONNECT` it is the connections that clients tried to open.
        """
        stream = self.streams.get((arm, endpoint, kind))
        log = self.history.arms.get(arm)
        if stream is None:
            log, stream = self.connecting.get((arm, endpoint, kind), (None, None))
        if log is None or stream is None:
            return None
        slow_s = default_slow_s(arm) if slow_s is None else slow_s
        key = (arm, endpoint, kind, slow_s)
        if key not in self._traces:
            self._traces[key] = Trace.of(log, stream, slow_s)
        return self._traces[key]

    def windows(
        self,
        arm: str,
        endpoint: str,
        kind: Kind,
        *,
        slow_s: float | None = None,
        stable_s: float = STABLE_S,
    ) -> tuple[Window, ...]:
        """Return the interruption windows of one stream; none where it has no operations."""
        trace = self.trace(arm, endpoint, kind, slow_s)
        if trace is None:
            return ()
        key = (arm, endpoint, kind, trace.slow_ns / NS, stable_s)
        if key not in self._windows:
            self._windows[key] = tuple(
                window
                for part in parts(trace, self.quiet, self.until_ns)
                for window in part.windows(stable_s)
            )
        return self._windows[key]

    def silences(
        self, arm: str, endpoint: str, kind: Kind, *, slow_s: float | None = None
    ) -> tuple[Span, ...]:
        """Return the stretches, longer than an operation may take, in which nothing was served."""
        trace = self.trace(arm, endpoint, kind, slow_s)
        if trace is None:
            return ()
        key = (arm, endpoint, kind, trace.slow_ns / NS)
        if key not in self._silences:
            since_ns = self.asked_ns(arm, endpoint, kind)
            self._silences[key] = long_silences(trace, self.quiet, since_ns, self.until_ns)
        return self._silences[key]

    def asked_ns(self, arm: str, endpoint: str, kind: Kind) -> int:
        """Return from when a stream was to be served: who joins is probed only then."""
        trace = self.trace(arm, endpoint, kind)
        if arm != PROBE_ARM or trace is None or not len(trace.intended):
            return self.since_ns
        return max(self.since_ns, int(trace.intended[0]))

    def seconds(self, instant_ns: int) -> float:
        """Return an instant in seconds since the run's origin."""
        return self.history.seconds(instant_ns)

    def observed(self, kind: str, subject: str | None = None) -> Iterator[Observation]:
        """Yield the observations of one kind, of one subject if given, in order."""
        return (
            o for o in self.history.observations if o.kind == kind and subject in {None, o.subject}
        )

    def state(self, kind: str, at_ns: int) -> dict[str, str]:
        """Return what was last seen of each subject by an instant."""
        return {o.subject: o.value for o in self.observed(kind) if o.at_ns <= at_ns}

    def sampled_ns(self, observer: str) -> list[int]:
        """Return the instants at which an observer told of more samples than before, in order."""
        told, count = [], 0
        for observation in self.observed("alive", observer):
            if int(observation.value) > count:
                told.append(observation.at_ns)
            count = int(observation.value)
        return told

    def lag_s(self, arm: str, since_ns: int, until_ns: int) -> float:
        """Return how late the process that generates an arm's operations was itself at worst.

        Each observation of it speaks of the time from its `since_ns` to its `at_ns`. The probes
        tell it with their `alive` (`lag_s_max`), every other arm in `lag` (milliseconds).
        """
        if arm == PROBE_ARM:
            told = [
                (o, float(o.detail["lag_s_max"]))
                for o in self.observed("alive")
                if "lag_s_max" in o.detail
            ]
        else:
            told = [(o, float(o.value) / 1e3) for o in self.observed("lag", arm)]
        return max(
            (
                lag_s
                for o, lag_s in told
                if o.at_ns >= since_ns and (o.since_ns or o.at_ns - NS) <= until_ns
            ),
            default=0.0,
        )

    def _logs(self) -> Iterator[NDArray[np.void]]:
        return (log.operations for log in self.history.arms.values() if len(log.operations))

    def _first(self) -> int:
        return min((e.at_ns for e in self.history.events), default=self.history.origin_ns)

    def _phase(self, phase: str, state: str) -> int | None:
        found = (
            e.at_ns
            for e in self.history.events
            if e.type == "phase" and e.data.get("phase") == phase and e.data.get("state") == state
        )
        return next(found, None)


def default_slow_s(arm: str) -> float:
    """Return the latency beyond which an operation of an arm (or of the probes) is bad."""
    return PROBE_SLOW_S if arm == PROBE_ARM else SLOW_S


def kind_of(operation: str) -> Kind:
    """Return the kind of operation that a definition calls `write`, say."""
    return Kind[operation.upper()]


def in_period(windows: Iterable[Window], injection: Injection) -> tuple[Window, ...]:
    """Return the windows that were open at some time in the period of an injection."""
    return tuple(
        w
        for w in windows
        if (w.to_ns is None or w.to_ns >= injection.requested_ns)
        and w.first_bad_ns < injection.until_ns
    )
