"""What a person permits: the safety file of an organisation, and an experiment's own limits.

The safety file is for whoever answers for the accounts and is kept apart from experiments: what it
refuses, no experiment can allow.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from chaos.safety.recurring import Recurring

_WEEKLY = re.compile(r"[a-z]{3} ", re.IGNORECASE)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _regular(expression: str) -> str:
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(f"{expression!r} is no regular expression: {error}") from error
    return expression


Name = Annotated[str, Field(min_length=1, max_length=255)]
Pattern = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_regular)]


class Budget(_Part):
    """What a run may take, by its estimate."""

    duration_s_max: float | None = Field(
        None, gt=0, le=7 * 86_400, description="Seconds that a run is expected to take at most."
    )
    cost_usd_max: float | None = Field(
        None, ge=0, description="US dollars that the cluster is expected to cost meanwhile."
    )


class Alarms(_Part):
    """CloudWatch alarms that must be OK before anything is disturbed."""

    names: tuple[Name, ...] = Field((), max_length=100, description="Names of alarms.")
    prefixes: tuple[Name, ...] = Field((), max_length=20, description="How their names begin.")


class Limits(Budget):
    """`guards` of an experiment: what its own guards demand beside those of every run."""

    readers_min: int | None = Field(
        None,
        ge=0,
        le=15,
        description="Readers that the faults must leave; absent: 1 where they remove an instance.",
    )
    alarms: Alarms = Field(Alarms(), description="Alarms that must be OK.")


class Blackout(_Part):
    """A stretch in which nothing may be disturbed, once or every week."""

    begins: str = Field(description="`2026-12-20`, `2026-12-20 08:00`, or `fri 16:00`.")
    ends: str = Field(
        description="The same; a date without a time is the last day, and part of it."
    )
    time_zone: str = Field("UTC", description="Its zone, such as `Europe/Paris`.")
    why: str = Field("", max_length=200, description="The reason that a refusal tells.")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"time zone {self.time_zone!r} is not known here; if it exists, install tzdata"
            ) from error
        if self._weekly() is None:
            begins, ends = self._dates()
            if begins >= ends:
                raise ValueError(f"it ends ({self.ends}) before it begins ({self.begins})")
        return self

    def holds(self, now: datetime) -> bool:
        """Tell whether an instant is within it."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        weekly = self._weekly()
        if weekly is not None:
            return not weekly.begins_in(local)
        begins, ends = self._dates()
        return begins <= now < ends

    def __str__(self) -> str:
        """Tell it as a refusal does."""
        told = f"{self.begins} to {self.ends} {self.time_zone}"
        return f"{told} ({self.why})" if self.why else told

    def _weekly(self) -> Recurring | None:
        if not _WEEKLY.match(self.begins) and not _WEEKLY.match(self.ends):
            return None
        return Recurring.between(self.begins, self.ends)

    def _dates(self) -> tuple[datetime, datetime]:
        """Return the instants; a last day is over at the next midnight."""
        begins, ends = self._instant(self.begins), self._instant(self.ends)
        if len(self.ends) == len("2026-12-20"):
            ends = datetime.combine(
                ends.date() + timedelta(days=1), time(), ZoneInfo(self.time_zone)
            )
        return begins.astimezone(UTC), ends.astimezone(UTC)

    def _instant(self, text: str) -> datetime:
        try:
            found = datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError(
                f"{text!r} is no time such as 2026-12-20 08:00 or fri 16:00"
            ) from error
        return found.replace(tzinfo=found.tzinfo or ZoneInfo(self.time_zone))


_STAGES = ("environment", "env", "stage")
_PRODUCTION = ("live", "prod", "production")


class Refused(_Part):
    """Clusters that are never disturbed, beside those that are named as of production."""

    tags: dict[Name, tuple[str, ...]] = Field(
        default_factory=dict, description="Values of a cluster's tag that refuse it, by key."
    )
    identifiers: tuple[Pattern, ...] = Field(
        (), description="Regular expressions, searched in the cluster's identifier."
    )
    except_clusters: tuple[Name, ...] = Field(
        (), description="Identifiers of clusters that neither these nor the usual patterns refuse."
    )

    @property
    def all_tags(self) -> dict[str, tuple[str, ...]]:
        """The values that are refused by key in lower case, the usual ones among them."""
        found: dict[str, tuple[str, ...]] = dict.fromkeys(_STAGES, _PRODUCTION)
        for key, values in self.tags.items():
            found[key.lower()] = (*found.get(key.lower(), ()), *(v.lower() for v in values))
        return found

    @property
    def all_identifiers(self) -> tuple[str, ...]:
        """The expressions, the usual one first."""
        return ("(^|-)(prod|production|live)(-|$)", *self.identifiers)


Account = Annotated[str, Field(pattern=r"^\d{12}$")]
Price = Annotated[float, Field(ge=0)]


class SafetyFile(_Part):
    """`gameday-safety.yaml`: where experiments may run, when, and what they may take."""

    version: Literal[1] = Field(1, description="Version of this language.")
    accounts: tuple[Account, ...] = Field(
        (), description="Accounts whose clusters may be disturbed."
    )
    refuse: Refused = Field(Refused(), description="Clusters that never may.")
    blackouts: tuple[Blackout, ...] = Field((), description="When nothing may be disturbed.")
    maintenance_margin_s: int = Field(
        1800, ge=0, le=86_400, description="Seconds kept clear before maintenance."
    )
    alarms: Alarms = Field(Alarms(), description="Alarms that must be OK before every run.")
    fis_safety_lever: Literal["heed", "ignore"] = Field(
        "heed", description="Whether an engaged FIS safety lever refuses."
    )
    budget: Budget = Field(Budget(), description="What every run may take.")
    prices: dict[Name, Price] = Field(
        default_factory=dict,
        description="US dollars an hour: `acu_hour`, and each instance class by its name.",
    )
