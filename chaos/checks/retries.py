"""The retry ledger: what users saw, what retries absorbed and what it cost; `retries` of `verdict.json`.

For each arm, endpoint and kind of operation, over the run and over each injection (operations that
were due from its request to the end of its period):

first attempt   succeeded at once
absorbed        succeeded after attempts that did not. The time that retries took lies between
                `extra_s_min`, from the first start to the end of the last failed attempt, and
                `extra_s`, until the success returned
seen            failed or left unknown for the user, after retries or without any; what was never
                sent (`unsent`) is not among them, nor among their errors
waited          what attempts waited for a connection: in the pool's queue, and connecting
amplification   attempts for each operation that was sent: what the database got to do
applied twice   by the ledger of writes, of the whole run
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.checks.connecting import StreamKey
from chaos.checks.evidence import Flags, Trace
from chaos.checks.order_statistics import nearest_rank
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model import bulk
from chaos.model.history import Records
from chaos.model.operation import PROBE_ARM, Outcome

WAITED_S = 0.01
"""A wait for a connection above this is told: a free one is had in well under a millisecond."""
_P99 = 0.99
_US = 1_000_000
_NS_A_US = 1_000


def retry_table(recording: Recording) -> dict[str, Any]:
    """Return the retry ledger of every arm, without the probes, which never retry."""
    intervals: list[tuple[str | None, int, int]] = [
        (None, recording.since_ns, recording.until_ns),
        *((one.fault_id, one.requested_ns, one.until_ns) for one in recording.injections),
    ]
    streams = [stream for stream in sorted(recording.streams) if stream[0] != PROBE_ARM]
    return {
        "waited_s_above": WAITED_S,
        "list": [row for stream in streams for row in _rows(recording, stream, intervals)],
        "applied_twice": _applied_twice(recording),
    }


def _applied_twice(recording: Recording) -> dict[str, int | None]:
    """Return how many writes of each arm were applied twice; None where nobody knows."""
    ledger = recording.history.ledger
    known = ledger.arms if ledger is not None and ledger.complete else {}
    return {arm: known[arm].duplicated if arm in known else None for arm in recording.arms}


def _rows(
    recording: Recording, stream: StreamKey, intervals: list[tuple[str | None, int, int]]
) -> Iterator[dict[str, Any]]:
    trace = recording.trace(*stream)
    if trace is None:
        return
    arm, endpoint, kind = stream
    for fault_id, since_ns, until_ns in intervals:
        yield {
            "arm": arm,
            "endpoint": endpoint,
            "operation": kind.name.lower(),
            "over": "run" if fault_id is None else "fault",
            "fault_id": fault_id,
            "from": recording.seconds(since_ns),
            "to": recording.seconds(until_ns),
            **_counted(trace, trace.within(since_ns, until_ns)),
        }


def _counted(trace: Trace, part: slice) -> dict[str, Any]:
    records, succeeded, dropped = trace.records[part], trace.succeeded[part], trace.dropped[part]
    sent, again = ~dropped, records["attempts"] > 1
    total = int(sent.sum())
    made = int(records["attempts"][sent].sum(dtype=np.int64))
    unserved = ~succeeded & sent
    return {
        "operations": len(records),
        "unsent": int(dropped.sum()),
        "attempts": made,
        "amplification": made / total if total else None,
        "first_attempt": int((sent & succeeded & ~again).sum()),
        "absorbed": _absorbed(trace, part, succeeded & again),
        "seen": {
            "failed": int((unserved & (records["outcome"] == Outcome.FAILED)).sum()),
            "unknown": int((unserved & (records["outcome"] == Outcome.UNKNOWN)).sum()),
            "after_retries": int((unserved & again).sum()),
            "errors": _by_name(trace, records["error"][unserved]),
        },
        "waited": _waited(records, sent),
    }


def _absorbed(trace: Trace, part: slice, absorbed: Flags) -> dict[str, Any]:
    """Tell what was saved by a retry: how often, at what cost in attempts and time, from what."""
    started = trace.started[part][absorbed]
    until_failed = trace.last_try[part][absorbed] - started
    until_returned = trace.ended[part][absorbed] - started
    owner, attempts = trace.failed_attempts
    inside = (owner >= part.start) & (owner < part.stop)
    mine = attempts["error"][inside][absorbed[owner[inside] - part.start]]
    return {
        "operations": int(absorbed.sum()),
        "attempts": int((trace.records["attempts"][part][absorbed].astype(np.int64) - 1).sum()),
        "extra_s_min": float(until_failed.sum()) / NS,
        "extra_s": float(until_returned.sum()) / NS,
        "extra_s_max": float(until_returned.max(initial=0)) / NS,
        "errors": _by_name(trace, mine),
    }


def _waited(records: Records, sent: Flags) -> dict[str, Any]:
    """Tell what waiting for connections took; `longest_part`: it was over half of the operation."""
    total, n = len(records), int(np.count_nonzero(sent))
    waited_us = bulk.made(
        total, np.uint32, lambda part: np.where(sent[part], records["waited_us"][part], 0)
    )
    over = records[np.flatnonzero(waited_us > WAITED_S * _US)]
    lasted_us = (over["ended_ns"] - over["started_ns"]) / _NS_A_US
    told = {
        "sum_s": int(waited_us.sum(dtype=np.int64)) / _US,
        "p99_s": None,
        "max_s": int(waited_us.max(initial=0)) / _US,
        "over": len(over),
        "longest_part": int((over["waited_us"] > lasted_us / 2).sum()),
    }
    if n:
        rank = total - n + nearest_rank(n, _P99) - 1  # what was never sent comes first, as zero
        waited_us.partition(rank)
        told["p99_s"] = int(waited_us[rank]) / _US
    return told


def _by_name(trace: Trace, errors: NDArray[np.uint16]) -> dict[str, int]:
    """Count errors by name, the most frequent first."""
    numbers, counts = np.unique(errors, return_counts=True)
    counted = Counter(
        {
            trace.log.names[number] or "(no error recorded)": int(times)
            for number, times in zip(numbers, counts, strict=True)
        }
    )
    return dict(counted.most_common())
