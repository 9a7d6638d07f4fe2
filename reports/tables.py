"""What was judged, as rows of words and shares, for a page and a terminal alike."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chaos.model.operation import PROBE_ARM
from chaos.model.verdict import Finding, Verdict, distinct, worst
from reports.read import FaultTold, Report
from reports.words import (
    MISSING,
    clock_time,
    count,
    duration,
    instant,
    limit,
    quantity,
    uncertainty,
)

INTERRUPTION = "interruption"
NOT_JUDGED = "not judged"
NOT_MEASURED = "not measured"
_ASSUMPTION = "assumption"
_OUTLIER = 3.0
_REASONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionRow:
    """The longest interruption of one stream: between which instants, against which limit."""

    arm: str
    endpoint: str
    operation: str
    measured: str
    at_least: str
    """The lower bound; empty where there is none to tell."""
    repeats: str
    """What the other repeats were; empty for a single one."""
    uncertainty: str
    from_: str
    to: str
    limit: str
    verdict: str
    why: str
    share: float
    """Length of the bar, 0 to 1 of the longest."""
    repeat_shares: tuple[float, ...]
    """All repeats, where there were several."""
    limit_share: float | None
    open_ended: bool
    first_of_arm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """Any other finding."""

    check: str
    about: str
    measured: str
    limit: str
    verdict: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstantRow:
    """One named instant of a fault, told from its request."""

    number: int
    name: str
    subject: str
    at: str
    wall: str
    uncertainty: str
    gap: str
    """Since the instant before it."""
    why: str
    missing: bool
    share: float | None
    """Where it lies on the table's scale; above 1 where it lies beyond."""


def verdict_word(verdict: Verdict | None) -> str:
    """Return the verdict of a finding as the report prints it."""
    return verdict.value if verdict else NOT_JUDGED


def headline(report: Report) -> str:
    """Return the one word at the top: the verdict, or the status of a run that did not complete."""
    judgement = report.judgement
    return verdict_word(judgement.verdict) if judgement.status == "completed" else judgement.status


def reasons(report: Report) -> tuple[str, ...]:
    """Return why the run is no pass: what stopped it, and the findings that carry the verdict."""
    verdict, stopped = report.judgement.verdict, tuple(_stopped(report))
    if verdict is None:
        unjudged = "The run was not judged: there is no verdict.json. `gameday judge` writes it."
        return stopped or (unjudged,)
    if verdict is Verdict.PASS:
        return stopped
    found = [f for f in report.judgement.findings if f.verdict is verdict]
    told = [": ".join(p for p in (f.check, _about(report, f), f.why) if p) for f in found]
    more = len(told) - _REASONS
    shown = (*told[:_REASONS], f"and {more} more, below") if more > 0 else tuple(told)
    return (*stopped, *shown)


def _stopped(report: Report) -> Iterator[str]:
    """Yield what kept the run from completing, by its journal."""
    for event in report.history.events:
        data = event.data
        if event.type == "guard" and data.get("refused"):
            yield f"guard {data.get('guard')} refused: {data.get('why') or 'no reason recorded'}"
        if event.type == "run" and data.get("error"):
            yield str(data["error"])


def is_interruption(finding: Finding) -> bool:
    """Tell whether a finding is a stretch of time between two instants."""
    return finding.unit == "s" and finding.check == INTERRUPTION


def interruptions(report: Report) -> tuple[InterruptionRow, ...]:
    """Return the interruption table: by arm in the experiment's order, the probes last."""
    groups = _streams(report)
    lengths = [_length(report, f) for found in groups for f in found]
    longest = max(lengths, default=0.0) or 1.0
    rows, before = [], None
    for found in groups:
        rows.append(_interruption(report, found, longest, first=found[0].arm != before))
        before = found[0].arm
    return tuple(rows)


def others(report: Report, *, assumptions: bool) -> tuple[FindingRow, ...]:
    """Return the findings that are no interruption: the assumptions, or all but those."""
    return tuple(
        FindingRow(
            check=f.check.removeprefix(f"{_ASSUMPTION}/"),
            about=_about(report, f),
            measured=quantity(f.measured, f.unit),
            limit=limit(f.limit, f.unit),
            verdict=verdict_word(f.verdict),
            why=f.why,
        )
        for f in report.judgement.findings
        if not is_interruption(f) and f.check.startswith(_ASSUMPTION) == assumptions
    )


def key_facts(report: Report) -> Iterator[tuple[str, str, bool]]:
    """Yield (arm, what its clients felt, whether that is bad), one line an arm, for the top."""
    groups = _streams(report)
    ledger = report.history.ledger
    for arm in report.arms:
        said, bad = [], False
        for found in groups:
            chosen = _worst(report, found)
            if found[0].arm == arm and chosen.measured is not None:
                said.append(f"{chosen.operation}s {_felt(report, chosen)}")
                bad = bad or report.open_ended(chosen) or _verdict(found) is Verdict.FAIL
        counts = report.writes.get(arm)
        if counts and ledger and ledger.complete:
            said.append(
                f"{count(counts.lost)} of {count(counts.acknowledged)} acknowledged writes lost, "
                f"{count(counts.duplicated)} duplicated"
            )
            bad = bad or counts.lost > 0 or counts.duplicated > 0
        yield arm, "; ".join(said) or "nothing judged", bad


def instants(report: Report, fault: FaultTold) -> tuple[InstantRow, ...]:
    """Return a fault's instants in order, each with the gap from the one before."""
    zero_s, top_s = fault_zero_s(report, fault), scale_top_s(report, fault)
    rows: list[InstantRow] = []
    before: float | None = None
    for number, told in enumerate(fault.instants, 1):
        at_s = told.at_s
        gap = None if at_s is None or before is None else at_s - before
        rows.append(
            InstantRow(
                number=number,
                name=told.name,
                subject=report.short(told.subject),
                at=MISSING if at_s is None else instant(at_s - zero_s),
                wall=MISSING if at_s is None else clock_time(report.wall(at_s), fraction=True),
                uncertainty=uncertainty(told.uncertainty_s) if at_s is not None else "",
                gap=MISSING if gap is None else f"+{duration(gap)}" if gap else "0 s",
                why=told.why or ("not recorded" if at_s is None else ""),
                missing=at_s is None,
                share=None if at_s is None else (at_s - zero_s) / top_s,
            )
        )
        before = at_s if at_s is not None else before
    return tuple(rows)


def fault_zero_s(report: Report, fault: FaultTold) -> float:
    """Return the zero that a fault's instants count from: its request."""
    return report.recording.zero_s if fault.requested_s is None else fault.requested_s


def scale_top_s(report: Report, fault: FaultTold) -> float:
    """Return the longest instant of a fault that is no outlier: the end of the table's scale."""
    zero_s = fault_zero_s(report, fault)
    after = sorted(i.at_s - zero_s for i in fault.instants if i.at_s is not None)
    while len(after) > 1 and after[-1] > _OUTLIER * max(after[-2], 0.1):
        after.pop()
    return max(after[-1], 0.001) if after else 1.0


def _streams(report: Report) -> list[list[Finding]]:
    """Return the interruptions of each stream and limit: one finding a repeat."""
    order = {arm: n for n, arm in enumerate(report.arms)}
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for found in report.judgement.findings:
        if is_interruption(found):
            place = order.get(found.arm, len(order)), found.arm
            about = _ENDPOINTS.get(found.endpoint, len(_ENDPOINTS)), found.endpoint
            bound = (found.limit is None, found.limit or 0.0)
            key = (*place, *about, found.operation, *bound, found.over)
            groups.setdefault(key, []).append(found)
    return [groups[key] for key in sorted(groups)]


_ENDPOINTS = {"cluster": 0, "reader": 1}


def _interruption(
    report: Report, repeats: list[Finding], longest: float, *, first: bool
) -> InterruptionRow:
    repeats = distinct(repeats)
    finding = _worst(report, repeats)
    open_ended, length = report.open_ended(finding), _length(report, finding)
    lengths = [_length(report, one) for one in repeats]
    unended = sum(report.open_ended(one) for one in repeats)
    bound = finding.limit
    return InterruptionRow(
        arm="probes" if finding.arm == PROBE_ARM else finding.arm,
        endpoint=report.short(finding.endpoint),
        operation=finding.operation,
        measured=_felt(report, finding),
        at_least=_at_least(report, finding),
        repeats=_repeats(lengths, unended, sum(one.measured is None for one in repeats)),
        uncertainty=uncertainty(finding.uncertainty_s) if length and not open_ended else MISSING,
        from_=report.at(finding.from_s) if length else MISSING,
        to=report.at(finding.to_s) if length else MISSING,
        limit=limit(bound, finding.unit),
        verdict=verdict_word(_verdict(repeats)),
        why=finding.why,
        share=length / longest,
        repeat_shares=tuple(x / longest for x in lengths) if len(lengths) > 1 else (),
        limit_share=None if bound is None or bound > longest else bound / longest,
        open_ended=open_ended,
        first_of_arm=first,
    )


def _at_least(report: Report, finding: Finding) -> str:
    off = finding.uncertainty_s
    if not off or finding.measured is None or report.open_ended(finding):
        return ""
    return f"at least {duration(max(_length(report, finding) - off, 0.0))}"


def _repeats(lengths: list[float], unended: int, unmeasured: int) -> str:
    if len(lengths) == 1:
        return ""
    if unended:  # of those nobody knows the length, nor of all of them the median
        return f"worst of {len(lengths)}, {unended} not recovered"
    if unmeasured:
        return f"worst of {len(lengths)}, {unmeasured} {NOT_MEASURED}"
    if not any(lengths):
        return f"in any of {len(lengths)}"
    return f"worst of {len(lengths)}, median {duration(statistics.median(lengths))}"


def _worst(report: Report, repeats: Iterable[Finding]) -> Finding:
    return max(repeats, key=lambda f: (report.open_ended(f), _length(report, f)))


def _verdict(repeats: Iterable[Finding]) -> Verdict | None:
    judged = [f.verdict for f in repeats if f.verdict]
    return worst(judged) if judged else None


def _length(report: Report, finding: Finding) -> float:
    return report.at_least_s(finding) if report.open_ended(finding) else finding.measured or 0.0


def _felt(report: Report, finding: Finding) -> str:
    if report.open_ended(finding):
        return f"not recovered within the recording (≥ {duration(report.at_least_s(finding))})"
    if finding.measured is None:
        return NOT_MEASURED
    if finding.over:
        return f"{finding.over} at most {duration(finding.measured)}"
    return f"at most {duration(finding.measured)}" if finding.measured else "not interrupted"


def _about(report: Report, finding: Finding) -> str:
    arm = "probes" if finding.arm == PROBE_ARM else finding.arm
    parts = (arm, finding.operation, report.short(finding.endpoint))
    return " · ".join(part for part in parts if part)
