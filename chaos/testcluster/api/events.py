"""DescribeEvents: what happened, by source, time and category."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from chaos.clock import Anchor
from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.records import ApiError

DURATION_DEFAULT_MIN = 60
DURATION_MAX_MIN = 14 * 24 * 60

# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Events.Messages.html
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "blue-green-deployment": ("creation", "deletion", "failure", "notification"),
    "db-cluster": (
        "configuration change",
        "creation",
        "deletion",
        "failover",
        "failure",
        "global failover",
        "maintenance",
        "migration",
        "notification",
        "serverless",
    ),
    "db-cluster-snapshot": ("backup", "notification"),
    "db-instance": (
        "availability",
        "backtrack",
        "backup",
        "configuration change",
        "creation",
        "deletion",
        "failover",
        "failure",
        "low storage",
        "maintenance",
        "notification",
        "read replica",
        "recovery",
        "restoration",
        "security",
        "security patching",
        "serverless",
    ),
    "db-parameter-group": ("configuration change",),
    "db-proxy": ("configuration change", "creation", "deletion", "failure"),
    "db-security-group": ("configuration change", "failure"),
    "db-snapshot": ("creation", "deletion", "notification", "restoration"),
}


def describe_events(region: Region, parameters: Parameters) -> Result:
    """DescribeEvents."""
    matching([], parameters.get("Filters", ()), {})
    source = parameters.get("SourceIdentifier")
    kind = parameters.get("SourceType")
    if source is not None and kind is None:
        raise ApiError(
            "InvalidParameterCombination",
            "SourceType must be provided when SourceIdentifier is given.",
        )
    start, end = _interval(parameters)
    categories = set(parameters.get("EventCategories", ()))
    found = [
        # Numbered in the order they were written, which is the order they are given in.
        (f"{number:012d}", describe.event(record))
        for number, record in enumerate(region.events())
        if (kind is None or record.source_type == kind)
        and (source is None or record.source_id == source.lower())
        and start <= record.at
        and (end is None or record.at <= end)
        and (not categories or categories & set(record.categories))
    ]
    shown, marker = page(found, parameters)
    return {"Events": shown, "Marker": marker}


def describe_event_categories(region: Region, parameters: Parameters) -> Result:  # noqa: ARG001
    """DescribeEventCategories."""
    matching([], parameters.get("Filters", ()), {})
    wanted = parameters.get("SourceType")
    if wanted is not None and wanted not in CATEGORIES:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid source type: {wanted}. It must be one of {', '.join(CATEGORIES)}.",
        )
    return {
        "EventCategoriesMapList": [
            {"SourceType": kind, "EventCategories": list(categories)}
            for kind, categories in CATEGORIES.items()
            if wanted in {None, kind}
        ]
    }


ACTIONS: Mapping[str, Action] = {
    "DescribeEventCategories": describe_event_categories,
    "DescribeEvents": describe_events,
}


def _interval(parameters: Parameters) -> tuple[datetime, datetime | None]:
    """Return the instants between which events are asked for; no end means up to now."""
    duration = parameters.get("Duration", DURATION_DEFAULT_MIN)
    if not 1 <= duration <= DURATION_MAX_MIN:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid value {duration} for Duration. Must be between 1 and {DURATION_MAX_MIN}",
        )
    length = timedelta(minutes=duration)
    start, end = parameters.get("StartTime"), parameters.get("EndTime")
    if start is None:
        return (end or _now()) - length, end
    if end is None:
        return start, start + length if "Duration" in parameters else None
    if start > end:
        raise ApiError("InvalidParameterCombination", "The start time must be before the end time.")
    return start, end


def _now() -> datetime:
    anchor = Anchor.take()
    return anchor.wall(anchor.monotonic_ns).astimezone(UTC)
