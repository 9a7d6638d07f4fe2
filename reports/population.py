"""The lanes of connections: how many of an arm sat on which instance, in which role, over time.

Each column shows the mean number over its width, so that connections that live for one operation
count for as long as they lived. What was open at the client, while its server had been seen to start
anew, is told apart: it is broken, and nobody has noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.clock import NS
from chaos.model.connections import STILL_OPEN, Connections, addresses
from chaos.model.record import resolved_subject
from reports import charts, columns, lanes
from reports.drawing import Axis, Group, Label, Lane, Layer
from reports.lanes import Span
from reports.read import Report
from reports.words import count

CLUSTER, READER = "cluster", "reader"
COLUMNS = 600
_COLUMN_S = 0.02
_COLOURS = 4
_SEEN = 6.0
"""The least height of what is there at all: one pinned connection among fifty stays visible."""
_NONE = 1e-4
"""Less than this is what sums of a million instants leave of nothing."""
_STATES = ("astray", "broken", "unknown", "writer")
"""Of connections through the cluster endpoint, from the floor up."""
_SAID = {
    "astray": "on a reader, which refuses writes",
    "broken": "broken, unnoticed",
    "unknown": "on an instance that did not answer",
    "writer": "on the writer",
}
_WRITER, _READER = "writer", "reader"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Stay:
    """When connections were open on one instance, and when their server was gone."""

    opened: Floats
    closed: Floats
    died: Floats
    """At most `closed`: when the server was seen to have started anew."""


@dataclass(frozen=True, slots=True)
class _Population:
    """Mean numbers of connections by what they are counted under, a column each."""

    arm: str
    endpoint: str
    numbers: Mapping[str, Floats]

    @property
    def total(self) -> Floats:
        return np.asarray(sum(self.numbers.values()), dtype=np.float64)


class Populations:
    """The connections of every arm; `hover` is what the page's script reads of them."""

    def __init__(self, report: Report, axis: Axis, focus: Sequence[Span]) -> None:
        self._report, self._axis = report, axis
        self._edges = np.asarray(
            columns.edges(axis.start_s, axis.end_s, focus, columns_max=COLUMNS, least_s=_COLUMN_S)
        )
        self._ms = [axis.ms(edge) for edge in self._edges]
        self._instances = lanes.subjects(report.history, "role")
        self._book = addresses(report.history)
        self._found = list(self._populations())
        self.hover: dict[str, Any] = {"connections": self._ms} if self._found else {}

    def group(self) -> Group:
        """Return the lanes of every arm, with what its resolver answered beside them."""
        found: list[Lane] = []
        for arm in self._report.arms:
            found += [self._lane(one) for one in self._found if one.arm == arm]
            found += self._names(arm)
        note = (
            "live connections of each arm by where they really sat, and what its resolver answered"
        )
        return Group(key="connections", title="Connections", note=note, lanes=tuple(found))

    def _populations(self) -> Iterator[_Population]:
        for arm in self._report.arms:
            log = self._report.history.arms[arm]
            if not len(log.connections):
                continue
            conns = Connections.of(log, self._book)
            for endpoint in (CLUSTER, READER):
                stays = {i: self._stay(conns, endpoint, i) for i in conns.instances()}
                stays = {i: stay for i, stay in stays.items() if len(stay.opened)}
                if not stays:
                    continue
                numbers = (
                    self._by_state(stays)
                    if endpoint == CLUSTER
                    else {i: self._mean(stay.opened, stay.closed) for i, stay in stays.items()}
                )
                yield _Population(arm, endpoint, numbers)

    def _stay(self, conns: Connections, endpoint: str, instance: str) -> _Stay:
        history = self._report.history
        rows = conns.through(endpoint) & conns.on(instance)
        opened, closed = conns.opened[rows], conns.closed[rows]
        died = closed.copy()
        for seen in history.of_kind("postmaster"):
            if seen.subject == instance and seen.since_ns is not None:
                died = np.where(opened < seen.since_ns, np.minimum(died, seen.at_ns), died)
        origin, end_ns = history.origin_ns, history.origin_ns + round(self._axis.end_s * NS)

        def seconds(at_ns: NDArray[np.int64]) -> Floats:
            known = np.where(at_ns == STILL_OPEN, end_ns, at_ns)
            return np.asarray((known - origin) / NS, dtype=np.float64)

        return _Stay(seconds(opened), seconds(closed), seconds(died))

    def _by_state(self, stays: Mapping[str, _Stay]) -> dict[str, Floats]:
        """Return connections through the cluster endpoint by what their instance was meanwhile."""
        numbers = {state: np.zeros(len(self._edges) - 1) for state in _STATES}
        for instance, stay in stays.items():
            numbers["broken"] += self._mean(stay.died, stay.closed)
            for span, state in self._states(instance):
                numbers[state] += self._mean(stay.opened, stay.died, span)
        return {state: found for state, found in numbers.items() if found.any()}

    def _states(self, instance: str) -> Iterator[tuple[Span, str]]:
        """Yield what an instance was to clients that write; before it was seen, it is not known."""
        history = self._report.history
        seen = [o for o in history.of_kind("role") if o.subject == instance]
        before_s = self._axis.start_s
        state = "unknown"
        for one in seen:
            at_s = history.seconds(one.at_ns)
            yield (before_s, at_s), state
            before_s = at_s
            state = {_WRITER: "writer", _READER: "astray"}.get(one.value, "unknown")
        yield (before_s, self._axis.end_s), state

    def _mean(self, begins: Floats, ends: Floats, span: Span | None = None) -> Floats:
        """Return the mean number of connections in each column, as far as it lies in a span."""
        edges = self._edges if span is None else np.clip(self._edges, *span)
        open_s = _passed(np.sort(begins), edges) - _passed(np.sort(ends), edges)
        widths = np.maximum(np.diff(self._edges), 1e-9)
        mean = np.diff(open_s) / widths
        return np.where(mean > _NONE, mean, 0.0)

    def _lane(self, one: _Population) -> Lane:
        peers = [p for p in self._found if p.endpoint == one.endpoint]
        top = max(1.0, *(float(np.ceil(p.total.max() - 1e-6)) for p in peers))
        key = f"connections-{one.arm}-{one.endpoint}"
        said = {self._said(one, name): np.round(n, 1) for name, n in one.numbers.items()}
        self.hover[key] = {name: _short(found) for name, found in said.items() if found.any()}
        most = ", ".join(f"{n.max():g} {name}" for name, n in said.items())
        title = f"{one.arm} · {one.endpoint}"
        return Lane(
            key=key,
            kind="connections",
            title=title,
            full_title=f"connections of {one.arm} through the {one.endpoint} endpoint",
            unit="live connections",
            summary=f"connections of {title}: at most {most}",
            layers=tuple(self._layers(one, top)),
            labels=(Label(y=0, text=count(top)), Label(y=100, text="0")),
        )

    def _layers(self, one: _Population, top: float) -> Iterator[Layer]:
        """Yield areas from the whole stack down to what stands on the floor."""
        reached = np.zeros(len(self._edges) - 1)
        found: list[Layer] = []
        for name, numbers in one.numbers.items():
            height = np.where(numbers > 0, np.maximum(numbers / top * charts.FLOOR, _SEEN), 0.0)
            reached = np.minimum(reached + height, charts.FLOOR)
            style = f"seat-{name}" if one.endpoint == CLUSTER else self._colour(name)
            found.append(Layer(style=style, d=charts.area(self._ms, reached)))
        yield from (layer for layer in reversed(found) if layer.d)

    def _said(self, one: _Population, name: str) -> str:
        return _SAID[name] if one.endpoint == CLUSTER else f"on {self._report.short(name)}"

    def _colour(self, instance: str) -> str:
        place = self._instances.index(instance) if instance in self._instances else 0
        return f"seat-{place % _COLOURS}"

    def _names(self, arm: str) -> Iterator[Lane]:
        """Yield what the arm's own resolver answered for the cluster endpoint, addresses named."""
        history, axis = self._report.history, self._axis
        subject = resolved_subject(arm, CLUSTER)
        seen = [o for o in history.of_kind("resolved") if o.subject == subject]
        if not seen:
            return
        named = [
            replace(o, value=",".join(self._book.get(a, a) for a in o.value.split(",")))
            for o in seen
        ]
        boxes = []
        for segment in lanes.segments(named, history, start_s=axis.start_s, end_s=axis.end_s):
            box = axis.box(segment)
            style = box.style
            if box.text in self._instances:
                style += f" value-{self._instances.index(box.text) % _COLOURS}"
            boxes.append(replace(box, text=self._report.short(box.text), style=style))
        yield Lane(
            key=f"resolved-{arm}",
            kind="segments",
            title=f"DNS · {arm}",
            full_title=f"what the resolver of {arm} answered for the cluster endpoint",
            boxes=tuple(boxes),
        )


def _short(numbers: Floats) -> list[float | int]:
    """Return numbers as the page needs them: it is read over networks."""
    return [int(n) if n == int(n) else n for n in numbers.tolist()]


def _passed(instants: Floats, until: Floats) -> Floats:
    """Return the sum over `instants` (sorted) of the time that had passed since each by `until`."""
    sums = np.concatenate([[0.0], np.cumsum(instants)])
    number = np.searchsorted(instants, until, side="right")
    return np.asarray(number * until - sums[number])
