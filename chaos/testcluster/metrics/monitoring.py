"""What CloudWatch is of one Region: its metrics and its alarms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaos.testcluster.metrics.alarms import AlarmBook
from chaos.testcluster.metrics.store import MetricStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """The metrics and alarms of one Region; `now_s` tells the time in seconds since 1970."""

    region: str
    account: str
    metrics: MetricStore
    alarms: AlarmBook
    now_s: Callable[[], float]

    @classmethod
    def of(cls, region: str, account: str, now_s: Callable[[], float]) -> Monitoring:
        """Return an empty one."""
        metrics = MetricStore()
        alarms = AlarmBook(metrics, now_s)
        return cls(region=region, account=account, metrics=metrics, alarms=alarms, now_s=now_s)
