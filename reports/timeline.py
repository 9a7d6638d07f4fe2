"""The timeline: everything that was recorded, as lanes on one time axis, ready to be drawn.

Labels count from the moment at which the first fault was requested.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from chaos.model.operation import PROBE_ARM
from reports import capacity, lanes
from reports.attempts import ErrorKind
from reports.columns import nice_step
from reports.drawing import Axis, Box, Group, Lane, Mark, Tick, Timeline
from reports.plots import Plots
from reports.population import Populations
from reports.read import Report
from reports.words import clock_time, count

_FOCUS_BEFORE_S, _FOCUS_AFTER_S = 5.0, 15.0
_TICKS = 8
_ERROR_ROWS = 5
_ANSWER_ROWS = 8
_SEGMENTS_MERGED = 500
_COLOURS = 4


def build(report: Report, errors: Mapping[str, Sequence[ErrorKind]]) -> Timeline:
    """Lay a run out on one axis; `errors` by arm, as `attempts.errors` counted them."""
    axis = Axis(report)
    plots = Plots(report, axis, _focus(report))
    populations = Populations(report, axis, _focus(report))
    groups = [
        _faults(report, axis),
        capacity.group(report, axis),
        *(_arm(axis, arm, plots, errors.get(arm, ())) for arm in report.arms),
        _probes(plots),
        populations.group(),
        _cluster(report, axis),
    ]
    return Timeline(
        span_ms=axis.span_ms,
        zero_ms=axis.zero_ms,
        start_wall_ms=round(report.wall(axis.start_s).timestamp() * 1000),
        ticks=tuple(_ticks(report, axis)),
        bands=tuple(_bands(report, axis)),
        judged=_judged(report, axis),
        groups=tuple(group for group in groups if group.lanes),
        columns={**plots.hover, **populations.hover},
    )


def _focus(report: Report) -> list[lanes.Span]:
    """Return the stretches worth finer columns: around each fault."""
    return [
        (f.requested_s - _FOCUS_BEFORE_S, f.requested_s + _FOCUS_AFTER_S)
        for f in report.judgement.faults
        if f.requested_s is not None
    ]


def _faults(report: Report, axis: Axis) -> Group:
    note = "what was done, and the instants that the tables below name"
    found = (*_lives(report, axis), *_quiet(report, axis), *_instants(report, axis))
    return Group(key="faults", title="Fault", note=note, lanes=found)


def _quiet(report: Report, axis: Axis) -> Iterator[Lane]:
    """Yield the lane of the stretches in which traffic and probes stood still, if there are any."""
    boxes = tuple(axis.box(s) for s in lanes.quiet_segments(report.history, axis.end_s))
    if boxes:
        yield Lane(key="load", kind="segments", title="traffic and probes", boxes=boxes)


def _lives(report: Report, axis: Axis) -> Iterator[Lane]:
    """Yield a lane a step, and more where a step overlaps itself."""
    steps: dict[tuple[str, str], list[lanes.Lived]] = {}
    for life in lanes.fault_segments(report.history, axis.end_s):
        steps.setdefault((life.fault, life.place), []).append(life)
    for (fault, place), lives in steps.items():
        for number, row in enumerate(lanes.apart([life.span for life in lives])):
            boxes = [
                axis.box(verb)
                for position in row
                for verb in lives[position].verbs
                if verb.to_s > axis.start_s
            ]
            yield Lane(
                key="-".join(("fault", fault, *place.split(), str(number))),
                kind="segments",
                title=fault,
                full_title=f"{fault}: {place}" if place else fault,
                unit=place,
                boxes=tuple(boxes),
            )


def _instants(report: Report, axis: Axis) -> Iterator[Lane]:
    """Yield a lane of numbered instants, and more where faults were under way at once."""
    faults = [f for f in report.judgement.faults if any(i.at_s is not None for i in f.instants)]
    lives = {life.span[0]: life.span for life in lanes.fault_segments(report.history, axis.end_s)}
    rows = lanes.apart([lives.get(f.requested_s or 0.0, f.span) for f in faults])
    for number, row in enumerate(rows):
        marks = tuple(
            Mark(
                at=axis.ms(instant.at_s),
                number=count,
                text=f"{instant.name} {instant.subject}".strip(),
            )
            for position in row
            for count, instant in enumerate(faults[position].instants, 1)
            if instant.at_s is not None
        )
        names = ", ".join(dict.fromkeys(faults[position].name for position in row))
        places = ", ".join(dict.fromkeys(f.place or f.fault for f in map(faults.__getitem__, row)))
        yield Lane(
            key=f"instants-{number}" if number else "instants",
            kind="marks",
            title="named instants" if len(rows) == 1 else "instants",
            full_title=f"named instants of {names}",
            unit=places if len(rows) > 1 else "",
            marks=marks,
        )


def _arm(axis: Axis, arm: str, plots: Plots, errors: Sequence[ErrorKind]) -> Group:
    found: list[Lane] = []
    for place in plots.of_arm(arm):
        found += [plots.rate_lane(place), plots.latency_lane(place)]
    if errors:
        found.append(_errors(arm, axis, errors))
    return Group(key=f"arm-{arm}", title=arm, note="client arm", lanes=tuple(found))


def _errors(arm: str, axis: Axis, errors: Sequence[ErrorKind]) -> Lane:
    shown = errors[:_ERROR_ROWS]
    rest = len(errors) - len(shown)
    return Lane(
        key=f"errors-{arm}",
        kind="rows",
        title="errors met",
        unit="by attempts" + (f"; {rest} rarer below" if rest else ""),
        summary="; ".join(f"{e.label}: {count(e.attempts)} attempts" for e in shown),
        **axis.rows([(e.label, "failed", e.spans) for e in shown]),
    )


def _probes(plots: Plots) -> Group:
    found = tuple(plots.rate_lane(place) for place in plots.of_arm(PROBE_ARM))
    note = "share of each outcome; open loop, at a steady rate, in a process of their own"
    return Group(key="probes", title="Probes", note=note, lanes=found)


def _cluster(report: Report, axis: Axis) -> Group:
    found = [
        *_observed(report, axis, "role", "role · {}"),
        *_observed(report, axis, "dns", "DNS · {}", unchanged=("cluster", "reader")),
        *_observed(report, axis, "writer", "API · writer"),
        *_observed(report, axis, "status", "API · {}"),
        *_observed(report, axis, "api", "API answers", unchanged=()),
        *_observed(report, axis, "capacity", "ACU · {}", unchanged=()),
    ]
    events = tuple(
        Mark(at=axis.ms(report.history.seconds(seen.at_ns)), number=number, text=seen.value)
        for number, seen in enumerate(report.history.of_kind("event"), 1)
    )
    if events:
        found.append(Lane(key="events", kind="marks", title="RDS events", marks=events))
    note = "roles by SQL, DNS answers, and what the API told"
    return Group(key="cluster", title="Cluster", note=note, lanes=tuple(found))


def _observed(
    report: Report,
    axis: Axis,
    kind: str,
    title: str,
    *,
    unchanged: Collection[str] | None = None,
) -> Iterator[Lane]:
    """Yield one lane a subject; where `unchanged` is given, no other that never changed."""
    history = report.history
    for subject in lanes.subjects(history, kind):
        seen = [o for o in history.of_kind(kind) if o.subject == subject]
        steady = len({o.value for o in seen}) == 1
        if steady and unchanged is not None and subject not in unchanged:
            continue
        found = lanes.segments(seen, history, start_s=axis.start_s, end_s=axis.end_s)
        key, full = f"{kind}-{subject}", title.format(subject)
        name = title.format(report.short(subject))
        if lanes.flaps(found):
            merge_s = axis.span_ms / 1000 / _SEGMENTS_MERGED
            told = lanes.rows(found, merge_s=merge_s)[:_ANSWER_ROWS]
            rows = axis.rows([(report.short(r.text) or "none", r.style, r.spans) for r in told])
            summary = f"{full} changes between {', '.join(r.text for r in told)}"
            yield Lane(key=key, kind="rows", title=name, full_title=full, summary=summary, **rows)
        else:
            boxes = tuple(_named(report, axis.box(segment)) for segment in found)
            yield Lane(key=key, kind="segments", title=name, full_title=full, boxes=boxes)


def _named(report: Report, box: Box) -> Box:
    """Return a box with an instance's short name and, where it holds one, the instance's colour."""
    instances = lanes.subjects(report.history, "role")
    known = box.style == "value" and box.text in instances
    style = f"value value-{instances.index(box.text) % _COLOURS}" if known else box.style
    return replace(box, text=report.short(box.text), style=style)


def _ticks(report: Report, axis: Axis) -> Iterator[Tick]:
    step_ms = max(round(nice_step(axis.span_ms / 1000 / _TICKS) * 1000), 1)
    first = -(axis.zero_ms // step_ms)
    last = (axis.span_ms - axis.zero_ms) // step_ms
    for offset_ms in range(first * step_ms, last * step_ms + 1, step_ms):
        at = axis.zero_ms + offset_ms
        wall = clock_time(report.wall(axis.start_s + at / 1000))
        yield Tick(at=at, text=_tick_text(offset_ms), wall=wall)


def _tick_text(offset_ms: int) -> str:
    if offset_ms == 0:
        return "0"
    return f"{offset_ms / 1000:+g}".replace("-", "\N{MINUS SIGN}") + " s"


def _judged(report: Report, axis: Axis) -> Box | None:
    if report.recording.judged is None:
        return None
    a, b = (min(max(axis.ms(at_s), 0), axis.span_ms) for at_s in report.recording.judged)
    return Box(a=a, b=b)


def _bands(report: Report, axis: Axis) -> Iterator[Box]:
    """Yield when any fault was under way: from its request until its cluster had recovered."""
    lives = list(lanes.fault_segments(report.history, axis.end_s))
    for a, b in lanes.merged(life.span for life in lives):
        names = dict.fromkeys(life.fault for life in lives if a <= life.span[0] <= b)
        yield Box(a=axis.ms(a), b=axis.ms(min(b, axis.end_s)), text=", ".join(names))
