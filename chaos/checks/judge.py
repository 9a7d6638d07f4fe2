"""The judgement of a run: every finding, the worst verdict, the named instants; `verdict.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeVar

from chaos.checks.assumptions import judge_assumptions, run_status
from chaos.checks.availability import availability_table
from chaos.checks.base import Check
from chaos.checks.brownouts import brownout_table
from chaos.checks.connections import connections
from chaos.checks.differences import difference_table
from chaos.checks.generator_table import generator_table
from chaos.checks.information import Felt, felt, inform
from chaos.checks.injections import Injection
from chaos.checks.instants import instants
from chaos.checks.integrity import judge_integrity
from chaos.checks.latency import latency_table
from chaos.checks.poisoned_pool import poisoned
from chaos.checks.poisoned_pool_check import inform as inform_of_pools
from chaos.checks.read_table import inform_reads, reads_shown
from chaos.checks.recording import Recording
from chaos.checks.repeats import over_repeats, repeats
from chaos.checks.retries import retry_table
from chaos.checks.scene import Instant
from chaos.checks.serverless import serverless
from chaos.checks.skew import skew
from chaos.checks.switching import switching
from chaos.checks.switching_topology import judge_topology
from chaos.checks.window_table import window_table
from chaos.checks.workers import workers_table
from chaos.model.history import History
from chaos.model.ledger import Ledger
from chaos.model.verdict import Finding, Verdict, worst

T = TypeVar("T")

_WRITES = ("acknowledged", "lost", "duplicated", "unknown_applied", "unknown_lost")

PARTS: Mapping[str, Callable[[Recording], Any]] = {
    "arms": difference_table,
    "windows": window_table,
    "brownouts": brownout_table,
    "availability": availability_table,
    "retries": retry_table,
    "connections": connections,
    "poisoned": poisoned,
    "switching": switching,
    "skew": skew,
    "workers": workers_table,
    "reads": reads_shown,
    "serverless": serverless,
    "latency": latency_table,
    "generators": generator_table,
}
"""What `verdict.json` shows beside the judgement: each key, and the function whose JSON it holds.

A part that cannot be made is null, and a finding says why; so are `repeats` and `statistics`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a run showed. `verdict` is the worst of the judged findings."""

    run: str
    experiment: str
    claim: str
    status: str
    verdict: Verdict
    cluster_kind: str
    cluster: str
    origin: str
    """Wall-clock time of second 0, ISO 8601."""
    findings: tuple[Finding, ...]
    faults: tuple[Mapping[str, Any], ...] = ()
    writes: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)
    """What is shown and not judged, by its key in `verdict.json`: repeats, statistics, `PARTS`."""

    def as_json(self) -> dict[str, Any]:
        """Return it as `verdict.json` holds it."""
        return {
            "run": self.run,
            "experiment": self.experiment,
            "claim": self.claim,
            "status": self.status,
            "verdict": self.verdict.value,
            "cluster_kind": self.cluster_kind,
            "cluster": self.cluster,
            "origin": self.origin,
            "findings": [finding.as_json() for finding in self.findings],
            "faults": list(self.faults),
            "writes": dict(self.writes),
            **self.parts,
        }


def judge(history: History, objectives: Sequence[Check]) -> Judgement:
    """Judge a recorded run; the same history and objectives always give the same judgement.

    A check that crashes is `unknown` with its error, never a pass. Findings come in this order:
    objectives, what must be true of any database, assumptions, what no objective speaks of.
    """
    recording = Recording(history)
    judged = [
        finding
        for check in objectives
        for finding in _guarded(check.check, lambda check=check: check.judge(recording))  # type: ignore[misc]
    ]
    if not judged:
        why = "the experiment has no objective"
        judged = [Finding(check="objectives", verdict=Verdict.UNKNOWN, why=why)]
    judged += _guarded("integrity", lambda: judge_integrity(recording, objectives))
    judged += _guarded("assumptions", lambda: judge_assumptions(recording, objectives))
    shown: list[Felt] = []

    def informed() -> list[Finding]:
        shown.extend(felt(recording))
        return inform(recording, objectives, shown)

    findings = [*judged, *_guarded("windows", informed)]
    findings += _guarded("poisoned-pool", lambda: inform_of_pools(recording, objectives))
    findings += _guarded("reads", lambda: inform_reads(recording, objectives))
    findings += _guarded("topology", lambda: judge_topology(recording))
    made: dict[str, Callable[[], Any]] = {
        "repeats": lambda: repeats(recording, shown),
        "statistics": lambda: {"interruption": over_repeats(shown)},
        **{key: partial(part, recording) for key, part in PARTS.items()},
    }
    parts: dict[str, Any] = {}
    for key, make in made.items():
        parts[key], broken = _made(key, make)
        findings += broken
    faults = []
    for injection in recording.injections:
        named, broken = _made("instants", partial(instants, recording, injection))
        findings += broken
        faults.append(_fault(injection, named))
    environment, experiment = history.environment, history.experiment
    return Judgement(
        run=str(environment.get("run") or history.folder.name),
        experiment=str(experiment.get("name", "")),
        claim=str(experiment.get("claim", "")),
        status=run_status(recording) or "unknown",
        verdict=worst(f.verdict for f in findings if f.verdict is not None),
        cluster_kind=str(environment.get("cluster_kind", "")),
        cluster=str(environment.get("cluster", "")),
        origin=history.anchor.wall(history.origin_ns).isoformat(),
        findings=tuple(findings),
        faults=tuple(faults),
        writes=_writes(history.ledger),
        parts=parts,
    )


def _guarded(check: str, judged: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what a check found; a crash of it is a finding that proves nothing."""
    found, broken = _made(check, judged)
    return broken if found is None else found


def _made(check: str, make: Callable[[], T]) -> tuple[T | None, list[Finding]]:
    """Return what was made; where that crashed None, and a finding that proves nothing."""
    try:
        return make(), []
    except Exception as error:  # noqa: BLE001 - whatever breaks a check must not break the verdict
        why = f"the check itself failed: {type(error).__name__}: {error}"
        return None, [Finding(check=check, verdict=Verdict.UNKNOWN, why=why)]


def _fault(injection: Injection, named: Sequence[Instant] | None) -> dict[str, Any]:
    """Return an injection with its instants; `None`: they could not be named, a finding says why."""
    return {
        "fault_id": injection.fault_id,
        "fault": injection.fault,
        "step": injection.step,
        "place": injection.place,
        "repeat": injection.repeat,
        "parameters": dict(injection.parameters),
        "requested_target": injection.requested_target,
        "actual_target": injection.actual_target,
        "effect": injection.effect or "unknown",
        "error": injection.error,
        "requests": injection.requests,
        "unanswered": injection.unanswered,
        "instants": None if named is None else [one.as_json() for one in named],
    }


def _writes(ledger: Ledger | None) -> dict[str, Any]:
    """Return what became of all writes; totals that an incomplete ledger cannot know are None."""
    ledger = ledger or Ledger(why="the table was never read")
    counted = ledger.arms.values()
    totals = {
        name: sum(getattr(counts, name) for counts in counted) if ledger.complete else None
        for name in _WRITES
    }
    return {
        **totals,
        "complete": ledger.complete,
        "why": ledger.why,
        "read_from": ledger.read_from,
        "arms": {arm: asdict(counts) for arm, counts in ledger.arms.items()},
        "readers": {instance: asdict(told) for instance, told in ledger.readers.items()},
        "sums": dict(ledger.sums),
        "sum_expected": ledger.sum_expected,
    }
