"""What became of every write: what clients were told against what the instances hold afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLedger:
    """One arm's writes on the writer, counted; each list holds at most 20 write ids of its kind."""

    acknowledged: int = 0
    applied_once: int = 0
    """Acknowledged and found exactly once."""
    lost: int = 0
    """Acknowledged and not found."""
    duplicated: int = 0
    """Found more than once, whatever the client was told."""
    unknown_applied: int = 0
    unknown_lost: int = 0
    """Outcome unknown to the client; found, or not."""
    failed_applied: int = 0
    """Reported as certainly without effect, yet found: a defect of the classification."""
    unexpected: int = 0
    """Found, but no record tells of the attempt (its record was lost with a killed process)."""
    lost_ids: tuple[int, ...] = ()
    duplicated_ids: tuple[int, ...] = ()
    failed_applied_ids: tuple[int, ...] = ()
    lost_by_instance: Mapping[str, int] = field(default_factory=dict)
    """How many of the lost each instance had acknowledged; "" where none told its name."""
    lost_first_ns: int | None = None
    lost_last_ns: int | None = None
    """When the first and the last of the lost were acknowledged."""
    duplicated_attempts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The attempts whose rows are there, by duplicated write id (those of `duplicated_ids`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLedger:
    """What one other instance holds, against what the writer holds."""

    complete: bool = False
    """False when it could not be read to its end; `why` says so, and the counts are None."""
    why: str = ""
    read_at_ns: int = 0
    caught_up: bool = False
    """Whether it showed a row that was written after the last of the run's writes."""
    is_writer: bool = False
    """It said that it is a writer itself."""
    missing: int | None = None
    """Acknowledged writes that the writer has and it has not."""
    extra: int | None = None
    """Attempted writes that it has and the writer has not."""
    missing_ids: tuple[int, ...] = ()
    missing_by_arm: Mapping[str, int] = field(default_factory=dict)
    behind_s: float | None = None
    """How long before the reading the oldest missing write had been acknowledged; None: none is."""
    sums: Mapping[str, int] = field(default_factory=dict)
    """The sum of each arm's accounts that it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """`ledger.json`: by arm, from which instance it was read and when; then the other instances."""

    arms: Mapping[str, ArmLedger] = field(default_factory=dict)
    read_from: str = ""
    read_at_ns: int = 0
    complete: bool = False
    """False when the table could not be read to its end; `why` says so, nothing is judged."""
    why: str = ""
    readers: Mapping[str, ReaderLedger] = field(default_factory=dict)
    """By instance; those that cannot be reached are in it, not complete."""
    sums: Mapping[str, int] = field(default_factory=dict)
    """The sum of each arm's accounts on the writer."""
    sum_expected: int | None = None
    """What each of these sums is at any time; None where there are no accounts."""

    def as_json(self) -> dict[str, Any]:
        """Return it as `ledger.json` holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Ledger:
        """Read `ledger.json`, also one from before it told of readers."""
        arms = {arm: ArmLedger(**_frozen(told)) for arm, told in fields["arms"].items()}
        readers = {
            instance: ReaderLedger(**_frozen(told))
            for instance, told in fields.get("readers", {}).items()
        }
        return cls(**{**fields, "arms": arms, "readers": readers})


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSoFar:
    """While traffic lasts: acknowledged writes looked for on the writer, and those it lacks."""

    checked: int
    lost: int


def _frozen(told: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON told with tuples for its lists, inside mappings too."""
    return {name: _tuples(value) for name, value in told.items()}


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return value
