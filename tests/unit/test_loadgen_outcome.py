"""What an attempt's end proves: the table of `loadgen.outcome`, row by row."""

from __future__ import annotations

import pytest

from chaos.model.gone import GONE_BY_NAME, GONE_BY_STATE, GONE_IF_OPEN
from chaos.model.operation import Kind, Outcome
from loadgen import outcome
from loadgen.outcome import (
    Stage,
    name_of_error,
    outcome_of_failure,
    outcome_of_operation,
)

FAILED, UNKNOWN, OK = Outcome.FAILED, Outcome.UNKNOWN, Outcome.OK


@pytest.mark.parametrize(
    ("kind", "stage", "sqlstate", "expected"),
    [
        # Nothing was sent on behalf of the operation.
        (Kind.WRITE, Stage.CONNECT, None, FAILED),
        (Kind.WRITE, Stage.CONNECT, "57P03", FAILED),
        (Kind.WRITE, Stage.CONNECT, "53300", FAILED),
        # COMMIT was never sent: the transaction dies with its connection.
        (Kind.WRITE, Stage.STATEMENT, None, FAILED),
        (Kind.WRITE, Stage.STATEMENT, "57P01", FAILED),
        (Kind.WRITE, Stage.STATEMENT, "57014", FAILED),
        (Kind.WRITE, Stage.STATEMENT, "25006", FAILED),
        # COMMIT was sent, and the server said that it rolled back.
        (Kind.WRITE, Stage.COMMIT, "25006", FAILED),
        (Kind.WRITE, Stage.COMMIT, "40001", FAILED),
        (Kind.WRITE, Stage.COMMIT, "40P01", FAILED),
        (Kind.WRITE, Stage.COMMIT, "23505", FAILED),
        (Kind.WRITE, Stage.COMMIT, "42P01", FAILED),
        # COMMIT was sent, and nothing proves that it had no effect.
        (Kind.WRITE, Stage.COMMIT, None, UNKNOWN),
        (Kind.WRITE, Stage.COMMIT, "57P01", UNKNOWN),
        (Kind.WRITE, Stage.COMMIT, "57P02", UNKNOWN),
        (Kind.WRITE, Stage.COMMIT, "57014", UNKNOWN),
        (Kind.WRITE, Stage.COMMIT, "40003", UNKNOWN),
        (Kind.WRITE, Stage.COMMIT, "08006", UNKNOWN),
        (Kind.WRITE, Stage.COMMIT, "XX000", UNKNOWN),
        (Kind.TRANSACTION, Stage.COMMIT, None, UNKNOWN),
        # A read has no effect to be unsure of.
        (Kind.READ, Stage.COMMIT, None, FAILED),
        (Kind.READ, Stage.STATEMENT, None, FAILED),
        (Kind.CONNECT, Stage.CONNECT, None, FAILED),
    ],
)
def test_what_an_attempt_proves(
    kind: Kind, stage: Stage, sqlstate: str | None, expected: Outcome
) -> None:
    assert outcome_of_failure(kind, stage, sqlstate) is expected


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([FAILED], FAILED),
        ([FAILED, FAILED], FAILED),
        ([UNKNOWN, FAILED], UNKNOWN),
        ([FAILED, UNKNOWN, FAILED], UNKNOWN),
    ],
)
def test_one_unknown_attempt_makes_a_failed_operation_unknown(
    attempts: list[Outcome], expected: Outcome
) -> None:
    assert outcome_of_operation(attempts) is expected


@pytest.mark.parametrize(
    ("sqlstate", "message", "expected"),
    [
        ("25006", "whatever", "25006 ReadOnlySqlTransaction"),
        ("57P01", "whatever", "57P01 AdminShutdown"),
        ("99999", "whatever", "99999 UnknownError"),
        (None, "FATAL:  the database system is in recovery mode", "57P03 CannotConnectNow"),
        (None, "FATAL:  sorry, too many clients already", "53300 TooManyConnections"),
        (
            None,
            'connection to server at "127.0.0.1", port 5 failed: Connection refused',
            "----- ConnectionRefused",
        ),
        (None, "connection timeout expired", "----- ConnectionTimeout"),
        (
            None,
            "consuming input failed: server closed the connection unexpectedly",
            "----- ServerClosedConnection",
        ),
        (None, "something never seen before", "----- OperationalError"),
    ],
)
def test_errors_are_named_alike_whoever_reports_them(
    sqlstate: str | None, message: str, expected: str
) -> None:
    assert name_of_error(sqlstate, "OperationalError", message) == expected


NOT_OF_OPEN_CONNECTIONS = {
    "28P01 InvalidPassword",
    "53300 TooManyConnections",
    "----- ConnectionRefused",
    "----- NameNotFound",
    "----- NameServerFailed",
    "----- SessionReadOnly",
    "----- SessionNotReadOnly",
}
"""What only somebody hears who connects."""


def test_every_name_given_to_the_end_of_a_connection_is_one_that_checks_know() -> None:
    """A name that is added must be put in one of the two."""
    gone = (*GONE_BY_STATE, *GONE_BY_NAME, *GONE_IF_OPEN)
    given = {name for _, name in outcome._MESSAGES} | set(outcome._TYPES.values())
    assert {name for name in given if not name.startswith(gone)} == NOT_OF_OPEN_CONNECTIONS


@pytest.mark.parametrize(
    ("type_name", "message"),
    [
        ("OperationalError", "consuming input failed: server closed the connection unexpectedly"),
        ("OperationalError", "SSL connection has been closed unexpectedly"),
        ("OperationalError", "consuming input failed: SSL SYSCALL error: EOF detected"),
        ("OperationalError", "sending query failed: something new"),
        ("InterfaceError", "connection is closed"),
        (
            "InterfaceError",
            "cannot call Connection.fetch(): connection has been released back to the pool",
        ),
        ("ConnectionResetError", "[Errno 104] peer went away"),
        ("FailoverSuccessError", ""),
        ("TransactionResolutionUnknownError", "it is not known whether it was committed"),
    ],
)
def test_the_end_of_a_connection_is_known_as_one(type_name: str, message: str) -> None:
    assert name_of_error(None, type_name, message).startswith(GONE_BY_NAME)
