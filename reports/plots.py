"""The plots of operations: rates by outcome and latencies, on scales that the arms share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chaos.model import bulk
from chaos.model.history import Stream
from chaos.model.operation import PROBE_ARM, PROBE_SLOW_S, SLOW_S
from chaos.model.verdict import Finding
from reports import charts, columns
from reports.attempts import kind_name
from reports.drawing import Axis, Box, Label, Lane, Layer
from reports.lanes import Span
from reports.read import Report
from reports.tables import is_interruption
from reports.words import count, duration

RATE_COLUMNS, LATENCY_COLUMNS = 600, 720
_LATENCY_COLUMN_S = 0.05
_RATE_COLUMN_OPERATIONS = 4
_RATE_OVER_S = 1.0
_OUTCOMES = ("ok", "late", "unknown", "failed")
_ENDPOINTS = {"cluster": 0, "reader": 1}


class Plots:
    """All streams of a run in columns; `hover` is what the page's script reads of them."""

    def __init__(self, report: Report, axis: Axis, focus: Sequence[Span]) -> None:
        self.report, self.axis = report, axis
        self.streams = [
            _sent(stream, log.names)
            for log in report.history.arms.values()
            for stream in log.streams()
        ]
        rate_edges = self._cut(focus, RATE_COLUMNS, self._rate_column_s())
        latency_edges = self._cut(focus, LATENCY_COLUMNS, _LATENCY_COLUMN_S)
        self.rate_ms = [axis.ms(edge) for edge in rate_edges]
        self.latency_ms = [axis.ms(edge) for edge in latency_edges]
        origin = report.history.origin_ns
        self.rates = [
            columns.outcomes(s.records, origin, rate_edges, late_s=_late_s(s)) for s in self.streams
        ]
        self.latencies = {
            place: columns.latencies(stream.records, origin, latency_edges)
            for place, stream in enumerate(self.streams)
            if stream.arm != PROBE_ARM
        }
        self.scale = charts.LogScale.of(list(self.latencies.values()))
        self.hover: dict[str, Any] = {"rates": self.rate_ms, "latencies": self.latency_ms}

    def of_arm(self, arm: str) -> Iterator[int]:
        """Yield the places of an arm's streams: cluster endpoint, reader endpoint, instances."""
        found = [n for n, s in enumerate(self.streams) if s.arm == arm]
        yield from sorted(found, key=lambda n: _order(self.streams[n]))

    def rate_lane(self, place: int) -> Lane:
        """Return the operations of each column by outcome: a rate, for probes a share."""
        stream, counts = self.streams[place], self.rates[place]
        probe = stream.arm == PROBE_ARM
        top = self._top(stream)
        rate = counts.per_second(_RATE_OVER_S) / top * charts.FLOOR
        full = np.full_like(rate, charts.FLOOR)
        layers = charts.stack(counts, self.rate_ms, full if probe else rate)
        labels = (Label(y=0, text=f"{top:g}/s"), Label(y=100, text="0"))
        series = {name: getattr(counts, name).tolist() for name in _OUTCOMES}
        self.hover[f"rate-{place}"] = {name: n for name, n in series.items() if any(n)}
        totals = ", ".join(f"{count(sum(n))} {name}" for name, n in series.items() if any(n))
        return Lane(
            key=f"rate-{place}",
            kind="strip" if probe else "rates",
            title=f"{kind_name(stream.kind)} · {self.report.short(stream.endpoint)}",
            full_title=_name(stream),
            unit="operations / s",
            summary=f"{stream.arm}, {_name(stream)}: {totals or 'nothing recorded'}",
            layers=tuple(Layer(style=n, d=layers[n]) for n in _OUTCOMES if layers[n]),
            labels=() if probe else labels,
            gaps=self._gaps(stream),
            windows=tuple(dict.fromkeys(self._windows(stream))),
        )

    def latency_lane(self, place: int) -> Lane:
        """Return the latency of successes from the intended start, and how long errors took."""
        stream, seen = self.streams[place], self.latencies[place]
        upper, lower = self.scale.y(seen.largest), self.scale.y(seen.smallest)
        self.hover[f"latency-{place}"] = {
            "p50": _milliseconds(seen.median),
            "max": _milliseconds(seen.largest),
            "error": _milliseconds(seen.error_max),
        }
        known = seen.largest[np.isfinite(seen.largest)]
        said = f"at most {duration(float(known.max()))}" if len(known) else "unknown: no success"
        layers = (
            Layer(style="spread", d=charts.band(self.latency_ms, upper, lower)),
            Layer(style="median", d=charts.line(self.latency_ms, self.scale.y(seen.median))),
            Layer(style="error", d=charts.line(self.latency_ms, self.scale.y(seen.error_max))),
        )
        return Lane(
            key=f"latency-{place}",
            kind="latency",
            title="latency",
            unit="min, median, max; log",
            summary=f"{stream.arm}, {_name(stream)}: latency of successes {said}",
            layers=tuple(layer for layer in layers if layer.d),
            labels=tuple(Label(y=y, text=_decade(value)) for value, y in self.scale.ticks),
            gaps=self._gaps(stream),
            windows=tuple(dict.fromkeys(self._windows(stream))),
        )

    def _cut(self, focus: Sequence[Span], most: int, least_s: float) -> columns.Floats:
        axis = self.axis
        return columns.edges(axis.start_s, axis.end_s, focus, columns_max=most, least_s=least_s)

    def _rate_column_s(self) -> float:
        """Return the narrowest column that holds some operations of every client stream."""
        span_s = self.axis.end_s - self.axis.start_s
        rates = [len(s.records) / span_s for s in self.streams if s.arm != PROBE_ARM]
        slowest = min((rate for rate in rates if rate > 0), default=1.0)
        return min(_RATE_COLUMN_OPERATIONS / slowest, span_s / 60)

    def _top(self, stream: Stream) -> float:
        pairs = zip(self.streams, self.rates, strict=True)
        about = (stream.endpoint, stream.kind)
        alike = [c for s, c in pairs if (s.endpoint, s.kind) == about and s.arm != PROBE_ARM]
        return charts.rate_top([c.per_second(_RATE_OVER_S) for c in alike])

    def _gaps(self, stream: Stream) -> tuple[Box, ...]:
        axis, origin = self.axis, self.report.history.origin_ns
        found = columns.gaps(stream.records, origin, axis.start_s, axis.end_s)
        return tuple(
            Box(a=axis.ms(a), b=axis.ms(b), note=f"nothing recorded for {duration(b - a)}")
            for a, b in found
        )

    def _windows(self, stream: Stream) -> Iterator[Box]:
        about = (stream.arm, stream.endpoint, kind_name(stream.kind))
        for finding in self.report.judgement.findings:
            if (finding.arm, finding.endpoint, finding.operation) == about:
                yield from self._window(finding)

    def _window(self, finding: Finding) -> Iterator[Box]:
        if finding.from_s is None or not is_interruption(finding) or not finding.measured:
            return
        open_ended = self.report.open_ended(finding)
        to_s = self.axis.end_s if finding.to_s is None else finding.to_s
        text = (
            f"not recovered, ≥ {duration(self.report.at_least_s(finding))}"
            if open_ended
            else f"at most {duration(finding.measured)}"
        )
        style = "open" if open_ended else ""
        yield Box(a=self.axis.ms(finding.from_s), b=self.axis.ms(to_s), text=text, style=style)


def _sent(stream: Stream, names: Sequence[str]) -> Stream:
    there = columns.sent(stream.records, names)
    if there.all():
        return stream
    return replace(
        stream,
        records=bulk.kept(stream.records, there),
        positions=bulk.kept(stream.positions, there),
    )


def _late_s(stream: Stream) -> float:
    return PROBE_SLOW_S if stream.arm == PROBE_ARM else SLOW_S


def _order(stream: Stream) -> tuple[int, str, int]:
    return _ENDPOINTS.get(stream.endpoint, len(_ENDPOINTS)), stream.endpoint, -stream.kind


def _name(stream: Stream) -> str:
    return f"{kind_name(stream.kind)} · {stream.endpoint}"


def _decade(value_s: float) -> str:
    return f"{value_s:g} s" if value_s >= 1 else f"{value_s * 1000:g} ms"


def _milliseconds(values: columns.Floats) -> list[float | None]:
    return [float(f"{v * 1000:.3g}") if np.isfinite(v) else None for v in values.tolist()]
