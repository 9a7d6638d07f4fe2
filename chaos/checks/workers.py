"""The machines that sent a run's traffic: who, how well their clocks are known, who was lost.

A worker that is lost, or whose traffic stops while it lives, takes its share of the traffic with it:
what is left may look calm because nobody asked. So the run is not judged as if all had been there,
whatever the others saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaos.checks.completeness import missing_of_workers
from chaos.checks.recording import Recording
from chaos.clock import NS
from chaos.model.record import Observation
from chaos.model.verdict import Verdict

Told = tuple[str, Verdict, str]
"""Name of an assumption, what it says of the run, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker of a run, by what was recorded of it and from it."""

    number: int
    host: str
    offset_ns: int | None
    """Of its clock against the runner's, when it was last told; None: never."""
    error_ns: int
    """By how much an instant of it may be wrong at most, having been moved to the runner's clock."""
    jumped_ns: int
    operations: int
    """How many of it were collected."""
    joined_ns: int | None
    lost_ns: int | None
    """When it was last heard of before it was lost for good."""
    why: str
    """Why it was taken to be lost."""
    delivered: int | None
    """How many operations its own files held when it said that all were handed over."""

    @property
    def name(self) -> str:
        """How people are told of it."""
        return f"worker {self.number} ({self.host})" if self.host else f"worker {self.number}"


def workers(recording: Recording) -> tuple[Worker, ...]:
    """Return every worker that the run declared; none where the runner's machine sent the traffic."""
    declared = int(recording.history.environment.get("workers") or 0)
    return tuple(_worker(recording, number) for number in range(1, declared + 1))


def workers_table(recording: Recording) -> list[dict[str, Any]]:
    """Return the workers for `verdict.json`."""
    return [
        {
            "worker": one.number,
            "host": one.host,
            "clock_offset_s": None if one.offset_ns is None else one.offset_ns / NS,
            "clock_error_s": None if one.offset_ns is None else one.error_ns / NS,
            "operations": one.operations,
            "lost": None
            if one.lost_ns is None
            else {"at": recording.seconds(one.lost_ns), "why": one.why},
        }
        for one in workers(recording)
    ]


def judge_workers(recording: Recording, *, completed: bool) -> Iterator[Told]:
    """Yield what must hold of the workers; nothing for a run without them."""
    found = workers(recording)
    good = True
    missing = missing_of_workers(recording, len(found)) if found and completed else {}
    for one in found:
        for why in _faults(recording, one, missing.get(one.number, ()), completed=completed):
            good = False
            yield "workers", Verdict.UNKNOWN, why
    if found and good:
        worst = max(found, key=lambda one: one.error_ns)
        why = (
            f"{len(found)} workers sent the traffic from start to end; the clock of {worst.name} is "
            f"known worst, to {worst.error_ns / NS:.4f} s"
        )
        yield "workers", Verdict.PASS, why


def _faults(
    recording: Recording, one: Worker, missing: Sequence[str], *, completed: bool
) -> Iterator[str]:
    if one.joined_ns is None:
        yield f"{one.name} never joined"
    elif one.lost_ns is not None:
        at_s = recording.seconds(one.lost_ns)
        yield (
            f"{one.name} was lost {at_s:.1f} s after the run began: {one.why}; its traffic is missing "
            "from then on, or was not recorded"
        )
    elif completed and one.delivered is None:
        yield f"{one.name} did not say that it handed over all its records"
    elif one.delivered is not None and one.delivered != one.operations:
        yield f"{one.name} recorded {one.delivered} operations, {one.operations} were collected"
    elif missing:
        yield f"{one.name}: {'; '.join(missing)}"
    if one.jumped_ns:
        yield (
            f"the clock of {one.name} jumped by {one.jumped_ns / NS:.3f} s: was its machine "
            "suspended? Its instants before and after do not fit together"
        )


def _worker(recording: Recording, number: int) -> Worker:
    subject = f"worker {number}"
    seen = list(recording.observed("worker", subject))
    clocks = list(recording.observed("clock", subject))
    logs = recording.history.arms.values()
    shares = [log.shares[log.shares["worker"] == number] for log in logs]
    error_ns = max((int(part["error_ns"].max(initial=0)) for part in shares), default=0)
    lost = seen[-1] if seen and seen[-1].value == "lost" else None
    delivered = _last(seen, "delivered")
    joined = _last(seen, "joined")
    return Worker(
        number=number,
        host=str(seen[-1].detail.get("host", "")) if seen else "",
        offset_ns=int(clocks[-1].detail["offset_ns"]) if clocks else None,
        error_ns=max([error_ns, *(int(o.detail["error_ns"]) for o in clocks)]),
        jumped_ns=max((int(o.detail["jumped_ns"]) for o in clocks), default=0),
        operations=sum(
            int(np.clip(len(log.operations) - part["first"], 0, part["count"]).sum())
            for log, part in zip(logs, shares, strict=True)
        ),
        joined_ns=joined.at_ns if joined else None,
        lost_ns=int(lost.detail["last_heard_ns"]) if lost else None,
        why=str(lost.detail["why"]) if lost else "",
        delivered=int(delivered.detail["operations"]) if delivered else None,
    )


def _last(seen: list[Observation], value: str) -> Observation | None:
    return next((o for o in reversed(seen) if o.value == value), None)
