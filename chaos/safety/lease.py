"""The lease on a cluster: a tag with a deadline, so that no two runs disturb it at once.

It is kept with the cluster, since runs may start on different machines, and expires by itself, since
they may be killed. AWS has no compare-and-set for tags: whoever writes last holds it. So a run

    reads no valid lease -> writes its own -> waits -> reads again -> ... -> reads again -> first fault

and goes on only while it reads its own: of two that write, the earlier one reads the later one's. The
last look is right before the first fault; by then every other run that read before this one wrote has
written as well, or has given up, since a write later than `WRITE_WITHIN_S` after its read does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from chaos.model.topology import Topology

LEASE_TAG = "gameday-lease"
LASTS = timedelta(minutes=5)
RENEWED_EVERY_S = 60.0
WRITE_WITHIN_S = 5.0
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.:/=+@-]")
_TOLD = re.compile(
    r"run=(?P<run>\S+) id=(?P<id>\S+) host=(?P<host>\S+) until=(?P<until>\S+)", re.ASCII
)
_HOST_MAX = 60
_RUN_MAX = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who has a cluster for itself, and until when (UTC). `id` is unique among all runs."""

    run: str
    id: str
    host: str
    until: datetime

    @classmethod
    def of(cls, run: str, identifier: str, host: str, until: datetime) -> Self:
        """Make one of what a tag's value may hold (256 of few characters)."""
        return cls(
            run=_FORBIDDEN.sub("-", run)[:_RUN_MAX],
            id=identifier,
            host=_FORBIDDEN.sub("-", host)[:_HOST_MAX] or "-",
            until=until.astimezone(UTC).replace(microsecond=0),
        )

    @classmethod
    def on(cls, topology: Topology) -> Self | None:
        """Return the lease on a cluster, None where there is none.

        A tag that cannot be read is taken as held by somebody, for ever.
        """
        value = topology.tags.get(LEASE_TAG)
        if value is None:
            return None
        told = _TOLD.fullmatch(value)
        try:
            until = datetime.fromisoformat(told["until"]) if told else None
        except ValueError:
            until = None
        if told is None or until is None or until.tzinfo is None:
            unknown = datetime.max.replace(tzinfo=UTC)
            return cls(run="an unknown run", id=value, host="an unknown host", until=unknown)
        return cls(run=told["run"], id=told["id"], host=told["host"], until=until)

    def as_tag(self) -> dict[str, str]:
        """Return the tag."""
        until = self.until.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {LEASE_TAG: f"run={self.run} id={self.id} host={self.host} until={until}"}

    def is_valid(self, now: datetime) -> bool:
        """Tell whether its deadline has not passed."""
        return now < self.until

    def __str__(self) -> str:
        """Tell who holds it."""
        return f"{self.run} on {self.host}, until {self.until:%Y-%m-%d %H:%M:%S} UTC"
