"""The metric alarms of one Region: kept, evaluated when CloudWatch would, with their history.

An alarm with a period of a minute or more is evaluated every minute, a high-resolution one every ten
seconds, over the periods that end there, and once right after it was put. Actions are kept and
shown; when a state change would carry one out, the history says that it could not be.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from chaos.testcluster.metrics.judgement import (
    EXTRA_PERIODS,
    INSUFFICIENT_DATA,
    Datum,
    Judgement,
    Rule,
    judge,
)
from chaos.testcluster.metrics.statistics import MINUTE_S, Compute, buckets
from chaos.testcluster.metrics.store import Metric, MetricStore

ALARMS_MAX = 500
HISTORY_MAX = 2_000

_GRACE_S = 1.0  # a sample is there a moment after its instant
_HIGH_RESOLUTION_INTERVAL_S = 10
_DATA_SHOWN_MAX = 25  # the reason's data have at most 4000 characters


class TooManyAlarms(Exception):  # noqa: N818 - a limit, which its caller words
    """No more alarms can be kept."""


class UnknownAlarm(Exception):  # noqa: N818 - which its caller words
    """There is no alarm of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSpec:
    """What PutMetricAlarm asks for; `statistic` has the name that `compute` goes by."""

    name: str
    metric: Metric
    statistic: str
    compute: Compute
    period_s: int
    unit: str | None
    rule: Rule
    description: str | None = None
    is_acting: bool = True
    actions: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by state

    @property
    def interval_s(self) -> int:
        """Seconds from one evaluation to the next."""
        return MINUTE_S if self.period_s >= MINUTE_S else _HIGH_RESOLUTION_INTERVAL_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm and the state it is in; instants are seconds since 1970."""

    spec: AlarmSpec
    configured_s: float
    state: str = INSUFFICIENT_DATA
    reason: str = "Unchecked: Initial alarm creation"
    data: str = ""
    updated_s: float
    transitioned_s: float
    evaluated_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryItem:
    """One entry of an alarm's history; `number` counts all entries of the Region."""

    number: int
    alarm: str
    at_s: float
    kind: str  # ConfigurationUpdate | StateUpdate | Action
    summary: str
    data: str


class AlarmBook:
    """The alarms of one Region; safe to use from several threads.

    Args:
        store: the metrics that they watch.
        now_s: tells the time in seconds since 1970.
    """

    def __init__(self, store: MetricStore, now_s: Callable[[], float]) -> None:
        self._store = store
        self._now_s = now_s
        self._lock = threading.RLock()
        self._alarms: dict[str, Alarm] = {}
        self._history: deque[HistoryItem] = deque(maxlen=HISTORY_MAX)
        self._recorded = 0

    def put(self, spec: AlarmSpec) -> None:
        """Make an alarm, or give one of that name other settings; it keeps its state.

        Raises:
            TooManyAlarms: it would be one more than `ALARMS_MAX`.
        """
        now = self._now_s()
        with self._lock:
            before = self._alarms.get(spec.name)
            if before is None:
                if len(self._alarms) >= ALARMS_MAX:
                    raise TooManyAlarms(f"there are {ALARMS_MAX} alarms already")
                alarm = Alarm(spec=spec, configured_s=now, updated_s=now, transitioned_s=now)
            else:
                alarm = replace(before, spec=spec, configured_s=now, evaluated_s=0.0)
            self._alarms[spec.name] = alarm
            done = "created" if before is None else "updated"
            self._record(spec.name, "ConfigurationUpdate", f'Alarm "{spec.name}" {done}', {})

    def delete(self, names: Collection[str]) -> None:
        """Remove alarms, all of them or none.

        Raises:
            UnknownAlarm: the first that there is not.
        """
        with self._lock:
            for name in names:
                self.alarm(name)
            for name in names:
                if self._alarms.pop(name, None) is not None:
                    self._record(name, "ConfigurationUpdate", f'Alarm "{name}" deleted', {})

    def alarm(self, name: str) -> Alarm:
        """Return an alarm.

        Raises:
            UnknownAlarm: there is none of that name.
        """
        with self._lock:
            try:
                return self._alarms[name]
            except KeyError:
                raise UnknownAlarm(name) from None

    def alarms(self) -> list[Alarm]:
        """Return all alarms by name."""
        with self._lock:
            return [self._alarms[name] for name in sorted(self._alarms)]

    def history(self) -> list[HistoryItem]:
        """Return what happened, the oldest first."""
        with self._lock:
            return list(self._history)

    def enable_actions(self, names: Iterable[str], *, is_acting: bool) -> None:
        """Switch the actions of alarms on or off; names that there are not are passed over."""
        with self._lock:
            for name in names:
                alarm = self._alarms.get(name)
                if alarm is not None:
                    spec = replace(alarm.spec, is_acting=is_acting)
                    self._alarms[name] = replace(alarm, spec=spec)

    def set_state(self, name: str, judgement: Judgement, data: str) -> None:
        """Put an alarm into a state, which lasts until its next evaluation finds another.

        Raises:
            UnknownAlarm: there is none of that name.
        """
        with self._lock:
            alarm = self.alarm(name)
            # The period that ended last was evaluated: the state stays until the next one has.
            evaluated_s = max(alarm.evaluated_s, _boundary(self._now_s(), alarm.spec))
            self._move(replace(alarm, evaluated_s=evaluated_s), judgement, data)

    def evaluate(self) -> None:
        """Evaluate every alarm that is due."""
        for alarm in self.alarms():
            end_s = _boundary(self._now_s(), alarm.spec)
            if alarm.evaluated_s >= end_s:
                continue
            seen = self._seen(alarm.spec, end_s)
            judgement = judge(alarm.spec.rule, seen)
            with self._lock:
                if self._alarms.get(alarm.spec.name) is not alarm:
                    continue  # It was changed meanwhile: its turn comes again.
                alarm = replace(alarm, evaluated_s=end_s)  # noqa: PLW2901 - the same alarm
                self._alarms[alarm.spec.name] = alarm
                if judgement is not None and judgement.state != alarm.state:
                    self._move(alarm, judgement, self._evidence(alarm.spec, seen))

    def _seen(self, spec: AlarmSpec, end_s: float) -> list[Datum | None]:
        """Return the datapoints of the evaluation range, the newest first."""
        count = spec.rule.periods + EXTRA_PERIODS
        start_s = end_s - count * spec.period_s
        points = self._store.points(spec.metric, start_s, end_s, spec.unit)
        found: dict[float, Datum] = {}
        for bucket in buckets(points, start_s, spec.period_s):
            samples = sum(point.weight for point in bucket.points)
            found[bucket.start_s] = Datum(bucket.start_s, spec.compute(bucket.points), samples)
        starts = [end_s - number * spec.period_s for number in range(1, count + 1)]
        return [found.get(start) for start in starts]

    def _evidence(self, spec: AlarmSpec, seen: list[Datum | None]) -> str:
        real = [datum for datum in seen if datum is not None][: spec.rule.periods]
        data: dict[str, Any] = {
            "version": "1.0",
            "queryDate": _stamp(self._now_s()),
            "statistic": spec.statistic,
            "period": spec.period_s,
            "recentDatapoints": [datum.value for datum in reversed(real[:_DATA_SHOWN_MAX])],
            "threshold": spec.rule.threshold,
            "evaluatedDatapoints": [
                {
                    "timestamp": _stamp(datum.start_s),
                    "sampleCount": datum.samples,
                    "value": datum.value,
                }
                for datum in real[:_DATA_SHOWN_MAX]
            ],
        }
        if real:
            data["startDate"] = _stamp(real[-1].start_s)
        if spec.unit is not None:
            data["unit"] = spec.unit
        return json.dumps(data)

    def _move(self, alarm: Alarm, judgement: Judgement, data: str) -> None:
        now = self._now_s()
        before, spec = alarm, alarm.spec
        changed = judgement.state != before.state
        self._alarms[spec.name] = replace(
            alarm,
            state=judgement.state,
            reason=judgement.reason,
            data=data,
            updated_s=now,
            transitioned_s=now if changed else before.transitioned_s,
        )
        if not changed:
            return
        self._record(
            spec.name,
            "StateUpdate",
            f"Alarm updated from {before.state} to {judgement.state}",
            {
                "version": "1.0",
                "oldState": {"stateValue": before.state, "stateReason": before.reason},
                "newState": {"stateValue": judgement.state, "stateReason": judgement.reason},
            },
        )
        for action in spec.actions.get(judgement.state, ()) if spec.is_acting else ():
            self._record(
                spec.name,
                "Action",
                f"Failed to execute action {action}"[:255],
                {
                    "actionState": "Failed",
                    "notificationResource": action,
                    "stateUpdateTimestamp": int(now * 1000),
                    "error": "The test cluster carries out no actions.",
                },
            )

    def _record(self, name: str, kind: str, summary: str, data: dict[str, Any]) -> None:
        self._recorded += 1
        item = HistoryItem(
            number=self._recorded,
            alarm=name,
            at_s=self._now_s(),
            kind=kind,
            summary=summary[:255],
            data=json.dumps({"version": "1.0", "type": kind, **data})[:4095],
        )
        self._history.append(item)


def _boundary(now_s: float, spec: AlarmSpec) -> float:
    """Return the last instant at which the alarm is evaluated whose data are there."""
    return (now_s - _GRACE_S) // spec.interval_s * spec.interval_s


def _stamp(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
