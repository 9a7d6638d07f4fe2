"""Faults that a client asks for by SQL: `aurora_inject_replica_failure` and its likes.

The functions (surface.sql) check their arguments and leave a file in a folder of the node's. Whoever
watches these folders begins the disturbance that does it, for as long as was asked for; it is then in
force and listed like any other. Asking again for the same replaces what was asked for before.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos.errors import GamedayError
from chaos.testcluster.aurora.core import Core
from chaos.testcluster.disturbances.base import LONGEST_S, Disturbance
from chaos.testcluster.disturbances.storage import DiskCongestion, DiskFailure, ReplicaFailure
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

log = logging.getLogger(__name__)

_INTERVAL_S = 0.05
_ATTEMPTS = 100


class Injections:
    """Watches the folders of all nodes of an estate."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._over = threading.Event()
        self._unread: Counter[Path] = Counter()
        self._thread = threading.Thread(target=self._watch, name="injections", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """End watching; harmless a second time, and before it has begun."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_INTERVAL_S):
            for cluster in self._estate.clusters():
                for member in cluster.core.others():
                    for request in self._requests(member.node.requests):
                        self._do(cluster.core, request)

    def _requests(self, folder: Path) -> Iterator[Mapping[str, Any]]:
        """Yield what was asked for, once."""
        for path in folder.glob("*.json"):
            try:
                request = json.loads(path.read_text())
            except (OSError, ValueError):  # It is still being written.
                self._unread[path] += 1
                if self._unread[path] < _ATTEMPTS:
                    continue
                log.warning("%s cannot be read", path)
                request = None
            del self._unread[path]
            path.unlink(missing_ok=True)
            if request is not None:
                yield request

    def _do(self, core: Core, request: Mapping[str, Any]) -> None:
        for disturbance in _disturbances(core, request):
            try:
                self._end_former(disturbance)
                self._estate.disturbances.begin(disturbance)
            except (ApiError, GamedayError, OSError) as error:
                log.warning("asked for by SQL, and not done: %s: %s", disturbance, error)

    def _end_former(self, disturbance: Disturbance) -> None:
        subject = _subject(disturbance)
        for active in self._estate.disturbances.active():
            if (
                active.disturbance.kind == disturbance.kind
                and _subject(active.disturbance) == subject
            ):
                self._estate.disturbances.end(active.id)


def _subject(disturbance: Disturbance) -> object:
    return getattr(disturbance, "instance", getattr(disturbance, "cluster", None))


def _disturbances(core: Core, request: Mapping[str, Any]) -> list[Disturbance]:
    """Return what a request means; 0 percent means nothing."""
    percent, for_s = float(request["percent"]), min(float(request["seconds"]), LONGEST_S)
    if percent == 0:
        return []
    if request["fault"] == "disk-failure":
        return [DiskFailure(cluster=core.spec.id, percent=percent, for_s=for_s)]
    if request["fault"] == "disk-congestion":
        return [
            DiskCongestion(
                cluster=core.spec.id,
                percent=percent,
                minimum_ms=request["minimum_ms"],
                maximum_ms=request["maximum_ms"],
                for_s=for_s,
            )
        ]
    with core.lock:
        readers = [m.id for m in core.members.values() if m.id != core.writer]
    return [
        ReplicaFailure(instance=reader, percent=percent, for_s=for_s)
        for reader in readers
        if request["replica"] in {"", reader}
    ]
