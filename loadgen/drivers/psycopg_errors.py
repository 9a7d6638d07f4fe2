"""What psycopg's errors mean, for every driver that stands on it."""

from __future__ import annotations

import psycopg

from chaos.model.gone import GONE_BY_STATE
from loadgen.drivers.base import Trouble
from loadgen.outcome import name_of_error


def trouble_of(error: BaseException) -> Trouble:
    """Say what an error of psycopg, or of what wraps it, means."""
    sqlstate = getattr(error, "sqlstate", None)
    message, type_name = str(error), type(error).__name__
    operational = isinstance(error, psycopg.OperationalError)
    return Trouble(
        error=name_of_error(sqlstate, type_name, message),
        message=first_line(message, type_name),
        sqlstate=sqlstate,
        operational=operational,
        lost=operational and (sqlstate is None or sqlstate.startswith(GONE_BY_STATE)),
    )


def first_line(message: str, otherwise: str) -> str:
    """Return the first line of a message, for people."""
    return next(iter(message.strip().splitlines()), otherwise)
