"""What state an alarm is in, from the datapoints of its last periods; pure.

The rules and tables are CloudWatch's: "Configuring how CloudWatch alarms treat missing data",
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html . It looks
at a few more periods than it needs, so that real datapoints stand in for missing ones; how many more
depends on the alarm there, and is always two here, as in the documented example.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

EXTRA_PERIODS = 2

OK = "OK"
ALARM = "ALARM"
INSUFFICIENT_DATA = "INSUFFICIENT_DATA"

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")

_SHOWN_MAX = 20  # a reason has at most 1023 characters
_TREATED_AS = {"breaching": "Breaching", "notBreaching": "NonBreaching"}


class Comparison(NamedTuple):
    """How a datapoint breaches, and how that is said."""

    breaches: Callable[[float, float], bool]
    words: str


COMPARISONS: Mapping[str, Comparison] = {
    "GreaterThanOrEqualToThreshold": Comparison(operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": Comparison(operator.gt, "greater than"),
    "LessThanOrEqualToThreshold": Comparison(operator.le, "less than or equal to"),
    "LessThanThreshold": Comparison(operator.lt, "less than"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When an alarm is in ALARM: `datapoints` of `periods` breach (M out of N)."""

    threshold: float
    comparison: str
    periods: int
    datapoints: int | None = None  # None: not given, which means all
    treat_missing: str = "missing"

    @property
    def needed(self) -> int:
        """How many datapoints must breach."""
        return self.datapoints or self.periods

    def breaches(self, datum: Datum) -> bool:
        """Tell whether a datapoint breaches the threshold."""
        return COMPARISONS[self.comparison].breaches(datum.value, self.threshold)


class Datum(NamedTuple):
    """The statistic of one period that has samples."""

    start_s: float
    value: float
    samples: float


class Judgement(NamedTuple):
    """A state and why."""

    state: str
    reason: str


def judge(rule: Rule, seen: Sequence[Datum | None]) -> Judgement | None:
    """Return the state that the datapoints mean, or None where they mean to leave it as it is.

    `seen` is the evaluation range, the newest period first, None for one without data:
    `rule.periods + EXTRA_PERIODS` of them.
    """
    real = [datum for datum in seen if datum is not None][: rule.periods]
    missing = rule.periods - len(real)
    if not real:
        return _without_data(rule)
    breaching = [datum for datum in real if rule.breaches(datum)]
    bad = len(breaching) + (missing if rule.treat_missing == "breaching" else 0)
    if bad >= rule.needed:
        return _crossed(rule, ALARM, real, missing)
    is_open = missing > 0 and rule.treat_missing in {"missing", "ignore"}
    if is_open and len(breaching) == len(real):
        # Nothing speaks against an alarm. It comes once the oldest breach is old enough that
        # later data could not have prevented it.
        oldest = max(number for number, datum in enumerate(seen, 1) if datum is not None)
        if rule.treat_missing == "missing" and oldest >= rule.needed:
            return _crossed(rule, ALARM, real, missing)
        return None
    return _crossed(rule, OK, real, missing)


def _without_data(rule: Rule) -> Judgement | None:
    periods = rule.periods
    match rule.treat_missing:
        case "ignore":
            return None
        case "missing":
            return Judgement(
                INSUFFICIENT_DATA,
                f"Insufficient Data: {_counted(periods)} {_were(periods)} unknown.",
            )
    state = ALARM if rule.treat_missing == "breaching" else OK
    return Judgement(
        state,
        f"Threshold Crossed: no datapoints were received for {periods} period{_s(periods)} and "
        f"{_filled(rule, periods)}.",
    )


def _crossed(rule: Rule, state: str, real: Sequence[Datum], missing: int) -> Judgement:
    breaching = [datum for datum in real if rule.breaches(datum)]
    # An alarm may come from missing datapoints alone.
    is_breach = state == ALARM and bool(breaching)
    told = breaching if is_breach else [datum for datum in real if not rule.breaches(datum)]
    count = len(told)
    listed = ", ".join(f"{datum.value} ({_when(datum.start_s)})" for datum in told[:_SHOWN_MAX])
    if count > _SHOWN_MAX:
        listed += ", ..."
    head, tail = _counted(count), ""
    if rule.datapoints is not None:
        head = f"{count} out of the last {rule.periods} datapoints"
        least = rule.needed if state == ALARM else rule.periods - rule.needed + 1
        way = "OK -> ALARM" if state == ALARM else "ALARM -> OK"
        tail = f" (minimum {_counted(least)} for {way} transition)"
    verb = f"{_were(count)} {'' if is_breach else 'not '}{COMPARISONS[rule.comparison].words}"
    filled = ""
    if missing and rule.treat_missing in _TREATED_AS:
        filled = f" and {_filled(rule, missing)}"
    return Judgement(
        state,
        f"Threshold Crossed: {head} [{listed}] {verb} the threshold ({rule.threshold}){filled}{tail}.",
    )


def _filled(rule: Rule, count: int) -> str:
    treated = _TREATED_AS[rule.treat_missing]
    return f"{count} missing datapoint{_s(count)} {_were(count)} treated as [{treated}]"


def _counted(count: int) -> str:
    return f"{count} datapoint{_s(count)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _when(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%d/%m/%y %H:%M:%S}"
