"""Whether the cluster has its first shape again once the run is over."""

from __future__ import annotations

from typing import Literal

from chaos.checks.base import Check
from chaos.checks.recording import API, Recording
from chaos.model.snapshot import Snapshot, differences
from chaos.model.verdict import Finding, Verdict

_GONE = "deleted"
_AVAILABLE = "available"
_WRITER, _READER, _SILENT = "writer", "reader", "unreachable"
# Of members and bounds, which are watched throughout.
_OBSERVED = {
    "existence",
    "status",
    "DBInstanceClass",
    "AvailabilityZone",
    "PromotionTier",
    "capacity",
}


class Restored(Check):
    """The same members as they were, all available, one writer, the capacity bounds of before.

    Parameter groups, tags and custom endpoints too. Compares what the API and each instance showed
    before the first injection with what they showed last. Which member is the writer may differ after
    a failover.
    """

    check: Literal["restored"] = "restored"

    def judge(self, recording: Recording) -> list[Finding]:
        """Return one finding."""
        if not recording.injections:
            return [self._finding(Verdict.UNKNOWN, "no fault was injected")]
        over_ns = max(i.ended_ns for i in recording.injections)
        before_ns = recording.injections[0].requested_ns
        before = recording.state("status", before_ns)
        if not before or not recording.state("writer", before_ns):
            return [self._finding(Verdict.UNKNOWN, "no topology was seen before the first fault")]
        unseen = set(recording.members) - set(recording.state("settings", before_ns))
        if unseen:
            why = (
                f"the settings of {', '.join(sorted(unseen))} were not seen before the first fault"
            )
            return [self._finding(Verdict.UNKNOWN, why)]
        if max(recording.sampled_ns(API), default=0) <= over_ns:
            why = "the cluster was not observed after the last fault"
            return [self._finding(Verdict.UNKNOWN, why)]
        faulty = _differences(recording, before_ns)
        if faulty:
            return [self._finding(Verdict.FAIL, "; ".join(faulty))]
        members = len(before) - len(recording.state("writer", before_ns))
        return [
            self._finding(Verdict.PASS, f"all {members} members are back as they were, bounds too")
        ]

    def _finding(self, verdict: Verdict, why: str) -> Finding:
        return Finding(check=self.check, verdict=verdict, why=why)


def _differences(recording: Recording, before_ns: int) -> list[str]:
    """Return what is not as it was, each as a clause."""
    latest_ns = max(o.at_ns for o in recording.history.observations)
    told: list[str] = []
    statuses = recording.state("status", latest_ns)
    for subject in recording.state("status", before_ns):
        status = statuses[subject]
        if status == _GONE:
            told.append(f"{subject} is gone")
        elif status != _AVAILABLE:
            told.append(f"{subject} is {status}")
    known = set(recording.state("status", before_ns))
    told += [
        f"{subject} was not there before"
        for subject, status in statuses.items()
        if subject not in known and status != _GONE
    ]
    writers = recording.state("writer", latest_ns)
    told += [f"{cluster} has no writer" for cluster, writer in writers.items() if not writer]
    told += _differences_by_sql(recording)
    told += _differences_of_snapshots(recording)
    settings = recording.state("settings", latest_ns)
    told += [
        f"{instance} is {settings[instance]}, it was {was}"
        for instance, was in recording.state("settings", before_ns).items()
        if settings[instance] != was and statuses.get(instance) != _GONE
    ]
    capacity = recording.state("capacity", latest_ns)
    for cluster in writers:
        bounds = recording.state("capacity", before_ns).get(cluster)
        if bounds is not None and capacity[cluster] != bounds:
            told.append(f"capacity of {cluster} is {capacity[cluster]} ACU, it was {bounds}")
    return told


def _differences_by_sql(recording: Recording) -> list[str]:
    """Return how the instances' own word differs from the API's when they were last asked.

    They are asked until traffic stops, the API until the rollback is done. One that was silent at
    that instant, perhaps for a moment, may have answered when the ledger was read.
    """
    until_ns = recording.until_ns
    statuses = recording.state("status", until_ns)
    told = []
    for instance, seen in recording.state("role", until_ns).items():
        if statuses.get(instance) == _GONE:
            continue
        later = _by_ledger(recording, instance) if seen == _SILENT else None
        role, asked_ns = later or (seen, until_ns)
        writers = recording.state("writer", asked_ns).values()
        expected = _WRITER if instance in writers else _READER
        if role != expected:
            told.append(f"{instance} is {role} by SQL, {expected} by the API")
    return told


def _by_ledger(recording: Recording, instance: str) -> tuple[str, int] | None:
    """Return which role an instance had when the ledger was read from it, and when that was."""
    ledger = recording.history.ledger
    if ledger is None:
        return None
    if ledger.complete and ledger.read_from == instance:
        return _WRITER, ledger.read_at_ns
    told = ledger.readers.get(instance)
    if told is None or not told.complete:
        return None
    return _WRITER if told.is_writer else _READER, told.read_at_ns


def _differences_of_snapshots(recording: Recording) -> list[str]:
    """Return what only the whole shapes before and after the run tell."""
    shapes = {
        event.data["when"]: Snapshot.from_json(event.data["snapshot"])
        for event in recording.history.events
        if event.type == "snapshot"
    }
    if not {"before", "after"} <= set(shapes):
        return []
    found = differences(shapes["before"], shapes["after"])
    return [str(difference) for difference in found if difference.name not in _OBSERVED]
