"""Every interruption window of a run, each told by itself: `windows` of `verdict.json`.

A window belongs to the faults in whose period (chaos.checks.injections) it had certainly begun; to
none where it began before the first of them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from chaos.checks.connecting import StreamKey
from chaos.checks.evidence import Trace
from chaos.checks.generator import generator_was_slow
from chaos.checks.recording import Recording
from chaos.checks.windows import Span, Window
from chaos.clock import NS
from chaos.model.operation import Outcome

# A service that comes and goes for an hour has a window every few seconds: the longest are enough.
_WINDOWS_MAX = 200
LATE = "late"
"""Stands for an error where an operation succeeded, later than its client would wait."""


def window_table(recording: Recording) -> dict[str, Any]:
    """Return the windows of each stream in order of time; of too many, the longest."""
    told, left_out = [], 0
    for stream in sorted({**recording.connecting, **recording.streams}):
        windows = recording.windows(*stream)
        kept = sorted(windows, key=lambda w: (w.to_ns is not None, -w.measured_s))[:_WINDOWS_MAX]
        left_out += len(windows) - len(kept)
        told += [
            _told(recording, stream, window) for window in sorted(kept, key=lambda w: w.from_ns)
        ]
    return {"list": told, "left_out": left_out}


def _told(recording: Recording, stream: StreamKey, window: Window) -> dict[str, Any]:
    arm, endpoint, kind = stream
    trace = recording.trace(*stream)
    assert trace is not None
    return {
        "arm": arm,
        "endpoint": endpoint,
        "operation": kind.name.lower(),
        "from": recording.seconds(window.from_ns),
        "to": None if window.to_ns is None else recording.seconds(window.to_ns),
        "measured": window.measured_s,
        "uncertainty_s": window.uncertainty_s,
        "preceded": window.preceded,
        "first_success": _instant(recording, window.first_success),
        "stable_success": _instant(recording, window.stable_success),
        "operations": window.bad,
        "errors": _errors(trace, window),
        "generator": generator_was_slow(
            recording,
            arm,
            window.from_ns,
            window.until_ns if window.to_ns is None else window.to_ns,
        ),
        "faults": [
            one.fault_id
            for one in recording.injections
            if one.requested_ns <= window.shown_ns < one.until_ns
        ],
    }


def _instant(recording: Recording, span: Span | None) -> dict[str, float] | None:
    """Return an instant that lies no more than its uncertainty before the time told."""
    if span is None:
        return None
    return {"at_s": recording.seconds(span[1]), "uncertainty_s": (span[1] - span[0]) / NS}


def _errors(trace: Trace, window: Window) -> dict[str, int]:
    """Count the window's bad operations by their errors, the most frequent first."""
    low = int(np.searchsorted(trace.intended, window.first_bad_ns))
    high = int(np.searchsorted(trace.intended, window.last_bad_ns, side="right"))
    part = slice(low, high)
    bad = trace.bad[part]
    late = bad & (trace.records["outcome"][part] == Outcome.OK)
    numbers = trace.records["error"][part][bad & ~late]
    counted = Counter({LATE: int(late.sum())} if late.any() else {})
    for number, times in zip(*np.unique(numbers, return_counts=True), strict=True):
        counted[trace.log.names[number] or "(no error recorded)"] += int(times)
    return dict(counted.most_common())
