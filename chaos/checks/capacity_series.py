"""What the capacity of each Serverless v2 instance was, as CloudWatch's datapoints told it.

An observation `acu` says that the capacity changed between `since_ns` and `at_ns`: the start of the last
datapoint with the old value and the end of the first one with the new. On Aurora these are up to two
minutes apart, on the test cluster two seconds. A capacity that rose and fell between two datapoints
left only their average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chaos.checks.recording import Recording
from chaos.clock import NS

_EDGE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A capacity, and between which instants it certainly was that one; monotonic nanoseconds."""

    acu: float
    changed_ns: int
    """The earliest instant at which it may have come to it."""
    shown_ns: int
    """The start of the first datapoint that tells of it."""
    from_ns: int
    """The end of that datapoint: it was there by then at the latest."""
    to_ns: int
    """The last instant for which a datapoint tells of it."""


def levels(recording: Recording) -> Mapping[str, Sequence[Level]]:
    """Return the capacities of each instance in order of time; empty where none was told."""
    found: dict[str, list[Level]] = {}
    for seen in recording.observed("acu"):
        if not seen.subject:
            continue
        resolution_ns = round(float(seen.detail.get("resolution_s", 0)) * NS)
        shown_ns = seen.at_ns - resolution_ns
        known = found.setdefault(seen.subject, [])
        acu = float(seen.value)
        if known and abs(known[-1].acu - acu) < _EDGE:
            known[-1] = replace(known[-1], to_ns=seen.at_ns)
            continue
        if known:
            known[-1] = replace(known[-1], to_ns=max(known[-1].from_ns, shown_ns))
        known.append(
            Level(
                acu=acu,
                changed_ns=shown_ns if seen.since_ns is None else seen.since_ns,
                shown_ns=shown_ns,
                from_ns=seen.at_ns,
                to_ns=seen.at_ns,
            )
        )
    return found


def refusals(recording: Recording) -> str:
    """Return why CloudWatch told nothing at some time; empty where it always did."""
    return next((o.value for o in recording.observed("acu") if not o.subject), "")


def capacity_at(series: Sequence[Level], instants: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the capacity at each instant; NaN where no datapoint tells of it.

    A change between two datapoints is put at the start of the one that first showed it.
    """
    told = np.full(len(instants), np.nan)
    for level in series:
        told[(instants >= level.shown_ns) & (instants <= level.to_ns)] = level.acu
    return told
