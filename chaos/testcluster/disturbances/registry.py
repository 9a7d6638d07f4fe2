"""The disturbances in force: begun on request, ended on request, by their time, or with the server."""

from __future__ import annotations

import difflib
import itertools
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from chaos.clock import Anchor
from chaos.testcluster.disturbances.base import Disturbance, Ending
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """A disturbance in force."""

    id: str
    disturbance: Disturbance
    begun_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as the control address shows it."""
        for_s = self.disturbance.for_s
        ends_at = self.begun_at + timedelta(seconds=for_s) if for_s is not None else None
        return {
            "id": self.id,
            "category": self.disturbance.category,
            **self.disturbance.model_dump(mode="json", exclude_none=True),
            "begun_at": self.begun_at.isoformat(),
            "ends_at": ends_at.isoformat() if ends_at else None,
        }


class Disturbances:
    """Those of one estate."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._active: dict[str, tuple[Active, Ending, threading.Timer | None]] = {}
        self._closed = False

    def begin(self, disturbance: Disturbance) -> Active:
        """Let a disturbance take effect; one that is over at once is not kept.

        Raises:
            ApiError, HostError: as `Disturbance.begin`.
        """
        identifier = f"{disturbance.kind}-{next(self._numbers)}"
        ending = disturbance.begin(self._estate)
        anchor = Anchor.take()
        active = Active(
            id=identifier, disturbance=disturbance, begun_at=anchor.wall(anchor.monotonic_ns)
        )
        log.info("%s begins: %s", identifier, disturbance)
        if ending is None:
            return active
        timer = None
        if disturbance.for_s is not None:
            timer = threading.Timer(disturbance.for_s, self._expire, [identifier])
            timer.daemon = True
        with self._lock:
            closed = self._closed
            if not closed:
                self._active[identifier] = (active, ending, timer)
        if closed:
            ending()
        elif timer is not None:
            timer.start()
        return active

    def end(self, identifier: str) -> None:
        """Take one back.

        Raises:
            ApiError: none of that id is in force.
        """
        if not self._end(identifier):
            known = ", ".join(a.id for a in self.active()) or "none"
            raise ApiError(
                "ResourceNotFoundFault", f"no disturbance {identifier}; in force: {known}"
            )

    def active(self) -> tuple[Active, ...]:
        """Return those in force, the oldest first."""
        with self._lock:
            return tuple(active for active, _, _ in self._active.values())

    def close(self) -> None:
        """Take all back, the last first, and accept no more."""
        with self._lock:
            self._closed = True
            left = list(self._active)
        for identifier in reversed(left):
            self._expire(identifier)

    def _expire(self, identifier: str) -> None:
        try:
            self._end(identifier)
        except Exception:
            log.exception("%s could not be taken back", identifier)

    def _end(self, identifier: str) -> bool:
        with self._lock:
            found = self._active.pop(identifier, None)
        if found is None:
            return False
        _, ending, timer = found
        if timer is not None:
            timer.cancel()
        ending()
        log.info("%s ends", identifier)
        return True


def parse(fields: Mapping[str, Any], known: Mapping[str, type[Disturbance]]) -> Disturbance:
    """Return the disturbance that a request describes.

    Raises:
        ApiError: no such kind, or wrong parameters; names what is allowed.
    """
    kind = str(fields.get("kind", ""))
    if kind not in known:
        near = difflib.get_close_matches(kind, known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ApiError(
            "InvalidParameterValue", f"no disturbance {kind!r}{hint}; there are: {', '.join(known)}"
        )
    try:
        return known[kind].model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(
            ": ".join([*map(str, e["loc"]), e["msg"].removeprefix("Value error, ")])
            for e in error.errors()
        )
        raise ApiError("InvalidParameterValue", f"{kind}: {wrong}") from error
