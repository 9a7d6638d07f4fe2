"""Regions as they were some seconds ago, for an API whose descriptions lag behind what it has done.

A watch notes every cluster's record a few times a second. A request that is answered from the past sees
a Region whose clusters are those of then, with the records of then; whatever a record does not hold
(tags of other resources, parameter groups) it sees as it is now.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from chaos.clock import NS, Anchor, Clock
from chaos.testcluster.records import ApiError, ClusterRecord, EventRecord

if TYPE_CHECKING:
    from chaos.testcluster.api.engine import Engine, Region

INTERVAL_S = 0.05

T = TypeVar("T")


class Timeline(Generic[T]):
    """Values, each from an instant on until the next one's; at least `horizon_s` of them are kept."""

    def __init__(self, horizon_s: float) -> None:
        self._horizon_ns = int(horizon_s * NS)
        self._instants: list[int] = []
        self._values: list[T] = []

    def note(self, at_ns: int, value: T) -> None:
        """Take the value that holds at an instant, not before the last one."""
        if self._values and self._values[-1] == value:
            return
        self._instants.append(at_ns)
        self._values.append(value)
        needed = max(bisect_right(self._instants, at_ns - self._horizon_ns) - 1, 0)
        del self._instants[:needed], self._values[:needed]

    def as_of(self, at_ns: int) -> T:
        """Return the value that held at an instant; before the first one, the first.

        Raises:
            IndexError: none was noted yet.
        """
        return self._values[max(bisect_right(self._instants, at_ns) - 1, 0)]

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Sight:
    """One cluster as it was seen."""

    region: str
    engine: Engine
    record: ClusterRecord


class PastCluster:
    """A cluster whose record is of the past; all else of it is of now."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight

    def snapshot(self) -> ClusterRecord:
        """Return the record of then."""
        return self._sight.record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sight.engine, name)


class PastRegion:
    """A Region with the clusters and events of the past; all else of it is of now."""

    def __init__(self, region: Region, sights: Sequence[Sight], at: datetime) -> None:
        self._region = region
        self._clusters = {
            sight.record.id: PastCluster(sight) for sight in sights if sight.region == region.name
        }
        self._at = at

    def clusters(self) -> tuple[PastCluster, ...]:
        """Return the clusters of then."""
        return tuple(self._clusters.values())

    def cluster(self, identifier: str) -> PastCluster:
        """Return a cluster of then.

        Raises:
            ApiError: DBClusterNotFoundFault.
        """
        if identifier not in self._clusters:
            raise ApiError("DBClusterNotFoundFault", f"DBCluster {identifier} not found.")
        return self._clusters[identifier]

    def cluster_of(self, instance: str) -> PastCluster:
        """Return the cluster that had an instance then.

        Raises:
            ApiError: DBInstanceNotFound.
        """
        for cluster in self._clusters.values():
            if any(member.id == instance for member in cluster.snapshot().instances):
                return cluster
        raise ApiError("DBInstanceNotFound", f"DBInstance {instance} not found.")

    def events(self) -> tuple[EventRecord, ...]:
        """Return what had happened by then."""
        return tuple(event for event in self._region.events() if event.at <= self._at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._region, name)


class Watch:
    """Notes how all clusters look, from its making until `close`.

    Args:
        sights: the clusters as they are now.
        horizon_s: how far back `view_at` is asked for at most.
        clock: of the instants.
    """

    def __init__(
        self, sights: Callable[[], tuple[Sight, ...]], *, horizon_s: float, clock: Clock
    ) -> None:
        self._sights = sights
        self._clock = clock
        self._anchor = Anchor.take()
        self._timeline: Timeline[tuple[Sight, ...]] = Timeline(horizon_s)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._note()
        self._thread = threading.Thread(target=self._watch, name="api past", daemon=True)
        self._thread.start()

    def view_at(self, at_ns: int) -> Callable[[Region], Region]:
        """Return how Regions look as of an instant; at first it is that of the beginning."""
        with self._lock:
            sights = self._timeline.as_of(at_ns)
        at = self._anchor.wall(at_ns)
        return lambda region: PastRegion(region, sights, at)

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(INTERVAL_S):
            self._note()

    def _note(self) -> None:
        at_ns = self._clock.now_ns()
        sights = self._sights()
        with self._lock:
            self._timeline.note(at_ns, sights)
