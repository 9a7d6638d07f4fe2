"""What a drawn timeline consists of: lanes of boxes, marks and paths on one axis of milliseconds.

Instants of the drawing are whole milliseconds since the recording began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports import charts
from reports.lanes import Segment, Span
from reports.read import Report
from reports.words import duration

_ROW_FLOOR = 0.76
"""A row's strokes lie this far down in it, below its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A stretch of the axis, with what it says."""

    a: int
    b: int
    text: str = ""
    style: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An instant with a number that a table explains."""

    at: int
    number: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A label of the axis, and the time of day there."""

    at: int
    text: str
    wall: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One path of a plot; `style` says what it shows."""

    style: str
    d: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label of a plot, `y` in hundredths of its height from the top."""

    y: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One lane. `kind` is how it is drawn: segments, marks, rates, strip, latency or rows."""

    key: str
    kind: str
    title: str
    full_title: str = ""
    unit: str = ""
    summary: str = ""
    """What a screen reader says of the plot."""
    boxes: tuple[Box, ...] = ()
    marks: tuple[Mark, ...] = ()
    layers: tuple[Layer, ...] = ()
    labels: tuple[Label, ...] = ()
    gaps: tuple[Box, ...] = ()
    windows: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Lanes that are shown and hidden together."""

    key: str
    title: str
    note: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All lanes and the axis; `columns` is what hovering reads."""

    span_ms: int
    zero_ms: int
    start_wall_ms: int
    ticks: tuple[Tick, ...]
    bands: tuple[Box, ...]
    judged: Box | None
    """The part of the recording that was judged."""
    groups: tuple[Group, ...]
    columns: Mapping[str, Any] = field(default_factory=dict)


class Axis:
    """Turns seconds since the run's origin into the drawing's milliseconds."""

    def __init__(self, report: Report) -> None:
        recording = report.recording
        self.start_s, self.end_s = recording.start_s, recording.end_s
        self.span_ms = max(round((self.end_s - self.start_s) * 1000), 1)
        self.zero_ms = self.ms(recording.zero_s)

    def ms(self, at_s: float) -> int:
        """Return an instant of the drawing."""
        return round((at_s - self.start_s) * 1000)

    def box(self, segment: Segment) -> Box:
        """Return a segment as drawn."""
        return Box(
            a=self.ms(segment.from_s),
            b=self.ms(segment.to_s),
            text=segment.text or "none",
            style=segment.style,
            note=segment.note or f"{segment.text}, {duration(segment.to_s - segment.from_s)}",
        )

    def rows(self, told: Sequence[tuple[str, str, Sequence[Span]]]) -> dict[str, Any]:
        """Return layers and labels of a lane of rows: (text, style, stretches) each."""
        height = 100 / max(len(told), 1)
        least = max(self.span_ms // 600, 1)
        layers, labels = [], []
        for number, (text, style, spans) in enumerate(told):
            y = round((number + _ROW_FLOOR) * height, 2)
            d = charts.strokes(spans, self.start_s, y=y, least_ms=least)
            layers.append(Layer(style=style, d=d))
            labels.append(Label(y=y, text=text))
        return {"layers": tuple(layers), "labels": tuple(labels)}
