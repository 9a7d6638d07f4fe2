"""The same facts for a terminal: verdict, interruptions, writes, faults, and where the report is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports import differences, latency, retries, tables
from reports.html import REPORT_NAME
from reports.read import TEST_CLUSTER, FaultTold, Report, load
from reports.words import clean, count, duration

_STYLES = {"pass": "bold green", "fail": "bold red", "unknown": "bold yellow"}
_FAULTS = 2
_SIGNS = {"pass": "✓", "fail": "✕", "unknown": "?"}


def summary(folder: Path) -> RenderableType:
    """Return what a run showed, for a rich console; plain text where that has no colour.

    Raises:
        OSError: it is no run folder.
        ValueError: one of its files is damaged; says where.
    """
    report = load(folder)
    parts: list[RenderableType] = [*_top(report), Text()]
    for title, table in (
        ("What clients felt", _interruptions(report)),
        ("Writes", _writes(report)),
        ("Checks", _findings(report)),
    ):
        if table.row_count:
            parts += [Text(title, style="bold"), Padding(table, (0, 0, 1, 2))]
        if title == "What clients felt":
            parts += [*_ledger(report), *_never_sent(report)]
    faults = report.judgement.faults
    for fault in faults[:_FAULTS]:
        parts += [_fault_line(fault), Padding(_instants(report, fault), (0, 0, 1, 2))]
    if len(faults) > _FAULTS:
        rest = f"{len(faults)} faults in all; the others are in the report\n"
        parts.append(Text(rest, style="dim"))
    parts.append(_where(report))
    return Group(*parts)


def _top(report: Report) -> Iterator[RenderableType]:
    judgement, word = report.judgement, tables.headline(report)
    line = Text.assemble(_verdict(word, upper=True), "  ", (clean(judgement.experiment), "bold"))
    cluster = f"  on {judgement.cluster}, {report.engine}, {duration(report.duration_s)}"
    yield line.append(clean(cluster))
    if judgement.cluster_kind == TEST_CLUSTER:
        yield Text("embedded test cluster: durations are modelled, not AWS's", style="yellow")
    if judgement.verdict and word != judgement.verdict.value:
        yield Text(f"the run did not complete; what it recorded: {judgement.verdict.value}")
    if judgement.claim:
        yield Text(clean(judgement.claim), style="italic")
    for why in tables.reasons(report):
        yield Text(f"  {clean(why)}", style=_STYLES.get(word, "bold"))


def _interruptions(report: Report) -> Table:
    table = _table(
        "Arm", "Operation", "Interrupted", ">Uncertainty", ">From", ">To", ">Limit", "!Verdict"
    )
    before = ""
    for row in tables.interruptions(report):
        if row.measured == tables.NOT_MEASURED:  # a pool that had no need to connect, say
            continue
        first, before = row.arm != before, row.arm
        told = row.measured.replace(" within the recording", "")
        measured = Text(told, style="bold red" if row.open_ended else "bold", no_wrap=True)
        if row.repeats:
            measured.append("\n" + row.repeats.replace(", ", "\n"), style="not bold dim")
        table.add_row(
            _cell(row.arm) if first else "",
            _cell(f"{row.operation} {row.endpoint}"),
            measured,
            row.uncertainty,
            row.from_,
            "not seen" if row.open_ended else row.to,
            row.limit,
            "" if row.verdict == tables.NOT_JUDGED else _verdict(row.verdict),
        )
    return table


def _ledger(report: Report) -> Iterator[RenderableType]:
    """Yield what the users of each arm saw and retries absorbed, then the arms side by side."""
    told = [(arm, retries.line(report, arm)) for arm in report.arms]
    said = [f"{arm}: {line}" for arm, line in told if line]
    for line in (*said, *differences.lines(report)):
        yield Padding(Text(clean(line)), (0, 0, 0, 2))
    if said:
        yield Text()


def _never_sent(report: Report) -> Iterator[RenderableType]:
    """Yield what the generators themselves refused, an arm a line."""
    for row in latency.generators(report):
        if row.never_sent:
            told = f"{row.arm} never sent all: {'; '.join(row.never_sent)}"
            yield Padding(Text(clean(told), style="bold red"), (0, 0, 1, 2))


def _writes(report: Report) -> Table:
    table = _table(
        "Arm", ">Acknowledged", ">Lost", ">Duplicated", ">Unknown, applied", ">Unknown, not applied"
    )
    ledger = report.history.ledger
    if ledger and not ledger.complete:
        table.add_row(_cell(f"not accounted for: {ledger.why}"))
        return table
    for arm, told in report.writes.items():
        numbers = (told.acknowledged, told.lost, told.duplicated)
        table.add_row(
            _cell(arm),
            *(count(n) for n in (*numbers, told.unknown_applied, told.unknown_lost)),
            style="bold red" if told.lost or told.duplicated else "",
        )
    return table


def _findings(report: Report) -> Table:
    table = _table("!Verdict", "!Check", "!About", "Why")
    rows = tables.others(report, assumptions=False)
    doubtful = [r for r in tables.others(report, assumptions=True) if r.verdict != "pass"]
    for row in (*rows, *doubtful):
        cells = (row.check, row.about, row.why)
        table.add_row(_verdict(row.verdict), *(_cell(text) for text in cells))
    return table


def _fault_line(fault: FaultTold) -> Text:
    effect = {"taken": "took effect", "none": "had no effect"}
    text = f"{fault.name}: asked for {fault.requested_target or 'any target'}"
    text += f", hit {fault.actual_target or 'nothing known'}"
    said = effect.get(fault.effect, "whether it took effect is not known")
    often = f", {fault.how_often}" if fault.how_often else ""
    return Text(clean(f"{text}; {said}{often}"), style="bold")


def _instants(report: Report, fault: FaultTold) -> Table:
    table = _table(">Since request", "Instant", ">Uncertainty", ">Gap")
    for row in tables.instants(report, fault):
        name = f"{row.name} {row.subject}".strip()
        if row.missing:
            table.add_row("missing", _cell(f"{name} ({row.why})"), "", "", style="dim")
        else:
            table.add_row(row.at, _cell(name), row.uncertainty, row.gap)
    return table


def _where(report: Report) -> Text:
    path = report.history.folder / REPORT_NAME
    if path.exists():
        return Text.assemble("Report: ", (str(path), "bold"))
    return Text(f"No report yet: `gameday report {report.history.folder}` writes it")


def _table(*headings: str) -> Table:
    """Return an empty table. A heading that begins with ">" is one of numbers; "!" never wraps."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim underline")
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(
            heading.lstrip("!>"),
            justify="right" if right else "left",
            no_wrap=heading[0] in "!>",
        )
    return table


def _verdict(word: str, *, upper: bool = False) -> Text:
    sign = _SIGNS.get(word, "·")
    return Text(f"{sign} {word.upper() if upper else word}", style=_STYLES.get(word, "bold"))


def _cell(text: str) -> str:
    return escape(clean(text))
