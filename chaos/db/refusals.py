"""What a server's refusal says, also where libpq keeps only its text: a refused connection."""

from __future__ import annotations

import psycopg

TOO_MANY = "53300"
# libpq gives no SQLSTATE for a failed connect; messages of this phase are in English.
_CONNECT = (
    ("too many clients", TOO_MANY),
    ("remaining connection slots", TOO_MANY),
    ("too many connections", TOO_MANY),
    ("the database system is", "57P03"),
    ("not yet accepting connections", "57P03"),
    ("authentication failed", "28P01"),
)


def sqlstate_of(error: psycopg.Error) -> str | None:
    """Return the SQLSTATE of an error, None where the server said nothing."""
    if error.sqlstate is not None:
        return error.sqlstate
    text = str(error)
    return next((state for part, state in _CONNECT if part in text), None)
