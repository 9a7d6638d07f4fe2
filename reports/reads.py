"""What reads showed, and what the other instances held: rows of `reads` and of the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chaos.model.ledger import ReaderLedger
from reports import naming
from reports.read import Report
from reports.words import MISSING, count, duration


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRow:
    """Reads of one arm through one endpoint that one instance answered, in one part of the run."""

    arm: str
    endpoint: str
    instance: str
    period: str
    reads: str
    lacking: str
    p99: str
    worst: str
    at: str
    back: str
    stale: bool
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """What one instance held after the run."""

    instance: str
    read_at: str
    missing: str
    extra: str
    behind: str
    state: str
    alarm: bool


def rows(report: Report) -> tuple[ReadRow, ...]:
    """Return what reads showed, the arms in the experiment's order."""
    streams = sorted(
        _told(report), key=lambda told: naming.order(report, {**told, "operation": "read"})
    )
    return tuple(
        _row(report, told, row, first=number == 0)
        for told in streams
        for number, row in enumerate(sorted(told["rows"], key=lambda row: str(row["instance"])))
    )


def furthest_back(report: Report) -> tuple[str, ...]:
    """Return a sentence for each stream in which a read went back."""
    return tuple(
        f"{told['arm']}, {report.short(told['endpoint'])}: at {report.at(back['at_s'])} a read "
        f"of {_instance(report, back['to_instance'])} had lost sight of at least "
        f"{count(back['writes'])} writes{_apart(back)} that one of "
        f"{_instance(report, back['from_instance'])} had shown by {report.at(back['seen_s'])}"
        for told in _told(report)
        if (back := told["furthest_back"]) is not None
    )


def held(report: Report) -> tuple[HeldRow, ...]:
    """Return what every instance but the writer held when the ledger was read."""
    ledger = report.history.ledger
    readers = ledger.readers if ledger and ledger.complete else {}
    return tuple(_held(report, name, told) for name, told in sorted(readers.items()))


def lost(report: Report) -> tuple[str, ...]:
    """Return a sentence for each arm that lost writes: who had acknowledged them, and when."""
    return tuple(
        f"{arm}: acknowledged by {by}, from {first} to {last}"
        for arm, told in report.writes.items()
        if told.lost and told.lost_first_ns is not None and told.lost_last_ns is not None
        for by in [_acknowledged_by(report, told.lost_by_instance)]
        for first, last in [
            (
                report.at(report.history.seconds(told.lost_first_ns)),
                report.at(report.history.seconds(told.lost_last_ns)),
            )
        ]
    )


def doubled(report: Report) -> tuple[str, ...]:
    """Return a sentence for each arm whose writes are there twice: by which attempts."""
    return tuple(
        f"{arm}: " + "; ".join(f"{number} by attempts {_list(tries)}" for number, tries in told)
        for arm, ledger in report.writes.items()
        if (told := list(ledger.duplicated_attempts.items())[:5])
    )


def sums(report: Report) -> str:
    """Return what the balances added up to after the run; empty where there are none."""
    ledger = report.history.ledger
    if ledger is None or not ledger.sums:
        return ""
    expected = ledger.sum_expected
    places = [(ledger.read_from, ledger.sums), *((n, r.sums) for n, r in ledger.readers.items())]
    wrong = [
        f"{count(value)} of {arm} on {_instance(report, name)}"
        for name, told in sorted(places)
        for arm, value in sorted(told.items())
        if value != expected
    ]
    right = count(expected) if expected is not None else MISSING
    if wrong:
        return f"Balances that should add up to {right}: {', '.join(wrong)}"
    seen = ", ".join(_instance(report, name) for name, told in sorted(places) if told)
    return f"The balances of every arm that transfers add up to {right} on {seen}"


def _told(report: Report) -> Iterator[Mapping[str, Any]]:
    yield from report.judgement.told.get("reads") or ()


def _row(
    report: Report, told: Mapping[str, Any], row: Mapping[str, Any], *, first: bool
) -> ReadRow:
    return ReadRow(
        arm=told["arm"],
        endpoint=report.short(told["endpoint"]),
        instance=_instance(report, row["instance"]),
        period=row["period"],
        reads=count(row["reads"]),
        lacking=count(row["lacking"]),
        p99=duration(row["staleness_s_p99"]),
        worst=duration(row["staleness_s_worst"]),
        at=report.at(row["at_s"]) if row["staleness_s_worst"] else MISSING,
        back=count(row["back"]),
        stale=row["lacking"] > 0,
        first=first,
    )


def _held(report: Report, name: str, told: ReaderLedger) -> HeldRow:
    if not told.complete:
        state = f"could not be read: {told.why}"
    elif told.is_writer:
        state = "a writer itself"
    elif told.caught_up:
        state = "had replayed everything"
    else:
        state = f"behind: {told.why}"
    return HeldRow(
        instance=_instance(report, name),
        read_at=report.at(report.history.seconds(told.read_at_ns)),
        missing=MISSING if told.missing is None else count(told.missing),
        extra=MISSING if told.extra is None else count(told.extra),
        behind=f"≥ {duration(told.behind_s)}" if told.behind_s is not None else MISSING,
        state=state,
        alarm=bool(told.missing or told.extra or not told.complete),
    )


def _acknowledged_by(report: Report, by: Mapping[str, int]) -> str:
    ordered = sorted(by.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{_instance(report, name)} ({count(number)})" for name, number in ordered)


def _apart(back: Mapping[str, Any]) -> str:
    return "" if back["s"] is None else f", at most {duration(back['s'])},"


def _instance(report: Report, name: str) -> str:
    return report.short(name) or "an unnamed instance"


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
