"""Statements in the style of each driver; written with `:name`, as SQLAlchemy's text is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Neither the second colon of a cast nor one within a word; as SQLAlchemy reads it.
_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


def named(sql: str) -> bytes:
    """Return it with `%(name)s`, as psycopg takes it; as bytes, which it need not encode anew."""
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%")).encode()


@dataclass(frozen=True, slots=True)
class Numbered:
    """A statement with `$1`, `$2`..., and which parameter each number is."""

    sql: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, sql: str) -> Numbered:
        """Number the parameters in the order in which they occur first."""
        names: dict[str, int] = {}

        def number(match: re.Match[str]) -> str:
            return f"${names.setdefault(match[1], len(names) + 1)}"

        return cls(_PARAMETER.sub(number, sql), tuple(names))

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order of their numbers."""
        return [parameters[name] for name in self.names]
