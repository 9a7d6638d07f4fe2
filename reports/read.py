"""From a run's folder to what a report tells: the judgement, the recording and its time axis.

A report only repeats what was recorded and judged. It computes no verdict; what `verdict.json` lacks
is told as missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from chaos.model.history import History, load_history
from chaos.model.ledger import ArmLedger
from chaos.model.operation import PROBE_ARM
from chaos.model.record import Event
from chaos.model.verdict import Finding, Verdict
from reports import words

TEST_CLUSTER = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A named instant of a fault, in seconds since the run's origin; None and `why` when missing."""

    name: str
    at_s: float | None
    uncertainty_s: float | None = None
    subject: str = ""
    """The arm, instance or endpoint that it is about."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultTold:
    """One injected fault as it was judged; its instants are in order, missing ones last."""

    fault: str
    place: str
    """Where its step stands, as `2 of parallel 1`; empty at the top level."""
    parameters: Mapping[str, Any]
    requested_target: str
    actual_target: str
    effect: str
    requests: int
    unanswered: str
    """Why the request may or may not have arrived; empty where it was answered."""
    instants: tuple[Instant, ...]

    @property
    def name(self) -> str:
        """The fault and where its step stands."""
        return f"{self.fault} ({self.place})" if self.place else self.fault

    @property
    def how_often(self) -> str:
        """`requested twice`; empty where once was enough."""
        times = {2: "twice"}.get(self.requests, f"{self.requests} times")
        return f"requested {times}" if self.requests > 1 else ""

    @property
    def span(self) -> tuple[float, float]:
        """Its first and its last instant; there must be one."""
        known = [i.at_s for i in self.instants if i.at_s is not None]
        return min(known), max(known)

    @property
    def requested_s(self) -> float | None:
        """When it was requested, the zero of its instants."""
        return next((i.at_s for i in self.instants if i.name == "requested"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """`verdict.json`; `verdict` is None where the run was never judged."""

    run: str
    experiment: str
    claim: str
    status: str
    verdict: Verdict | None
    cluster_kind: str
    cluster: str
    findings: tuple[Finding, ...] = ()
    faults: tuple[FaultTold, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)
    """All of `verdict.json`: a section that shows one key of it reads that key here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the time axis spans, in seconds since the run's origin; `zero_s` is its zero."""

    start_s: float
    end_s: float
    zero_s: float
    zero_name: str
    judged: tuple[float, float] | None
    """From when every worker served until they were told to stop; None where no journal tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that one run's report tells."""

    history: History
    judgement: Judgement
    recording: Recording

    def wall(self, at_s: float) -> datetime:
        """Return the UTC wall-clock time of an instant, for display."""
        return self.history.anchor.wall(self.history.origin_ns + round(at_s * 1e9))

    def at(self, at_s: float | None, missing: str = words.MISSING) -> str:
        """Return an instant as every output tells it: since the page's zero, not the run's origin."""
        return missing if at_s is None else words.instant(at_s - self.recording.zero_s)

    @property
    def arms(self) -> tuple[str, ...]:
        """The client arms in the experiment's order, without the probes."""
        declared = (self.history.experiment.get("workload") or {}).get("arms") or ()
        names = [arm.get("name") or arm.get("arm") for arm in declared]
        found = [arm for arm in self.history.arms if arm != PROBE_ARM]
        return tuple(sorted(found, key=lambda a: (names.index(a) if a in names else len(names), a)))

    @property
    def writes(self) -> Mapping[str, ArmLedger]:
        """What became of the writes of each arm; empty where the ledger was never read."""
        return self.history.ledger.arms if self.history.ledger else {}

    @property
    def duration_s(self) -> float:
        """How long the run took, by its journal, else by the recording."""
        ended = [e.at_ns for e in _runs(self.history.events, "ended")]
        return self.history.seconds(ended[-1]) if ended else self.recording.end_s

    @property
    def engine(self) -> str:
        """Engine and version of the cluster as the environment tells them."""
        environment = self.history.environment
        parts = [environment.get("engine"), environment.get("engine_version")]
        return " ".join(str(part) for part in parts if part) or "not recorded"

    def short(self, name: str) -> str:
        """Return instances' names without the cluster's before them; several with a space between."""
        prefix = f"{self.judgement.cluster}-" if self.judgement.cluster else ""
        parts = name.replace(",", ", ").split(" ")
        return " ".join(part.removeprefix(prefix) for part in parts if part)

    def open_ended(self, finding: Finding) -> bool:
        """Tell whether an interruption had not ended when the recording did."""
        return finding.from_s is not None and finding.to_s is None

    def at_least_s(self, finding: Finding) -> float:
        """Return how long an interruption that did not end had lasted when the recording ended."""
        if finding.measured is not None:
            return finding.measured
        return self.recording.end_s - (finding.from_s or self.recording.start_s)


def load(folder: Path) -> Report:
    """Read a run folder for reporting; the verdict may be missing, the recording may be short.

    Raises:
        OSError: it is no run folder.
        ValueError: one of its files is damaged; says where.
    """
    history = load_history(folder)
    judgement = _judgement(history)
    return Report(history=history, judgement=judgement, recording=_recording(history, judgement))


def _judgement(history: History) -> Judgement:
    path = history.folder / "verdict.json"
    if not path.exists():
        return _unjudged(history)
    try:
        return _judged_as(history, json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}; `gameday judge` writes it again") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: no verdict: {what}; `gameday judge` writes it again") from error


def _judged_as(history: History, told: Mapping[str, Any]) -> Judgement:
    return Judgement(
        run=str(told.get("run") or history.folder.name),
        experiment=str(told.get("experiment") or _experiment_name(history)),
        claim=str(told.get("claim") or history.experiment.get("claim") or ""),
        status=str(told.get("status") or _status(history.events)),
        verdict=Verdict(told["verdict"]) if told.get("verdict") else None,
        cluster_kind=str(told.get("cluster_kind") or ""),
        cluster=str(told.get("cluster") or ""),
        findings=tuple(Finding.from_json(f) for f in told.get("findings") or ()),
        faults=tuple(_fault(f) for f in told.get("faults") or ()),
        told=told,
    )


def _unjudged(history: History) -> Judgement:
    environment = history.environment
    return Judgement(
        run=history.folder.name,
        experiment=_experiment_name(history),
        claim=str(history.experiment.get("claim") or ""),
        status=_status(history.events),
        verdict=None,
        cluster_kind=str(environment.get("cluster_kind") or ""),
        cluster=str(environment.get("cluster") or ""),
    )


def _experiment_name(history: History) -> str:
    return str(history.experiment.get("name") or history.folder.name)


def _status(events: Sequence[Event]) -> str:
    ended = list(_runs(events, "ended"))
    return str(ended[-1].data.get("status") or "unknown") if ended else "not ended"


def _fault(told: Mapping[str, Any]) -> FaultTold:
    return FaultTold(
        fault=str(told.get("fault", "")),
        place=str(told.get("place") or ""),
        parameters=told.get("parameters") or {},
        requested_target=str(told.get("requested_target") or ""),
        actual_target=str(told.get("actual_target") or ""),
        effect=str(told.get("effect") or ""),
        requests=int(told.get("requests") or 1),
        unanswered=str(told.get("unanswered") or ""),
        instants=tuple(sorted(map(_instant, told.get("instants") or ()), key=_in_order)),
    )


def _in_order(instant: Instant) -> tuple[bool, float]:
    """Order instants by time, missing ones last."""
    return instant.at_s is None, instant.at_s or 0.0


def _instant(told: Mapping[str, Any]) -> Instant:
    about = [told.get(key) for key in ("arm", "instance", "endpoint", "subject")]
    return Instant(
        name=str(told.get("name", "")).replace("_", " "),
        at_s=told.get("at_s"),
        uncertainty_s=told.get("uncertainty_s"),
        subject=" ".join(str(subject) for subject in about if subject),
        why=str(told.get("why") or ""),
    )


def _recording(history: History, judgement: Judgement) -> Recording:
    logs = [log.operations for log in history.arms.values() if len(log.operations)]
    instants = [history.seconds(int(log["intended_ns"].min())) for log in logs]
    instants += [history.seconds(int(log["ended_ns"].max())) for log in logs]
    if not instants:
        instants = [history.seconds(o.at_ns) for o in history.observations]
        instants += [history.seconds(e.at_ns) for e in history.events]
    start_s = min(instants, default=0.0)
    end_s = max(max(instants, default=0.0), start_s + 1.0)
    requested = [f.requested_s for f in judgement.faults if f.requested_s is not None]
    requested += [
        history.seconds(e.at_ns)
        for e in history.events
        if e.type == "fault" and e.data.get("verb") == "inject" and e.data.get("state") == "started"
    ]
    zero_s = requested[0] if requested else start_s
    name = "the fault was requested" if requested else "the recording began"
    return Recording(
        start_s=start_s, end_s=end_s, zero_s=zero_s, zero_name=name, judged=_judged(history, end_s)
    )


def _judged(history: History, end_s: float) -> tuple[float, float] | None:
    """Return the phase in which streams must be complete, by the journal."""
    phases = [e for e in history.events if (e.type, e.data.get("phase")) == ("phase", "recording")]
    at_s = {str(e.data.get("state")): history.seconds(e.at_ns) for e in phases}
    return (at_s["started"], at_s.get("ended", end_s)) if "started" in at_s else None


def _runs(events: Sequence[Event], state: str) -> Iterator[Event]:
    return (e for e in events if e.type == "run" and e.data.get("state") == state)
