"""DescribeEvents: by source, time and category."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fix_control_plane import (
    READER,
    READER_ARN,
    REGION,
    ControlPlane,
)

from chaos.clock import Anchor, MonotonicClock
from chaos.testcluster.records import (
    EventRecord,
)

ANCHOR = Anchor.take()
NOW = ANCHOR.wall(ANCHOR.monotonic_ns)
"""When this file was imported; tests may run long after that."""


def now() -> datetime:
    return ANCHOR.wall(MonotonicClock().now_ns())


def event(message: str, at: datetime, *, source: str = "orders", **more: Any) -> EventRecord:
    fields = {"source_type": "db-cluster", "categories": ("failover",), **more}
    return EventRecord(
        at=at,
        source_id=source,
        region=REGION,
        event_id="RDS-EVENT-0071",
        message=message,
        **fields,
    )


def test_events_are_chosen_by_source_time_and_category(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    begun = now()

    def ago(minutes: float) -> datetime:
        return begun - timedelta(minutes=minutes)

    control_plane.cluster.happened += [
        event("old", ago(90)),
        event("created", ago(30), categories=("creation",)),
        event("restarted", ago(20), source=READER, source_type="db-instance"),
        event("completed", ago(10)),
    ]

    def messages(**parameters: Any) -> list[str]:
        return [entry["Message"] for entry in boto_rds.describe_events(**parameters)["Events"]]

    assert messages() == ["created", "restarted", "completed"], "the last hour by default"
    assert messages(Duration=120)[0] == "old"
    assert messages(StartTime=ago(100)) == ["old", "created", "restarted", "completed"]
    assert messages(StartTime=ago(100), EndTime=ago(25)) == ["old", "created"]
    assert messages(StartTime=ago(100), Duration=30) == ["old"]
    assert messages(EndTime=ago(25)) == ["created"], "an hour before the end"
    assert messages(SourceType="db-instance") == ["restarted"]
    assert messages(SourceType="db-instance", SourceIdentifier=READER.upper()) == ["restarted"]
    assert messages(SourceType="db-instance", SourceIdentifier="nope") == []
    assert messages(EventCategories=["creation", "failure"]) == ["created"]
    (restarted,) = boto_rds.describe_events(SourceType="db-instance")["Events"]
    assert restarted["SourceArn"] == READER_ARN
    assert abs(restarted["Date"] - ago(20)) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"SourceIdentifier": "orders"}, "InvalidParameterCombination"),
        ({"Duration": 0}, "InvalidParameterValue"),
        ({"StartTime": NOW, "EndTime": NOW - timedelta(1)}, "InvalidParameterCombination"),
        ({"Filters": [{"Name": "engine", "Values": ["x"]}]}, "InvalidParameterValue"),
    ],
)
def test_a_contradictory_question_about_events_is_refused(
    boto_rds: Any, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        boto_rds.describe_events(**parameters)
    assert refused.value.response["Error"]["Code"] == code


def test_events_come_in_pages(control_plane: ControlPlane, boto_rds: Any) -> None:
    control_plane.cluster.happened += [event(f"number {n}", now()) for n in range(250)]
    pages = boto_rds.get_paginator("describe_events").paginate(PaginationConfig={"PageSize": 100})
    messages = [entry["Message"] for page in pages for entry in page["Events"]]
    assert messages == [f"number {n}" for n in range(250)]
