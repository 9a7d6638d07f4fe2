"""The API calls that a fault or an undo record makes, for the plan and the IAM policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """An operation as the service's API names it (`FailoverDBCluster`), and how often at most."""

    operation: str
    count: int = 1
    service: str = "rds"


def total(calls: Iterable[Call]) -> tuple[Call, ...]:
    """Return one call for each operation, with the sum of their counts, in order of appearance."""
    counts: dict[tuple[str, str], int] = {}
    for call in calls:
        key = (call.service, call.operation)
        counts[key] = counts.get(key, 0) + call.count
    return tuple(Call(operation, count, service) for (service, operation), count in counts.items())
