"""How a report spells numbers, durations and instants: one way, in every output."""

from __future__ import annotations

import math
import re
from datetime import datetime

MISSING = "\N{EN DASH}"
_SHARE_DIGITS = 5
_MINUS = "\N{MINUS SIGN}"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def duration(value_s: float | None) -> str:
    """Return a duration with about four digits: `1.644 s`, `39.69 s`, `12 ms`."""
    if value_s is None:
        return MISSING
    size = abs(value_s)
    if size == 0:
        return "0 s"
    if size < 0.0995:  # noqa: PLR2004 - below a tenth of a second milliseconds read better
        return f"{_number(value_s * 1000, 1 if size < 0.00995 else 0)} ms"  # noqa: PLR2004
    return f"{_number(value_s, 3 if size < 10 else 2 if size < 100 else 1)} s"  # noqa: PLR2004


def instant(value_s: float | None) -> str:
    """Return an instant relative to the page's zero: `+1.956 s`."""
    if value_s is None:
        return MISSING
    rounded = round(value_s, 3)
    sign = _MINUS if rounded < 0 else "+"
    return f"{sign}{abs(rounded):.3f} s"


def uncertainty(value_s: float | None) -> str:
    """Return by how much the truth may lie below (an instant: before) what is told."""
    if not value_s:
        return MISSING if value_s is None else duration(0)
    return f"{_MINUS} {duration(value_s)}"


def limit(value: float | None, unit: str) -> str:
    """Return a limit as somebody wrote it: `10 s`, `0.5 s`, `0 lost writes`."""
    if value is None:
        return MISSING
    return f"{value:g} s" if unit == "s" else quantity(value, unit)


def count(value: float) -> str:
    """Return a whole number in groups of three: `4 812`."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", _MINUS)


def quantity(value: float | None, unit: str) -> str:
    """Return a measured value or limit in its unit."""
    if value is None:
        return MISSING
    if unit == "s":
        return duration(value)
    if unit == "ms":
        return duration(value / 1000)
    number = count(value) if float(value).is_integer() and unit != "ratio" else f"{value:.4g}"
    return f"{number} {unit}" if unit and unit != "ratio" else number


def share(value: float | None) -> str:
    """Return a share in percent, cut off and not rounded up: `99.995 %`, `100 %` for all alone."""
    if value is None:
        return MISSING
    if value in {0.0, 1.0}:
        return f"{value * 100:.0f} %"
    digits = 2
    while digits < _SHARE_DIGITS and not 1 <= _cut(value, digits) < 10 ** (digits + 2) - 1:
        digits += 1
    return f"{_number(_cut(value, digits) / 10**digits, digits)} %"


def _cut(value: float, digits: int) -> int:
    return math.floor(value * float(10 ** (digits + 2)) + 1e-6)


def clock_time(at: datetime, *, fraction: bool = False) -> str:
    """Return the UTC time of day: `20:10:24`, with milliseconds where asked."""
    text = at.strftime("%H:%M:%S")
    return f"{text}.{at.microsecond // 1000:03d}" if fraction else text


def clean(text: str) -> str:
    """Return `text` without characters that neither XML, HTML nor a terminal may be given."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", _MINUS)
