"""An alarm book in virtual time: when alarms are evaluated, and what is told of it."""

from __future__ import annotations

import json

import pytest

from chaos.testcluster.metrics import alarms as alarms_module
from chaos.testcluster.metrics.alarms import AlarmBook, AlarmSpec, TooManyAlarms, UnknownAlarm
from chaos.testcluster.metrics.judgement import Judgement, Rule
from chaos.testcluster.metrics.statistics import statistic
from chaos.testcluster.metrics.store import Metric, MetricStore, Point

START_S = 1_795_000_020.0  # a whole minute
METRIC = Metric("App", "errors")


class Room:
    """A store, a book and the time, which passes only when a test says so."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.store = MetricStore()
        self.book = AlarmBook(self.store, lambda: self.now_s)

    def put(self, name: str = "a", *, period: int = 10, periods: int = 1, **rule: object) -> None:
        compute = statistic("Average")
        assert compute is not None
        fields = {"threshold": 5.0, "comparison": "GreaterThanThreshold", **rule}
        self.book.put(
            AlarmSpec(
                name=name,
                metric=METRIC,
                statistic="Average",
                compute=compute,
                period_s=period,
                unit=None,
                rule=Rule(periods=periods, **fields),  # type: ignore[arg-type]
                actions={"ALARM": ("arn:aws:sns:eu-west-1:000000000000:page",)},
            )
        )

    def publish(self, value: float) -> None:
        self.store.put(METRIC, "None", [Point(self.now_s, value)])

    def pass_s(self, seconds: float) -> None:
        """Let time pass, second by second, with an evaluation in each."""
        for _ in range(int(seconds)):
            self.now_s += 1
            self.book.evaluate()

    def state(self, name: str = "a") -> str:
        return self.book.alarm(name).state


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_new_alarm_says_that_it_was_not_checked_yet(room: Room) -> None:
    room.put()
    alarm = room.book.alarm("a")
    assert (alarm.state, alarm.reason) == (
        "INSUFFICIENT_DATA",
        "Unchecked: Initial alarm creation",
    )


def test_a_period_counts_once_it_has_ended(room: Room) -> None:
    room.put()
    room.publish(9)
    room.pass_s(10)
    assert room.state() == "INSUFFICIENT_DATA", "its last second may not have been sampled yet"
    room.pass_s(1)
    assert room.state() == "ALARM"
    alarm = room.book.alarm("a")
    assert alarm.reason.startswith("Threshold Crossed: 1 datapoint [9.0 (")
    data = json.loads(alarm.data)
    assert data["evaluatedDatapoints"] == [
        {"timestamp": "2026-11-18T11:07:00.000+0000", "sampleCount": 1.0, "value": 9.0}
    ]
    assert (data["period"], data["threshold"], data["recentDatapoints"]) == (10, 5.0, [9.0])


def test_an_alarm_returns_when_its_metric_does(room: Room) -> None:
    room.put()
    room.publish(9)
    room.pass_s(11)
    room.publish(1)
    room.pass_s(10)
    assert room.state() == "OK"
    summaries = [item.summary for item in room.book.history()]
    assert summaries == [
        'Alarm "a" created',
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        "Failed to execute action arn:aws:sns:eu-west-1:000000000000:page",
        "Alarm updated from ALARM to OK",
    ]


def test_an_alarm_without_data_is_insufficient_once_the_evaluation_range_is_empty(
    room: Room,
) -> None:
    room.put()
    room.publish(9)
    room.pass_s(31)
    assert room.state() == "ALARM", "two periods more than it needs are looked at"
    room.pass_s(10)
    assert room.state() == "INSUFFICIENT_DATA"
    assert room.book.alarm("a").reason == "Insufficient Data: 1 datapoint was unknown."


def test_an_alarm_on_minutes_is_evaluated_every_minute(room: Room) -> None:
    room.put(period=60)
    room.book.evaluate()
    room.publish(9)
    room.pass_s(60)
    assert room.state() == "INSUFFICIENT_DATA"
    room.pass_s(1)
    assert room.state() == "ALARM"


def test_long_periods_slide_by_the_minute(room: Room) -> None:
    room.put(period=300)
    room.publish(9)
    room.pass_s(61)
    assert room.state() == "ALARM", "of the five minutes that ended a second ago"


def test_datapoints_to_alarm(room: Room) -> None:
    room.put(periods=3, datapoints=2)
    states = []
    for value in (9, 1, 9):
        room.publish(value)
        room.pass_s(10)
        states.append(room.state())
    room.pass_s(1)
    assert states[:2] == ["INSUFFICIENT_DATA"] * 2
    assert room.state() == "ALARM"


def test_a_state_that_was_set_lasts_until_the_next_evaluation(room: Room) -> None:
    room.put()
    room.publish(1)
    room.pass_s(11)
    assert room.state() == "OK"
    room.book.set_state("a", Judgement("ALARM", "a drill"), "")
    room.pass_s(5)
    assert (room.state(), room.book.alarm("a").reason) == ("ALARM", "a drill")
    room.publish(1)
    room.pass_s(10)
    assert room.state() == "OK"


def test_an_alarm_put_again_keeps_its_state_and_is_evaluated_at_once(room: Room) -> None:
    room.put()
    room.publish(9)
    room.pass_s(11)
    room.put(threshold=100.0)
    assert room.state() == "ALARM"
    room.book.evaluate()
    assert room.state() == "OK"


def test_actions_that_are_switched_off_are_not_told_of(room: Room) -> None:
    room.put()
    room.book.enable_actions(["a", "nobody"], is_acting=False)
    room.publish(9)
    room.pass_s(11)
    assert room.state() == "ALARM"
    assert [item.kind for item in room.book.history()] == ["ConfigurationUpdate", "StateUpdate"]


def test_deletion_is_of_all_or_none(room: Room) -> None:
    room.put("a")
    room.put("b")
    with pytest.raises(UnknownAlarm, match="nobody"):
        room.book.delete(["a", "nobody"])
    assert [alarm.spec.name for alarm in room.book.alarms()] == ["a", "b"]
    room.book.delete(["a", "a"])
    assert [alarm.spec.name for alarm in room.book.alarms()] == ["b"]


def test_alarms_are_bounded(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms_module, "ALARMS_MAX", 1)
    room.put("a")
    room.put("a")
    with pytest.raises(TooManyAlarms):
        room.put("b")
