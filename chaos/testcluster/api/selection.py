"""Filters and pages, which every Describe operation has alike."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from chaos.testcluster.records import ApiError

RECORDS_MIN = 20
RECORDS_MAX = 100

T = TypeVar("T")
Parameters = Mapping[str, Any]


def matching(
    items: Iterable[T],
    filters: Sequence[Mapping[str, Any]],
    fields: Mapping[str, Callable[[T], Iterable[str]]],
) -> list[T]:
    """Return the items that every filter lets pass; a filter passes any of its values.

    `fields` gives, for each filter name, the values under which an item is found.

    Raises:
        ApiError: an unknown filter name.
    """
    kept = list(items)
    for condition in filters:
        name = condition["Name"]
        if name not in fields:
            raise ApiError(
                "InvalidParameterValue",
                f"Unrecognized filter name: {name}. Known here: {', '.join(fields) or 'none'}.",
            )
        wanted = {value.lower() for value in condition["Values"]}
        kept = [item for item in kept if wanted & {value.lower() for value in fields[name](item)}]
    return kept


def page(
    items: Iterable[tuple[str, T]], parameters: Parameters, *, most: int = RECORDS_MAX
) -> tuple[list[T], str | None]:
    """Return one page of `(key, item)` pairs, and the marker of the next page if there is one.

    A marker names the last key that was given, so a page neither repeats nor skips an item when
    others come or go meanwhile. Keys are unique and sort as text.

    Raises:
        ApiError: `MaxRecords` out of range, or a marker that is not ours.
    """
    size = parameters.get("MaxRecords", RECORDS_MAX)
    if not RECORDS_MIN <= size <= most:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid value {size} for MaxRecords. Must be between {RECORDS_MIN} and {most}",
        )
    try:
        return following(items, parameters.get("Marker"), size)
    except ValueError as error:
        raise ApiError("InvalidParameterValue", str(error)) from error


def following(
    items: Iterable[tuple[str, T]], marker: str | None, size: int
) -> tuple[list[T], str | None]:
    """Return the `size` items whose keys come after a marker's, and the next marker if there is one.

    Raises:
        ValueError: the marker is not ours.
    """
    after = _key(marker) if marker else ""
    left = sorted((pair for pair in items if pair[0] > after), key=lambda pair: pair[0])
    more = len(left) > size
    return [item for _, item in left[:size]], _marker(left[size - 1][0]) if more else None


def _marker(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _key(marker: str) -> str:
    try:
        return base64.b64decode(marker, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"Invalid marker: {marker:.80}") from error
