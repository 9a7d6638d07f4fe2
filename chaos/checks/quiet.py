"""Stretches in which traffic and probes stood still because a fault wanted it: silence shows nothing.

They cut a recording into parts. A part ends when the load was told to pause, though what was under
way then still returned; the next one begins with the instant from which operations were due again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from chaos.checks.evidence import Trace
from chaos.checks.windows import Window, find_windows, longest_silence
from chaos.model.record import Event

_PAUSING, _RESUMED = "pausing", "resumed"


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when to when nothing was asked, in monotonic nanoseconds."""

    from_ns: int
    to_ns: int


Stretches = tuple[Stretch, ...]


def quiet_stretches(events: Iterable[Event], until_ns: int) -> Stretches:
    """Return them in order; one that the load never came out of lasts to the end."""
    found: list[Stretch] = []
    since: int | None = None
    for event in events:
        state = event.data.get("state") if event.type == "load" else None
        if state == _PAUSING and since is None:
            since = event.at_ns
        elif state == _RESUMED and since is not None:
            found.append(Stretch(since, event.at_ns))
            since = None
    if since is not None:
        found.append(Stretch(since, max(since, until_ns)))
    return tuple(found)


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


def widest_silence(trace: Trace, quiet: Stretches, since_ns: int, until_ns: int) -> tuple[int, int]:
    """Return the longest stretch of an interval that may lack service, quiet ones left out."""
    found = [
        longest_silence(part.trace, begin_ns, end_ns)
        for part in parts(trace, quiet, until_ns)
        if (begin_ns := max(since_ns, part.since_ns or since_ns))
        <= (end_ns := min(until_ns, part.until_ns))
    ]
    return max(found, key=lambda silence: silence[1] - silence[0], default=(since_ns, since_ns))
