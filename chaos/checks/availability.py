"""How much of the service clients got, over the run and over each fault; and the error budget.

Two figures, since they answer two questions:

by operations   the share of the operations that were due and were served in time. One that failed,
                whose outcome is unknown, that came later than `slow_s` or was never sent (the
                client's own queue was full; no session of a probe was served) was not served.
by time         the share of the seconds outside of interruption windows (chaos.checks.windows), as
                an interval: windows have bounds. Where only some clients fail, the window counts
                whole, so this is the lower of the two. Nor does a stretch longer than `slow_s` in
                which nothing was served show any: it may be an outage that nothing fell into.

What the traffic generator may have made itself is no proof against the cluster: where an objective
would hold without it, it is unknown.

An objective (SLO) of 99.95 % over 30 days allows 0.05 % of it to be lost: 1296 s, its *error budget*
(B. Beyer et al., Site Reliability Engineering, 2016, chapters 3 and 4). What a fault used of it is the
time lost, over that: the share of operations not served times the seconds over which they were due.
It assumes that the traffic of the rest of the window is as dense as that of the run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from chaos.checks.base import StreamCheck
from chaos.checks.connecting import StreamKey
from chaos.checks.generator import homemade
from chaos.checks.injections import Injection
from chaos.checks.quiet import quiet_ns
from chaos.checks.recording import Recording, kind_of
from chaos.checks.windows import Span, Window
from chaos.clock import NS
from chaos.model.operation import Outcome
from chaos.model.verdict import Finding, Verdict

_OPERATIONS_MIN = 20
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one stream was given in an interval; instants in monotonic nanoseconds."""

    since_ns: int
    until_ns: int
    seconds: float
    """How long it is, without the stretches in which the load stood still."""
    operations: int
    """All that were due in it."""
    served: int
    late: int
    failed: int
    unknown: int
    unsent: int
    interrupted_s: float
    """Seconds of it that windows cover, or in which nothing was served: never below the truth."""
    interrupted_s_min: float
    """Seconds that were certainly interrupted."""
    silent_s: float
    """Seconds of `interrupted_s` in which nothing failed, nor was anything served."""

    @property
    def ratio(self) -> float | None:
        """The availability by operations; None where none was due."""
        return self.served / self.operations if self.operations else None

    @property
    def lost_s(self) -> float:
        """The seconds' worth of operations that were not served."""
        return 0.0 if self.ratio is None else (1 - self.ratio) * self.seconds

    def ratio_of_time(self, interrupted_s: float) -> float | None:
        """Return the availability by time; None of an interval of no length."""
        return 1 - min(1.0, interrupted_s / self.seconds) if self.seconds > 0 else None


def served(
    recording: Recording,
    stream: StreamKey,
    since_ns: int,
    until_ns: int,
    slow_s: float | None = None,
) -> Served | None:
    """Count what a stream was given in an interval; None where it left nothing at all."""
    trace = recording.trace(*stream, slow_s)
    if trace is None:
        return None
    part = trace.within(since_ns, until_ns)
    ok, bad, unsent = trace.succeeded[part], trace.bad[part], trace.dropped[part]
    outcome = trace.records["outcome"][part]
    counted = {
        "operations": np.ones(len(ok), dtype=bool),
        "served": ok & ~bad,
        "late": ok & bad,
        "failed": ~unsent & (outcome == Outcome.FAILED),
        "unknown": ~unsent & (outcome == Outcome.UNKNOWN),
        "unsent": unsent,
    }
    counts = {name: int(flags.sum()) for name, flags in counted.items()}
    for name in ("operations", "unsent"):
        counts[name] += trace.not_asked(since_ns, until_ns)
    quiet = quiet_ns(recording.quiet, since_ns, until_ns)
    windows = recording.windows(*stream, slow_s=slow_s)
    spans = [(window.from_ns, window.reached_ns) for window in windows]
    in_windows = _covered_ns(spans, since_ns, until_ns)
    spans += recording.silences(*stream, slow_s=slow_s)
    most = _covered_ns(spans, since_ns, until_ns)
    return Served(
        since_ns=since_ns,
        until_ns=until_ns,
        seconds=max(0, until_ns - since_ns - quiet) / NS,
        interrupted_s=most / NS,
        interrupted_s_min=_certain_ns(windows, since_ns, until_ns) / NS,
        silent_s=(most - in_windows) / NS,
        **counts,
    )


def _covered_ns(spans: Iterable[Span], since_ns: int, until_ns: int) -> int:
    """Return how much of an interval some stretches cover together."""
    covered, reached = 0, since_ns
    for from_ns, to_ns in sorted(spans):
        covered += max(0, min(to_ns, until_ns) - max(from_ns, reached))
        reached = max(reached, min(to_ns, until_ns))
    return covered


def _certain_ns(windows: Iterable[Window], since_ns: int, until_ns: int) -> int:
    """Return for how much of an interval windows show that nothing was served."""
    least = 0
    for window in windows:
        covered = max(0, min(window.reached_ns, until_ns) - max(window.from_ns, since_ns))
        # Of a window that reaches beyond the interval nobody knows in which part the truth lies.
        outside = window.reached_ns - window.from_ns - covered
        least += max(0, min(window.lower_ns - outside, covered))
    return least


class Availability(StreamCheck):
    """The share of one arm's operations that were served in time, and what was used of a budget.

    Without `budget_share_max` the share itself is held against `availability_min`, over the run or
    over each fault (from its request to the next one, or the end). With it, `availability_min` is an
    objective for `budget_window_days`, and judged is how much of what that allows to fail was used up.
    Unknown below 20 operations, by time where the limit lies inside the uncertainty, and where the
    traffic generator itself may have made what was not served.
    """

    unit: ClassVar[str] = "ratio"

    check: Literal["availability"] = "availability"
    availability_min: float = Field(gt=0, lt=1, description="The objective, as 0.9995.")
    over: Literal["run", "fault"] = Field(
        "run", description="The whole recording, or each fault from its request on."
    )
    by: Literal["operations", "time"] = Field(
        "operations", description="Share of operations served, or of seconds uninterrupted."
    )
    slow_s: float | None = Field(
        None,
        gt=0,
        description="A response later than this after its intended start was not served in time; "
        "absent: 1 s, for probes 0.25 s.",
    )
    budget_window_days: float | None = Field(
        None, gt=0, description="Days for which the objective is set: what it allows is the budget."
    )
    budget_share_max: float | None = Field(
        None, gt=0, description="Share of the budget that may be used up; 0.5 is half of it."
    )

    @model_validator(mode="after")
    def _a_share_is_of_a_window(self) -> Self:
        if self.budget_share_max is not None and self.budget_window_days is None:
            raise ValueError("budget_share_max needs budget_window_days: a share of which budget?")
        return self

    @property
    def limit(self) -> float:
        """The objective's bound."""
        share = self.budget_share_max
        return self.availability_min if share is None else share

    @property
    def budget_s(self) -> float | None:
        """The seconds that may be lost in the window; None without one."""
        if self.budget_window_days is None:
            return None
        return (1 - self.availability_min) * self.budget_window_days * _DAY_S

    def judge(self, recording: Recording) -> list[Finding]:
        """Return one finding for the run, or for each fault."""
        if self.over == "run":
            return [self._judge(recording, "the run", recording.since_ns, recording.until_ns)]
        if not recording.injections:
            return [self.finding(Verdict.UNKNOWN, "no fault was injected")]
        return [
            self._judge(recording, f"{one.fault} {number}", one.requested_ns, one.until_ns)
            for number, one in enumerate(recording.injections, 1)
        ]

    def _judge(self, recording: Recording, what: str, since_ns: int, until_ns: int) -> Finding:
        stream = (self.arm, self.endpoint, kind_of(self.operation))
        told = served(recording, stream, since_ns, until_ns, self.slow_s)
        if told is None:
            return self.finding(Verdict.UNKNOWN, "no operation of this kind was recorded")
        if told.operations < _OPERATIONS_MIN or not told.seconds:
            why = f"only {told.operations} operations in {what}; {_OPERATIONS_MIN} are needed"
            return self.finding(Verdict.UNKNOWN, why)
        worst_s, best_s = self._lost_s(told)
        why = f"{self._counted(told)} in {what}"
        if (budget_s := self.budget_s) is not None:
            why += f"; {self._budget(budget_s, worst_s)}"
        worst, best = self._held(worst_s, told), self._held(best_s, told)
        limit = self.availability_min if self.budget_share_max is None else -self.budget_share_max
        if worst >= limit:
            verdict = Verdict.PASS
        elif best >= limit:
            verdict = Verdict.UNKNOWN
            why += f"; the limit lies between the bounds {abs(worst):.6g} and {abs(best):.6g}"
        else:
            verdict = Verdict.FAIL
            made = homemade(recording, stream, since_ns, until_ns, self.slow_s)
            if made and self._held(self._lost_without_s(recording, told, made), told) >= limit:
                verdict, why = Verdict.UNKNOWN, f"{next(iter(made.values()))}; {why}"
        return self.finding(
            verdict,
            why,
            measured=abs(worst),
            from_s=recording.seconds(since_ns),
            to_s=recording.seconds(until_ns),
        )

    def _held(self, lost_s: float, told: Served) -> float:
        """Return what is held against the limit, more being better, when so much was lost."""
        if self.budget_share_max is not None and self.budget_s is not None:
            return -lost_s / self.budget_s
        return 1 - lost_s / told.seconds

    def _lost_without_s(
        self, recording: Recording, told: Served, made: Collection[Window]
    ) -> float:
        """Return how many seconds were lost at least, without what the generator may have made."""
        stream = (self.arm, self.endpoint, kind_of(self.operation))
        if self.by == "time":
            windows = recording.windows(*stream, slow_s=self.slow_s)
            others = [window for window in windows if window not in made]
            return _certain_ns(others, told.since_ns, told.until_ns) / NS
        trace = recording.trace(*stream, self.slow_s)
        assert trace is not None
        its_own = sum(
            int(trace.bad[part].sum())
            for part in (window.rows(trace, told.since_ns, told.until_ns) for window in made)
        )
        return (told.operations - told.served - its_own) / told.operations * told.seconds

    def _lost_s(self, told: Served) -> tuple[float, float]:
        """Return how many seconds were lost at most, and at least."""
        if self.by == "time":
            return min(told.interrupted_s, told.seconds), told.interrupted_s_min
        return told.lost_s, told.lost_s

    def _counted(self, told: Served) -> str:
        if self.by == "time":
            why = f"at most {told.interrupted_s:.3f} of {told.seconds:.3f} s were interrupted"
            silent = f", {told.silent_s:.3f} of them in which nothing failed or was served"
            return why + silent if told.silent_s else why
        not_served = told.operations - told.served
        return f"{not_served} of {told.operations} operations were not served in time"

    def _budget(self, budget_s: float, lost_s: float) -> str:
        return (
            f"{lost_s:.3f} s lost are {lost_s / budget_s:.2%} of the {budget_s:.0f} s that "
            f"{self.availability_min:.6g} over {self.budget_window_days:g} days allows"
        )


def availability_table(recording: Recording) -> list[dict[str, Any]]:
    """Return for each stream what it was given over the run and over each fault."""
    intervals: list[tuple[Injection | None, int, int]] = [
        (None, recording.since_ns, recording.until_ns),
        *((one, one.requested_ns, one.until_ns) for one in recording.injections),
    ]
    return [
        row
        for stream in sorted(recording.streams)
        for injection, since_ns, until_ns in intervals
        for row in _row(recording, stream, injection, since_ns, until_ns)
    ]


def _row(
    recording: Recording,
    stream: StreamKey,
    injection: Injection | None,
    since_ns: int,
    until_ns: int,
) -> Iterator[dict[str, Any]]:
    told = served(recording, stream, since_ns, until_ns)
    if told is None:
        return
    arm, endpoint, kind = stream
    yield {
        "arm": arm,
        "endpoint": endpoint,
        "operation": kind.name.lower(),
        "over": "run" if injection is None else "fault",
        "fault_id": None if injection is None else injection.fault_id,
        "from": recording.seconds(since_ns),
        "to": recording.seconds(until_ns),
        "seconds": told.seconds,
        "operations": told.operations,
        "served": told.served,
        "late": told.late,
        "failed": told.failed,
        "unknown": told.unknown,
        "unsent": told.unsent,
        "ratio": told.ratio,
        "interrupted_s": told.interrupted_s,
        "interrupted_s_min": told.interrupted_s_min,
        "ratio_of_time_min": told.ratio_of_time(told.interrupted_s),
        "ratio_of_time_max": told.ratio_of_time(told.interrupted_s_min),
    }
