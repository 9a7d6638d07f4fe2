"""What a check says: a finding with its two instants and uncertainty; the worst verdict wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """pass < unknown < fail."""

    PASS = "pass"  # noqa: S105 - not a password
    UNKNOWN = "unknown"
    FAIL = "fail"


_ORDER = (Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of them; `unknown` for none, since nothing was shown."""
    return max(verdicts, key=_ORDER.index, default=Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check on one stream.

    `measured` and `limit` are in `unit`. For a duration, `measured` is `to_s - from_s` and never
    below the truth; the truth is at least `measured - uncertainty_s`. Instants are seconds since
    the run's origin. `verdict` is None where nothing was asked: shown, not judged.
    """

    check: str
    verdict: Verdict | None
    why: str
    arm: str = ""
    endpoint: str = ""
    operation: str = ""
    measured: float | None = None
    limit: float | None = None
    unit: str = "s"
    uncertainty_s: float | None = None
    from_s: float | None = None
    to_s: float | None = None
    over: str = ""
    """`median` or `p90`: it is about that of several repeats, and has no two instants."""

    def as_json(self) -> dict[str, Any]:
        """Return the finding as `verdict.json` spells it (`from`, `to`)."""
        fields = asdict(self)
        fields["from"] = fields.pop("from_s")
        fields["to"] = fields.pop("to_s")
        fields["verdict"] = self.verdict.value if self.verdict else None
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Finding:
        """Read a finding of `verdict.json`."""
        fields = dict(fields)
        fields["from_s"] = fields.pop("from", None)
        fields["to_s"] = fields.pop("to", None)
        fields["verdict"] = Verdict(fields["verdict"]) if fields["verdict"] else None
        return cls(**fields)


def distinct(findings: Iterable[Finding]) -> list[Finding]:
    """Leave out what is told again of one interruption, for another fault that it reaches over.

    The worst that is told of it stays: no pass hides an unknown.
    """
    kept: dict[tuple[object, ...], Finding] = {}
    for number, one in enumerate(findings):
        window = (one.from_s, one.to_s) if one.measured else (number,)
        if window not in kept or _rank(one) > _rank(kept[window]):
            kept[window] = one
    return list(kept.values())


def _rank(finding: Finding) -> int:
    return -1 if finding.verdict is None else _ORDER.index(finding.verdict)
