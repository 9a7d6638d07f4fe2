"""The whole tree of our errors.

    GamedayError                 exit 70 unless a subclass says otherwise
     +- DefinitionError          64: a wrong experiment, option or name
     +- GuardRefused             4: a guard refused before any fault
     +- RunAborted               3: a stop condition ended the method
     +- RunInterrupted           5: a signal ended the run
     +- RecoveryFailed           70: something could not be undone; says which command does it
     +- HostError                70: PostgreSQL not found, disk full, port in use, endpoint unreachable
     +- ControlPlaneError        70: the RDS API refused or could not be reached
     +- DatabaseError            70: a database endpoint could not be used
     +- WaitTimeout              70: a bounded wait ran out

Every message is one line that says what was being done, to what, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means (README, "Exit codes")."""

    PASS = 0
    FAIL = 1
    INCONCLUSIVE = 2
    ABORTED = 3
    REFUSED = 4
    INTERRUPTED = 5
    USAGE = 64
    INTERNAL = 70


class GamedayError(Exception):
    """The base of every error that a user is told about in one line."""

    exit_code = ExitCode.INTERNAL


class DefinitionError(GamedayError):
    """An experiment file, option or name is wrong; says where and what is allowed."""

    exit_code = ExitCode.USAGE


class GuardRefused(GamedayError):  # noqa: N818 - an outcome, named as the vocabulary names it
    """A guard refused the run before any fault was injected."""

    exit_code = ExitCode.REFUSED


class RunAborted(GamedayError):  # noqa: N818 - an outcome
    """The method was ended early; what was changed is restored, or a `RecoveryFailed` says what not."""

    exit_code = ExitCode.ABORTED


class RunInterrupted(GamedayError):  # noqa: N818 - an outcome
    """A signal ended the run; what was changed is restored, or a `RecoveryFailed` says what not."""

    exit_code = ExitCode.INTERRUPTED


class RecoveryFailed(GamedayError):  # noqa: N818 - an outcome
    """Something of a run could not be undone; the message has the command that does it."""


class HostError(GamedayError):
    """This machine lacks something: PostgreSQL, disk space, a free port, a permission."""


# Beginnings of codes. Expired credentials are among them: what the chain can renew it has renewed
# before the error was raised, so that only a person can.
_PERMANENT = (
    "AccessDenied",
    "AuthFailure",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidAction",
    "InvalidClientTokenId",
    "InvalidParameter",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingParameter",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnauthorizedOperation",
    "UnknownOperation",
    "UnrecognizedClient",
    "ValidationError",
    "ValidationException",
)


_PERMANENT_SQLSTATES = ("0A", "28", "42")
"""Classes: feature not supported, invalid authorization, syntax error or access rule violation."""


class ControlPlaneError(GamedayError):
    """The RDS API refused a request or could not be reached.

    `code` is the API's own error code (`DBClusterNotFoundFault`), or None where no answer came.
    """

    def __init__(
        self, message: str, *, code: str | None = None, permanent: bool | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self._permanent = permanent

    @property
    def permanent(self) -> bool:
        """Whether asking again cannot help: request, permission or credentials are wrong.

        It follows from the code unless who raised it knew better.
        """
        if self._permanent is not None:
            return self._permanent
        return self.code is not None and self.code.startswith(_PERMANENT)


class DatabaseError(GamedayError):
    """A database endpoint could not be reached or refused; `sqlstate` where the server gave one."""

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate

    @property
    def permanent(self) -> bool:
        """Whether asking again cannot help: the user, its rights or the statement are wrong."""
        return self.sqlstate is not None and self.sqlstate.startswith(_PERMANENT_SQLSTATES)


class WaitTimeout(GamedayError):  # noqa: N818 - said as the wait says it
    """A bounded wait ran out; the message says what was awaited and for how long."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return what to add to a message about an unknown name: the allowed one most like it, or ""."""
    close = difflib.get_close_matches(name, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
