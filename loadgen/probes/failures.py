"""The names of what goes wrong: `SQLSTATE Name`, and `-----` where the server gave no SQLSTATE."""

from __future__ import annotations

from psycopg import errors

from chaos.model.operation import Kind, Outcome

# libpq gives no SQLSTATE for a failed connect, only text (in English: PostgreSQL's own messages of
# this phase are not translated before the client's language is known).
_CONNECT_ERRORS = (
    ("Connection refused", "----- ConnectionRefused"),
    ("the database system is", "57P03 CannotConnectNow"),
    ("not yet accepting connections", "57P03 CannotConnectNow"),
    ("too many clients", "53300 TooManyConnections"),
    ("remaining connection slots", "53300 TooManyConnections"),
    ("too many connections", "53300 TooManyConnections"),
    ("password authentication failed", "28P01 InvalidPassword"),
    ("no pg_hba.conf entry", "28000 InvalidAuthorizationSpecification"),
    ('database "', "3D000 InvalidCatalogName"),
    ('role "', "28000 InvalidAuthorizationSpecification"),
    ("server closed the connection", "----- ConnectionLost"),
    ("Connection reset", "----- ConnectionLost"),
    ("No route to host", "----- NoRoute"),
    ("Network is unreachable", "----- NoRoute"),
    ("timed out", "----- ConnectTimeout"),
    ("certificate", "----- Certificate"),
)
MISSED = "----- Missed"
"""Never sent, because this process was late by more than a period. It says nothing of the service,
only that nobody looked."""
MISSED_WAITING = "----- MissedWaiting"
"""Never sent, because every session still waited to be let in or for an earlier answer: where none was
served soon after, this turn was not either."""
LEFT_QUEUE = "----- LeftQueue"
"""A connect given up because another session was served."""


def name_of_state(sqlstate: str) -> str:
    """Return the error of a SQLSTATE, as psycopg names it."""
    try:
        return f"{sqlstate} {errors.lookup(sqlstate).__name__}"
    except KeyError:
        return f"{sqlstate} Error"


def name_of_connect_error(message: str) -> str:
    """Return the error of a failed connect from libpq's text."""
    for part, name in _CONNECT_ERRORS:
        if part in message:
            return name
    return "----- ConnectFailed"


def outcome_of(kind: Kind, error: str) -> Outcome:
    """Tell whether an operation that was sent and failed certainly had no effect.

    A server that was told to stop (class 57) may have committed before it said so.
    """
    told = error[:1].isdigit() and not error.startswith("57")
    if kind is Kind.WRITE and not told:
        return Outcome.UNKNOWN
    return Outcome.FAILED
