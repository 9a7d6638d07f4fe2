"""What became of each arm's connections: on which instances they sat, what they carried."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from chaos.checks.recording import Recording
from chaos.model.connections import Connections, Flags, addresses, changes
from chaos.model.operation import Role

_read: WeakKeyDictionary[Recording, dict[str, Connections]] = WeakKeyDictionary()


def connections_of(recording: Recording, arm: str) -> Connections | None:
    """Return an arm's connections; None where the run recorded none of it. Read once a recording."""
    if recording not in _read:
        book, logs = addresses(recording.history), recording.history.arms
        _read[recording] = {
            of: Connections.of(log, book) for of, log in logs.items() if len(log.connections)
        }
    return _read[recording].get(arm)


def connections(recording: Recording) -> list[dict[str, Any]]:
    """Return what became of each arm's connections, for `verdict.json`.

    One entry for each arm, endpoint and instance: how many were opened, closed and left open, what
    the instance was by SQL when they were opened (`opened_as`) and when it was last asked
    (`role_now`), the most at one time, what they carried; and one without an instance for those that
    failed to open.
    """
    told: list[dict[str, Any]] = []
    for arm in recording.arms:
        found = connections_of(recording, arm)
        if found is not None:
            told += _account(recording, arm, found)
    return told


def _account(recording: Recording, arm: str, found: Connections) -> list[dict[str, Any]]:
    names = found.log.names
    served, failed, refused = found.carried()
    left = found.live_at(recording.until_ns)
    age_s = found.age_s(recording.until_ns)
    roles = recording.state("role", recording.until_ns)
    told: list[dict[str, Any]] = []
    for endpoint in sorted({names[n] for n in np.unique(found.opens["endpoint"])}):
        for instance in found.instances():
            rows = found.through(endpoint) & found.on(instance)
            if not rows.any():
                continue
            _, live = changes(found.opened[rows], found.closed[rows])
            told.append(
                {
                    "arm": arm,
                    "endpoint": endpoint,
                    "instance": instance,
                    "role_now": roles.get(instance, ""),
                    "opened": int(rows.sum()),
                    "opened_as": _opened_as(found, rows),
                    "closed": int((found.closed[rows] <= recording.until_ns).sum()),
                    "left": int((rows & left).sum()),
                    "most_at_once": int(live.max(initial=0)),
                    "first_opened": recording.seconds(int(found.opened[rows].min())),
                    "last_opened": recording.seconds(int(found.opened[rows].max())),
                    "age_s_max": float(age_s[rows].max()),
                    "served": int(served[rows].sum()),
                    "failed": int(failed[rows].sum()),
                    "refused_read_only": int(refused[rows].sum()),
                }
            )
    for number in np.unique(found.failures["endpoint"]):
        of_endpoint = found.failures[found.failures["endpoint"] == number]
        errors, counts = np.unique(of_endpoint["address"], return_counts=True)
        told.append(
            {
                "arm": arm,
                "endpoint": names[number],
                "instance": "",
                "failed_to_open": len(of_endpoint),
                "errors": {names[e]: int(n) for e, n in zip(errors, counts, strict=True)},
            }
        )
    return told


def _opened_as(found: Connections, rows: Flags) -> dict[str, int]:
    numbers, counts = np.unique(found.opens["role"][rows], return_counts=True)
    return {Role(n).name.lower(): int(c) for n, c in zip(numbers, counts, strict=True)}
