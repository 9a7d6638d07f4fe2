"""What each generator was like over the run, and what it never sent: shown, not judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chaos.checks.generator import cpu_share, queued_share
from chaos.checks.recording import Recording
from chaos.model.operation import PROBE_ARM


def generator_table(recording: Recording) -> list[dict[str, Any]]:
    """Return how late each arm's generator was at most, what CPU it used, what it never sent.

    An arrival that found the queue full is a failure of its own kind: no user ever carried it out,
    and its client was not served, so it counts against availability.
    """
    since_ns, until_ns = recording.since_ns, recording.until_ns
    rows = []
    for arm in recording.arms:
        told = [o for o in recording.observed("lag", arm) if o.at_ns > since_ns]
        shares = [share for o in told if (share := cpu_share(o))]
        rows.append(
            {
                "arm": arm,
                "lag_ms_max": round(recording.lag_s(arm, since_ns, until_ns) * 1e3, 1)
                if told
                else None,
                "cpu_share_max": max(shares, default=None),
                "queued_share_max": max(map(queued_share, told), default=None) if shares else None,
                "never_sent": list(_never_sent(recording, arm)),
            }
        )
    return rows


def _never_sent(recording: Recording, arm: str) -> Iterator[dict[str, Any]]:
    """Yield the arrivals of each stream that found its queue full: how many, the first, the last."""
    for of_arm, endpoint, kind in sorted(recording.streams):
        trace = recording.trace(of_arm, endpoint, kind) if of_arm == arm != PROBE_ARM else None
        if trace is None:
            continue
        refused = trace.intended[trace.refused]
        if len(refused):
            yield {
                "endpoint": endpoint,
                "operation": kind.name.lower(),
                "operations": len(refused),
                "of": len(trace.intended),
                "first": recording.seconds(int(np.min(refused))),
                "last": recording.seconds(int(np.max(refused))),
            }
