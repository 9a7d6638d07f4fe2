"""What became of every write: what clients were told against what the table holds afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLedger:
    """One arm's writes, counted; each list holds at most 20 write ids of its kind."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """`ledger.json`: by arm, from which instance it was read and when."""

    arms: Mapping[str, ArmLedger] = field(default_factory=dict)
    read_from: str = ""
    read_at_ns: int = 0
    complete: bool = False
    """False when the table could not be read to its end; `why` says so, nothing is judged."""
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as `ledger.json` holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Ledger:
        """Read `ledger.json`."""
        arms: dict[str, ArmLedger] = {}
        for arm, counts in fields["arms"].items():
            frozen: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in counts.items()
            }
            arms[arm] = ArmLedger(**frozen)
        return cls(**{**fields, "arms": arms})


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSoFar:
    """While traffic lasts: acknowledged writes looked for on the writer, and those it lacks."""

    checked: int
    lost: int
