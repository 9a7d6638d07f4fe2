"""The metrics and alarms of all Regions of one server."""

from __future__ import annotations

import threading

from chaos.clock import NS, Anchor, MonotonicClock
from chaos.testcluster.metrics.monitoring import Monitoring
from chaos.testcluster.records import ACCOUNT


class Telemetry:
    """Each Region's monitoring, made when it is first asked for."""

    def __init__(self) -> None:
        self._anchor = Anchor.take()
        self._lock = threading.Lock()
        self._regions: dict[str, Monitoring] = {}

    def monitoring(self, region: str) -> Monitoring:
        """Return the metrics and alarms of a Region."""
        with self._lock:
            found = self._regions.get(region)
            if found is None:
                found = self._regions[region] = Monitoring.of(region, ACCOUNT, self.now_s)
            return found

    def evaluate_alarms(self) -> None:
        """Evaluate every alarm that is due."""
        for monitoring in self._all():
            monitoring.alarms.evaluate()

    def forget(self, before_s: float) -> None:
        """Drop metrics that nothing was published for since."""
        for monitoring in self._all():
            monitoring.metrics.forget(before_s)

    def _all(self) -> list[Monitoring]:
        with self._lock:
            return list(self._regions.values())

    def now_s(self) -> float:
        """Return the time in seconds since 1970, by a clock that never goes back."""
        since = MonotonicClock().now_ns() - self._anchor.monotonic_ns
        return (self._anchor.wall_ns + since) / NS
