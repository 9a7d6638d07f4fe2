"""Stretches that come back every week or every day, as AWS and blackout calendars tell them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
_CLOCK = r"(?:([01]?\d|2[0-3]):([0-5]\d))"
_DAILY = re.compile(_CLOCK)
_WEEKLY = re.compile(rf"({'|'.join(DAYS)})[: ]{_CLOCK}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Recurring:
    """From `begins` to `ends`, both counted from the start of each `period`; it may span its end."""

    begins: timedelta
    ends: timedelta
    period: timedelta

    @classmethod
    def between(cls, begins: str, ends: str) -> Self:
        """Read `sun:04:00` and `sun:04:30` (a blank may stand for the first colon), or `02:00`, `02:30`.

        Raises:
            ValueError: they are no such instants, or one has a day and the other none.
        """
        first, last = _instant(begins), _instant(ends)
        if first[1] != last[1]:
            raise ValueError(f"{begins} and {ends} must both name a day of the week, or neither")
        return cls(first[0], last[0], first[1])

    @classmethod
    def of_aws(cls, window: str) -> Self | None:
        """Read PreferredMaintenanceWindow or PreferredBackupWindow; None where there is none.

        Raises:
            ValueError: it is written in another way.
        """
        begins, dash, ends = window.partition("-")
        return cls.between(begins, ends) if dash else None

    def begins_in(self, now: datetime) -> timedelta:
        """Return how long it is until the next begins; zero within one."""
        at = timedelta(days=now.weekday(), hours=now.hour, minutes=now.minute, seconds=now.second)
        if (at - self.begins) % self.period < (self.ends - self.begins) % self.period:
            return timedelta(0)
        return (self.begins - at) % self.period


def _instant(text: str) -> tuple[timedelta, timedelta]:
    """Return an instant as its distance from the start of its period, and the period."""
    if weekly := _WEEKLY.fullmatch(text):
        day = DAYS.index(weekly[1].lower())
        return DAY * day + timedelta(hours=int(weekly[2]), minutes=int(weekly[3])), WEEK
    if daily := _DAILY.fullmatch(text):
        return timedelta(hours=int(daily[1]), minutes=int(daily[2])), DAY
    raise ValueError(f"{text!r} is no time such as {DAYS[4]} 16:00")
