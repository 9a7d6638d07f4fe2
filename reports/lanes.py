"""Swim-lanes: what the cluster was seen to be, cut into segments on the run's time axis.

A value is known from the observation that saw it to the last sample that still did; between that and
the observation of the next value it was changing. Where no observer was alive, nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from chaos.clock import NS
from chaos.model.history import History
from chaos.model.record import Observation
from chaos.model.stretch import quiet_stretches

CHANGING = "changing"
UNSEEN = "not observed"
AGAIN = "inject again"
_ALIVE_GAP_S = 5.0
_FLAPPING = 24
_VISIBLE_S = 0.005

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch in which one value held. `style` names its look; `note` is told on hover."""

    from_s: float
    to_s: float
    text: str
    style: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One value of a lane that changes too often for segments: the stretches in which it held."""

    text: str
    style: str
    spans: tuple[Span, ...]


def segments(
    observations: Sequence[Observation], history: History, *, start_s: float, end_s: float
) -> tuple[Segment, ...]:
    """Return the segments of one kind and subject between two instants, without holes."""
    if not observations:
        return (Segment(from_s=start_s, to_s=end_s, text=UNSEEN, style="unseen"),)
    found: list[Segment] = []
    first_s = history.seconds(observations[0].at_ns)
    if first_s > start_s:
        found.append(Segment(from_s=start_s, to_s=first_s, text=UNSEEN, style="unseen"))
    for number, seen in enumerate(observations):
        from_s = history.seconds(seen.at_ns)
        following = observations[number + 1] if number + 1 < len(observations) else None
        next_s = history.seconds(following.at_ns) if following else end_s
        to_s = history.seconds(following.since_ns) if following and following.since_ns else next_s
        to_s = min(max(to_s, from_s), next_s)
        style = _style(seen)
        found.append(Segment(from_s=from_s, to_s=to_s, text=seen.value, style=style))
        if next_s - to_s > _VISIBLE_S and following:
            note = f"{seen.value} → {following.value}, somewhere in here"
            found.append(
                Segment(from_s=to_s, to_s=next_s, text=CHANGING, style="changing", note=note)
            )
    return tuple(_clipped(_blinded(found, blind_spans(history, start_s, end_s)), start_s, end_s))


def blind_spans(history: History, start_s: float, end_s: float) -> tuple[Span, ...]:
    """Return the stretches in which no observer told that it was alive; none where none ever did."""
    alive = sorted(history.seconds(o.at_ns) for o in history.of_kind("alive"))
    if not alive:
        return ()
    cuts = [min(start_s, alive[0]), *alive, max(end_s, alive[-1])]
    return tuple((a, b) for a, b in pairwise(cuts) if b - a > _ALIVE_GAP_S)


def rows(found: Sequence[Segment], *, merge_s: float) -> tuple[Row, ...]:
    """Return one row a value, merging stretches that are less than `merge_s` apart."""
    by_value: dict[str, list[Span]] = {}
    styles: dict[str, str] = {}
    for segment in found:
        if segment.style == "changing":
            continue
        spans = by_value.setdefault(segment.text, [])
        styles[segment.text] = segment.style
        if spans and segment.from_s - spans[-1][1] < merge_s:
            spans[-1] = (spans[-1][0], segment.to_s)
        else:
            spans.append((segment.from_s, segment.to_s))
    return tuple(
        Row(text=text, style=styles[text], spans=tuple(spans))
        for text, spans in sorted(by_value.items())
    )


def flaps(found: Sequence[Segment]) -> bool:
    """Tell whether a lane changes too often to be read as segments."""
    return sum(segment.style != "changing" for segment in found) > _FLAPPING


def subjects(history: History, kind: str) -> tuple[str, ...]:
    """Return the subjects that were observed for one kind, in order."""
    return tuple(sorted({o.subject for o in history.of_kind(kind)}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """One injected fault, where its step stands, and its verbs; none where the journal is cut off."""

    fault: str
    place: str
    verbs: tuple[Segment, ...]

    @property
    def span(self) -> Span:
        """From its request to its last verb's end."""
        return min(v.from_s for v in self.verbs), max(v.to_s for v in self.verbs)


def fault_segments(history: History, end_s: float) -> Iterator[Lived]:
    """Yield each injected fault as the journal tells of it."""
    injections: dict[str, list[tuple[float, str, str]]] = {}
    names: dict[str, tuple[str, str]] = {}
    for event in history.events:
        if event.type != "fault":
            continue
        key = str(event.data.get("fault_id", ""))
        names[key] = (str(event.data.get("fault", key)), str(event.data.get("place") or ""))
        verb, state = str(event.data.get("verb")), str(event.data.get("state"))
        if event.data.get("again"):
            verb = AGAIN
        injections.setdefault(key, []).append((history.seconds(event.at_ns), verb, state))
    for key, told in injections.items():
        fault, place = names[key]
        verbs = sorted(_verbs(told, end_s), key=lambda verb: verb.from_s)
        if verbs:
            yield Lived(fault=fault, place=place, verbs=tuple(verbs))


def apart(spans: Sequence[Span]) -> list[list[int]]:
    """Return rows of positions, none of which overlap in one row; few rows, in order of their start."""
    found: list[list[int]] = []
    for position in sorted(range(len(spans)), key=lambda position: spans[position]):
        row = next((r for r in found if spans[r[-1]][1] <= spans[position][0]), None)
        if row is None:
            found.append([position])
        else:
            row.append(position)
    return found


def merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the stretches that some spans cover together, in order."""
    last: Span | None = None
    for span in sorted(spans):
        if last is not None and span[0] <= last[1]:
            last = (last[0], max(last[1], span[1]))
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last


def quiet_segments(history: History, end_s: float) -> tuple[Segment, ...]:
    """Return the stretches in which traffic and probes stood still."""
    end_ns = history.origin_ns + int(end_s * NS)
    return tuple(
        Segment(
            from_s=history.seconds(stretch.from_ns),
            to_s=history.seconds(stretch.to_ns),
            text="stands still",
            style="unseen",
            note="a fault wants the cluster quiet: nothing is asked, and silence shows nothing",
        )
        for stretch in quiet_stretches(history.events, end_ns)
    )


def _verbs(told: Iterable[tuple[float, str, str]], end_s: float) -> Iterator[Segment]:
    started: dict[str, float] = {}
    for at_s, verb, state in told:
        if state == "started":
            started[verb] = at_s
        elif verb in started:
            yield Segment(from_s=started.pop(verb), to_s=at_s, text=verb, style=_verb_style(verb))
    for verb, from_s in started.items():
        note = f"{verb} had not ended when the journal did"
        yield Segment(from_s=from_s, to_s=end_s, text=verb, style=_verb_style(verb), note=note)


def _verb_style(verb: str) -> str:
    return f"verb-{'inject' if verb == AGAIN else verb}"


def _style(seen: Observation) -> str:
    if seen.kind == "role":
        known = {"writer", "reader", "unreachable"}
        return f"role-{seen.value}" if seen.value in known else "other"
    if seen.kind == "status":
        return "settled" if seen.value == "available" else "unsettled"
    return "nothing" if not seen.value else "value"


def _blinded(found: Sequence[Segment], blind: Sequence[Span]) -> Iterator[Segment]:
    """Yield the segments with every blind stretch cut out and told as not observed."""
    for segment in found:
        from_s = segment.from_s
        for a, b in blind:
            if b <= from_s or a >= segment.to_s:
                continue
            if a > from_s:
                yield replace(segment, from_s=from_s, to_s=a)
            cut = min(b, segment.to_s)
            yield Segment(from_s=max(a, from_s), to_s=cut, text=UNSEEN, style="unseen")
            from_s = cut
        if from_s < segment.to_s:
            yield replace(segment, from_s=from_s)


def _clipped(found: Iterable[Segment], start_s: float, end_s: float) -> Iterator[Segment]:
    for segment in found:
        from_s, to_s = max(segment.from_s, start_s), min(segment.to_s, end_s)
        if from_s < to_s:
            yield replace(segment, from_s=from_s, to_s=to_s)
