"""The disturbances in force: begun on request, ended on request, by their time, or with the server."""

from __future__ import annotations

import difflib
import itertools
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from chaos.clock import Anchor
from chaos.errors import HostError
from chaos.testcluster.disturbances.base import Disturbance, Ending
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

log = logging.getLogger(__name__)

_SETTLE_TIMEOUT_S = 50.0


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
    """Those of one estate; each is known by its id, and by its name where it was given one.

    What is being begun or taken back is busy: whoever asks for its end waits until it is settled. So a
    caller that was killed during its request, and is followed by another one, leaves nothing in force.
    """

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._settled = threading.Condition()
        self._numbers = itertools.count(1)
        self._active: dict[str, tuple[Active, Ending, threading.Timer | None]] = {}
        self._busy: set[str] = set()  # names and ids
        self._closed = False

    def begin(self, disturbance: Disturbance) -> Active:
        """Let a disturbance take effect; one that is over at once is not kept.

        Raises:
            ApiError: its name is taken; or as `Disturbance.begin`.
            HostError: as `Disturbance.begin`.
        """
        with self._named(disturbance):
            ending = disturbance.begin(self._estate)
            active = self._new(disturbance)
            log.info("%s begins: %s", active.id, disturbance)
            if ending is None:
                return active
            timer = None
            if disturbance.for_s is not None:
                timer = threading.Timer(disturbance.for_s, self._expire, [active.id])
                timer.daemon = True
            with self._settled:
                closed = self._closed
                if not closed:
                    self._active[active.id] = (active, ending, timer)
        if closed:
            ending()
        elif timer is not None:
            timer.start()
        return active

    def end(self, known_as: str) -> bool:
        """Take one back, by its name or id; False where none is in force that is known so.

        What the ending raises is passed on, and the disturbance is still in force then.
        """
        with self._settled:
            if not self._settled.wait_for(lambda: known_as not in self._busy, _SETTLE_TIMEOUT_S):
                raise HostError(f"disturbance {known_as} is still being begun or taken back")
            found = self._found(known_as)
            if found is None:
                return False
            entry = self._active.pop(found)
            names = {found, entry[0].disturbance.name or found}
            self._busy |= names
        active, ending, timer = entry
        if timer is not None:
            timer.cancel()
        try:
            ending()
        except BaseException:
            with self._settled:
                self._active[found] = entry
            raise
        finally:
            with self._settled:
                self._busy -= names
                self._settled.notify_all()
        log.info("%s ends", active.id)
        return True

    def active(self) -> tuple[Active, ...]:
        """Return those in force, the oldest first."""
        with self._settled:
            return tuple(active for active, _, _ in self._active.values())

    def close(self) -> None:
        """Take all back, the last first, and accept no more."""
        with self._settled:
            self._closed = True
            left = list(self._active)
        for identifier in reversed(left):
            self._expire(identifier)

    @contextmanager
    def _named(self, disturbance: Disturbance) -> Iterator[None]:
        """Keep a disturbance's name from others, and its end waiting, while it is begun."""
        name = disturbance.name
        if name is None:
            yield
            return
        with self._settled:
            if name in self._busy or self._found(name) is not None:
                raise ApiError(
                    "InvalidParameterCombination",
                    f"a disturbance {name} is in force already; take it back first, or choose "
                    "another name",
                )
            self._busy.add(name)
        try:
            yield
        finally:
            with self._settled:
                self._busy.discard(name)
                self._settled.notify_all()

    def _new(self, disturbance: Disturbance) -> Active:
        anchor = Anchor.take()
        with self._settled:
            ids = (f"{disturbance.kind}-{number}" for number in self._numbers)
            free = next(i for i in ids if i not in self._busy and self._found(i) is None)
        at = anchor.wall(anchor.monotonic_ns)
        return Active(id=free, disturbance=disturbance, begun_at=at)

    def _found(self, known_as: str) -> str | None:
        """Return the id of what is known by a name or an id; the lock is held."""
        return next(
            (
                identifier
                for identifier, (active, _, _) in self._active.items()
                if known_as in {identifier, active.disturbance.name}
            ),
            None,
        )

    def _expire(self, identifier: str) -> None:
        try:
            self.end(identifier)
        except Exception:
            log.exception("%s could not be taken back", identifier)


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
