"""A recording cut by the stretches in which the load stood still: silence in them shows nothing.

They cut it into parts. A part ends when the load was told to pause, though what was under
way then still returned; the next one begins with the instant from which operations were due again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chaos.checks.evidence import Trace
from chaos.checks.windows import Span, Window, find_windows, longest_silence, silences
from chaos.model.stretch import Stretch

Stretches = tuple[Stretch, ...]


def quiet_ns(quiet: Stretches, since_ns: int, until_ns: int) -> int:
    """Return how much of an interval was quiet."""
    return sum(max(0, min(s.to_ns, until_ns) - max(s.from_ns, since_ns)) for s in quiet)


@dataclass(frozen=True, slots=True)
class Part:
    """A stream's operations between two quiet stretches; `since_ns` is None for the first part."""

    trace: Trace
    since_ns: int | None
    until_ns: int

    def windows(self, stable_s: float) -> tuple[Window, ...]:
        """Return its interruption windows: none reaches over a quiet stretch."""
        return find_windows(
            self.trace, stable_s=stable_s, until_ns=self.until_ns, since_ns=self.since_ns
        )


def parts(trace: Trace, quiet: Stretches, until_ns: int) -> tuple[Part, ...]:
    """Cut a stream's operations where the load stood still; `until_ns` ends the recording."""
    if not quiet:
        return (Part(trace, None, until_ns),)
    cuts = [int(np.searchsorted(trace.intended, stretch.to_ns)) for stretch in quiet]
    firsts, lasts = [0, *cuts], [*cuts, len(trace.intended)]
    begins: list[int | None] = [None, *(stretch.to_ns for stretch in quiet)]
    ends = [*(stretch.from_ns for stretch in quiet), until_ns]
    return tuple(
        Part(trace.rows(first, last), since_ns, end_ns)
        for first, last, since_ns, end_ns in zip(firsts, lasts, begins, ends, strict=True)
    )


def widest_silence(trace: Trace, quiet: Stretches, since_ns: int, until_ns: int) -> Span:
    """Return the longest stretch of an interval that may lack service, quiet ones left out."""
    found = [longest_silence(*part) for part in _within(trace, quiet, since_ns, until_ns)]
    return max(found, key=lambda silence: silence[1] - silence[0], default=(since_ns, since_ns))


def long_silences(trace: Trace, quiet: Stretches, since_ns: int, until_ns: int) -> tuple[Span, ...]:
    """Return every stretch of an interval without service for longer than an operation may take."""
    return tuple(
        silence for part in _within(trace, quiet, since_ns, until_ns) for silence in silences(*part)
    )


def _within(
    trace: Trace, quiet: Stretches, since_ns: int, until_ns: int
) -> Iterator[tuple[Trace, int, int]]:
    for part in parts(trace, quiet, until_ns):
        begin_ns = max(since_ns, part.since_ns or since_ns)
        if begin_ns <= (end_ns := min(until_ns, part.until_ns)):
            yield part.trace, begin_ns, end_ns
