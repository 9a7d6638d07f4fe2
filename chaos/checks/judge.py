"""The judgement of a run: every finding, the worst verdict, the named instants; `verdict.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

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
from chaos.checks.serverless import serverless
from chaos.checks.skew import skew
from chaos.checks.switching import switching
from chaos.checks.switching_topology import judge_topology
from chaos.checks.window_table import window_table
from chaos.checks.workers import workers_table
from chaos.model.history import History
from chaos.model.ledger import Ledger
from chaos.model.verdict import Finding, Verdict, worst

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

A part that cannot be made is null, and a finding says why.
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
    repeats: tuple[Mapping[str, Any], ...] = ()
    faults: tuple[Mapping[str, Any], ...] = ()
    writes: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)
    """What is shown and not judged, by its key in `verdict.json`: see `PARTS`."""

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
            "repeats": list(self.repeats),
            "faults": list(self.faults),
            "writes": dict(self.writes),
            "statistics": dict(self.statistics),
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
    parts, broken = _parts(recording)
    findings += broken
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
        repeats=tuple(repeats(recording, shown)),
        faults=tuple(_fault(recording, injection) for injection in recording.injections),
        writes=_writes(history.ledger),
        statistics={"interruption": over_repeats(shown)},
        parts=parts,
    )


def _parts(recording: Recording) -> tuple[dict[str, Any], list[Finding]]:
    """Return every part, and a finding for each that could not be made."""
    parts: dict[str, Any] = dict.fromkeys(PARTS)
    broken: list[Finding] = []
    for key, part in PARTS.items():

        def made(key: str = key, part: Callable[[Recording], Any] = part) -> list[Finding]:
            parts[key] = part(recording)
            return []

        broken += _guarded(key, made)
    return parts, broken


def _guarded(check: str, judged: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what a check found; a crash of it is a finding that proves nothing."""
    try:
        return judged()
    except Exception as error:  # noqa: BLE001 - whatever breaks a check must not break the verdict
        why = f"the check itself failed: {type(error).__name__}: {error}"
        return [Finding(check=check, verdict=Verdict.UNKNOWN, why=why)]


def _fault(recording: Recording, injection: Injection) -> dict[str, Any]:
    try:
        named: list[dict[str, Any]] = [i.as_json() for i in instants(recording, injection)]
    except Exception as error:  # noqa: BLE001 - a verdict without instants is better than none
        why = f"{type(error).__name__}: {error}"
        named = [{"name": "instants", "at_s": None, "uncertainty_s": None, "why": why}]
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
        "instants": named,
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
