"""What the end of one attempt proves about its effect, and how its error is named in the records.

The proof is how far the attempt came (`Stage`) and what the server said, never the driver's own
idea of the transaction: psycopg's `Transaction.status` says "committed" before COMMIT is sent.

    attempt ended while               server said                       effect        outcome
    connecting, waiting for a pool    anything                          none          failed
    a statement before COMMIT         anything                          none          failed
    COMMIT was under way              "rolled back" (`ROLLED_BACK`)     none          failed
    COMMIT was under way              anything else, or nothing         cannot tell   unknown

A connection that breaks before COMMIT was sent takes its transaction with it. After that, only an
error that the server raises before it commits proves that it did not: 57P01 and 57014 do not, since
both also end a session that has committed and waits for a replica to confirm.
"""

from __future__ import annotations

from enum import IntEnum

import psycopg.errors

from chaos.model.gone import (
    CONNECTION_LOST,
    CONNECTION_RESET,
    CONNECTION_TIMEOUT,
    NO_ROUTE,
    NO_SQLSTATE,
    SERVER_CLOSED,
)
from chaos.model.operation import READ_ONLY, WRITING, Kind, Outcome


class Stage(IntEnum):
    """How far an attempt has come."""

    CONNECT = 0
    """Waiting for a connection: nothing was sent on behalf of the operation."""
    STATEMENT = 1
    """Statements were sent in a transaction whose COMMIT was not."""
    COMMIT = 2
    """COMMIT, or a statement that commits by itself, may have been sent."""
    ANSWERED = 3
    """The server said that it is done."""


ROLLED_BACK = frozenset({READ_ONLY, "25P02", "40000", "40001", "40002", "40P01", "53300", "55P03"})
"""SQLSTATEs that a server gives only for a transaction that it has not committed."""
ROLLED_BACK_CLASSES = frozenset({"0A", "22", "23", "42", "44"})
"""SQLSTATE classes of the same kind: errors of the data and of the statement itself."""


class DeadlineExceeded(Exception):  # noqa: N818 - named as the records name it
    """The client's own deadline for one attempt passed."""


def outcome_of_failure(kind: Kind, stage: Stage, sqlstate: str | None) -> Outcome:
    """Return what is known of an attempt that raised an error: `FAILED` or `UNKNOWN`.

    A read is never unknown: it has no effect to be unsure of.
    """
    if kind not in WRITING or stage < Stage.COMMIT:
        return Outcome.FAILED
    if sqlstate and (sqlstate in ROLLED_BACK or sqlstate[:2] in ROLLED_BACK_CLASSES):
        return Outcome.FAILED
    return Outcome.UNKNOWN


def outcome_of_operation(attempts: list[Outcome]) -> Outcome:
    """Return the outcome of an operation whose last attempt failed, too."""
    return Outcome.UNKNOWN if Outcome.UNKNOWN in attempts else Outcome.FAILED


QUEUE_FULL = f"{NO_SQLSTATE} QueueFull"
STOPPED = f"{NO_SQLSTATE} Stopped"
DEADLINE = f"{NO_SQLSTATE} DeadlineExceeded"
POOL_TIMEOUT = f"{NO_SQLSTATE} PoolTimeout"

# libpq gives no SQLSTATE when a connection cannot be made, nor when one breaks: only its message
# tells. The first text found in the message names the error; order matters.
_MESSAGES = (
    ("in recovery mode", "57P03 CannotConnectNow"),
    ("not yet accepting connections", "57P03 CannotConnectNow"),
    ("starting up", "57P03 CannotConnectNow"),
    ("shutting down", "57P03 CannotConnectNow"),
    ("too many connections", "53300 TooManyConnections"),
    ("too many clients", "53300 TooManyConnections"),
    ("connection slots are reserved", "53300 TooManyConnections"),
    ("authentication failed", "28P01 InvalidPassword"),
    ("terminating connection due to administrator command", "57P01 AdminShutdown"),
    ("server closed the connection unexpectedly", SERVER_CLOSED),
    ("SSL connection has been closed unexpectedly", SERVER_CLOSED),
    ("EOF detected", SERVER_CLOSED),
    ("Broken pipe", CONNECTION_RESET),
    ("Connection refused", f"{NO_SQLSTATE} ConnectionRefused"),
    ("Connection reset", CONNECTION_RESET),
    ("timeout expired", CONNECTION_TIMEOUT),
    ("Connection timed out", CONNECTION_TIMEOUT),
    ("NXDOMAIN", f"{NO_SQLSTATE} NameNotFound"),
    ("Name or service not known", f"{NO_SQLSTATE} NameNotFound"),
    ("No address associated", f"{NO_SQLSTATE} NameNotFound"),
    ("Temporary failure in name resolution", f"{NO_SQLSTATE} NameServerFailed"),
    ("SERVFAIL", f"{NO_SQLSTATE} NameServerFailed"),
    ("failed to resolve host", f"{NO_SQLSTATE} NameServerFailed"),
    ("session is read-only", f"{NO_SQLSTATE} SessionReadOnly"),
    ("session is not read-only", f"{NO_SQLSTATE} SessionNotReadOnly"),
    ("No route to host", NO_ROUTE),
    ("Network is unreachable", NO_ROUTE),
    ("the connection is lost", CONNECTION_LOST),
    ("connection is closed", CONNECTION_LOST),  # asyncpg says it without "the"
    # asyncpg's pool takes a connection back as soon as it sees its end, before who uses it does.
    ("connection has been released back to the pool", CONNECTION_LOST),
)


# Of drivers that stand on Python's sockets, whose messages tell less than their types.
_TYPES = {
    "ConnectionRefusedError": f"{NO_SQLSTATE} ConnectionRefused",
    "ConnectionResetError": CONNECTION_RESET,
    "BrokenPipeError": CONNECTION_RESET,
    "TimeoutError": CONNECTION_TIMEOUT,
    "TargetServerAttributeNotMatched": f"{NO_SQLSTATE} SessionReadOnly",
}


def name_of_error(sqlstate: str | None, type_name: str, message: str) -> str:
    """Return `SQLSTATE Name` for the records, `-----` where no SQLSTATE is known.

    The set of names is small whatever the messages say: they are stored once each.
    """
    if sqlstate:
        try:
            type_name = psycopg.errors.lookup(sqlstate).__name__
        except KeyError:
            type_name = "UnknownError"
        return f"{sqlstate} {type_name}"
    for text, name in _MESSAGES:
        if text in message:
            return name
    return _TYPES.get(type_name) or f"{NO_SQLSTATE} {type_name}"
