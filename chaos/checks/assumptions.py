"""What must hold for a verdict to mean anything; judged in every run, written in no experiment.

A run that proves nothing must not pass: no traffic before a fault, no success after it, a fault
without effect, a recording with holes, a generator that fell behind, a run without an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from chaos.checks.arrivals import Design, designed
from chaos.checks.base import Check, StreamCheck
from chaos.checks.completeness import missing_operations, missing_probes, silent_observers
from chaos.checks.evidence import Trace
from chaos.checks.generator import judge_generators
from chaos.checks.injections import NO_EFFECT_EXPECTED
from chaos.checks.recording import Recording, kind_of
from chaos.checks.workers import judge_workers
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.operation import PROBE_ARM, Kind
from chaos.model.steps import declared_injections
from chaos.model.verdict import Finding, Verdict

PREFIX = "assumption/"
"""Begins the `check` of each finding made here."""

_LOOK_BACK_S = 2.0
_SUCCESSES_MIN = 3
# Arrivals at a slow rate are looked for over this many of their own periods.
_LOOK_BACK_PERIODS = 5

StreamKey = tuple[str, str, Kind]


def judge_assumptions(recording: Recording, checks: Sequence[Check]) -> list[Finding]:
    """Return the findings of every assumption; those that hold are told as well."""
    judges: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: _status(recording),
        lambda: _effect(recording),
        lambda: _traffic(recording, _judged_streams(recording, checks)),
        lambda: _complete(recording),
        lambda: _generators(recording),
        lambda: _steady(recording),
        lambda: _workers(recording),
    )
    return [finding for judge in judges for finding in judge()]


def _finding(name: str, verdict: Verdict, why: str, stream: StreamKey | None = None) -> Finding:
    arm, endpoint, kind = stream or ("", "", None)
    return Finding(
        check=PREFIX + name,
        verdict=verdict,
        why=why,
        arm=arm,
        endpoint=endpoint,
        operation=kind.name.lower() if kind is not None else "",
        unit="",
    )


def _status(recording: Recording) -> Iterator[Finding]:
    status = run_status(recording)
    if status == "completed":
        yield _finding("run-ended", Verdict.PASS, "the run completed")
    elif status:
        yield _finding("run-ended", Verdict.UNKNOWN, f"the run was {status}, not completed")
    else:
        yield _finding("run-ended", Verdict.UNKNOWN, "the journal ends without a status")


def run_status(recording: Recording) -> str:
    """Return how the run ended, by its journal; empty where that does not tell."""
    ends = [
        str(e.data.get("status", ""))
        for e in recording.history.events
        if e.type == "run" and e.data.get("state") == "ended"
    ]
    return ends[-1] if ends else ""


def _effect(recording: Recording) -> Iterator[Finding]:
    injected = len(recording.injections)
    declared = declared_injections(recording.history.experiment.get("method") or ())
    if not injected:
        yield _finding("effect", Verdict.UNKNOWN, "no fault was injected")
    elif injected < declared and run_status(recording) == "completed":
        why = f"only {injected} of {declared} declared injections were made"
        yield _finding("effect", Verdict.UNKNOWN, why)
    for number, injection in enumerate(recording.injections, 1):
        name = f"{injection.fault} {number}"
        if injection.effect == "taken":
            yield _finding("effect", Verdict.PASS, f"{name} took effect")
        elif injection.fault in NO_EFFECT_EXPECTED:
            yield _finding("effect", Verdict.PASS, f"{name} disturbs nothing, as it should")
        elif injection.effect == "none":
            why = f"{name} had no effect: {injection.error or 'nothing changed'}"
            yield _finding("effect", Verdict.UNKNOWN, why)
        else:
            why = f"whether {name} took effect was never established"
            yield _finding("effect", Verdict.UNKNOWN, why)


def _judged_streams(recording: Recording, checks: Sequence[Check]) -> list[StreamKey]:
    """Return the streams that an objective speaks of, else those of every arm.

    Nobody connects without need: that few did before a fault is in the bounds of their windows.
    """
    asked = {
        (check.arm, check.endpoint, kind_of(check.operation))
        for check in checks
        if isinstance(check, StreamCheck) and kind_of(check.operation) is not Kind.CONNECT
    }
    return sorted(asked) or [key for key in recording.streams if key[0] != PROBE_ARM]


def _traffic(recording: Recording, streams: Sequence[StreamKey]) -> Iterator[Finding]:
    if not recording.injections:
        return
    if not streams:
        yield _finding("traffic", Verdict.UNKNOWN, "no operation of any arm was recorded")
    for stream in streams:
        trace = recording.trace(*stream)
        if trace is None:
            yield _finding("traffic", Verdict.UNKNOWN, "no operation was recorded", stream)
            continue
        faulty = list(_gaps(recording, trace, _design(recording, stream)))
        if faulty:
            yield _finding("traffic", Verdict.UNKNOWN, "; ".join(faulty), stream)
        else:
            why = "operations succeeded before and after each fault"
            yield _finding("traffic", Verdict.PASS, why, stream)


def _design(recording: Recording, stream: StreamKey) -> Design | None:
    """Return how many arrivals a stream was to have, where its arm tells."""
    arm, endpoint, kind = stream
    if arm not in recording.declared_arms:
        return None
    told = (d for d in designed(recording, arm) if (d.endpoint, d.kind) == (endpoint, kind))
    design = next(told, None)
    return design if design and design.rate_per_s else None


def _gaps(recording: Recording, trace: Trace, design: Design | None) -> Iterator[str]:
    started, ended = (bulk.kept(c, trace.succeeded) for c in (trace.started, trace.ended))
    earlier, later = trace.intended[:-1], trace.intended[1:]
    apart = bulk.made(len(later), np.int64, lambda part: later[part] - earlier[part])
    period_s = float(np.median(apart, overwrite_input=True)) / NS if len(apart) else 0
    for number, injection in enumerate(recording.injections, 1):
        name = f"{injection.fault} {number}"
        at = injection.group.from_ns
        since = at - round(_LOOK_BACK_PERIODS * period_s * NS)
        if design is not None:
            since = design.before(at, _LOOK_BACK_PERIODS)
        since = min(since, at - round(_LOOK_BACK_S * NS))
        before = int(((ended > since) & (ended <= at)).sum())
        if before < _SUCCESSES_MIN:
            yield f"only {before} operations succeeded in the {(at - since) / NS:g} s before {name}"
        after = (started >= injection.disturbed_ns) & (started < injection.until_ns)
        if not after.any():
            yield f"nothing succeeded after {name}"


def _complete(recording: Recording) -> Iterator[Finding]:
    """Everything that the run declared is there; of a run that did not complete nobody expects it."""
    if run_status(recording) != "completed":
        return
    for name, missing, complete in (
        ("recording", missing_operations(recording), "every arm was recorded from start to end"),
        ("observers", silent_observers(recording), "every observer spoke from start to end"),
        ("probes", missing_probes(recording), "the probes tried every member without a pause"),
    ):
        clauses = "; ".join(missing)
        yield _finding(name, Verdict.UNKNOWN if clauses else Verdict.PASS, clauses or complete)


def _generators(recording: Recording) -> Iterator[Finding]:
    """The processes that send traffic kept to their schedule, and were large enough for it."""
    for name, why, slow in judge_generators(recording):
        yield _finding(name, Verdict.UNKNOWN if slow else Verdict.PASS, why)


def _steady(recording: Recording) -> Iterator[Finding]:
    """The steady state held before the method, and held again after it."""
    declared = recording.history.experiment.get("steady_state") or ()
    events = [e.data for e in recording.history.events if e.type == "steady"]
    for when in ("before", "after"):
        told = [e for e in events if e.get("when") == when]
        outside = [
            f"{e.get('probe')}: {e.get('why') or 'outside'}" for e in told if not e.get("ok")
        ]
        observed = {e.get("probe") for e in told}
        unseen = [n for s in declared if (n := f"{s['arm']} {s['operation']}") not in observed]
        if when == "after" and run_status(recording) != "completed":
            unseen = []
        if outside:
            verdict = Verdict.FAIL if when == "after" else Verdict.UNKNOWN
            why = f"no steady state {when} the method: {'; '.join(outside)}"
        elif unseen:
            verdict = Verdict.UNKNOWN
            why = f"the steady state of {', '.join(unseen)} was never observed {when} the method"
        elif told:
            verdict, why = Verdict.PASS, f"the steady state held {when} the method"
        else:
            continue
        yield Finding(check="steady-state", verdict=verdict, why=why, unit="")


def _workers(recording: Recording) -> Iterator[Finding]:
    """Every machine that sent traffic was there from start to end, and its clock ran evenly."""
    completed = run_status(recording) == "completed"
    for told in judge_workers(recording, completed=completed):
        yield _finding(*told)
