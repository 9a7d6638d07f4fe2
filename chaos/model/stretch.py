"""Stretches of a run in which traffic and probes stood still because a fault wanted it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chaos.model.record import Event

_PAUSING, _RESUMED = "pausing", "resumed"


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when to when nothing was asked, in monotonic nanoseconds."""

    from_ns: int
    to_ns: int


def quiet_stretches(events: Iterable[Event], until_ns: int) -> tuple[Stretch, ...]:
    """Return them in order; one that the load never came out of lasts to the end."""
    found: list[Stretch] = []
    since: int | None = None
    for event in events:
        state = event.data.get("state") if event.type == "load" else None
        if state == _PAUSING and since is None:
            since = event.at_ns
        elif state == _RESUMED and since is not None:
            found.append(Stretch(since, event.at_ns))
            since = None
    if since is not None:
        found.append(Stretch(since, max(since, until_ns)))
    return tuple(found)
