"""What to change in a client so that its pool lets go of a demoted writer: one catalogue, by driver.

A pool forgets a connection that its driver calls broken. SQLSTATE 25006 is no broken connection to any
of them, and a liveness check passes on a reader; so somebody has to say that it is one, or ask for the
role when a connection is made or handed out.
"""

from __future__ import annotations

from collections.abc import Mapping

from chaos.checks.recording import Recording

SQLALCHEMY, PSYCOPG_POOL, HELD, ASYNCPG, AWS_WRAPPER = (
    "sqlalchemy", "psycopg-pool", "held-connection", "asyncpg", "aws-wrapper",
)  # fmt: skip

REMEDIES: Mapping[str, str] = {
    SQLALCHEMY: (
        "in SQLAlchemy a `handle_error` listener that sets `context.is_disconnect = True` for"
        " SQLSTATE 25006, so that the pool drops what leads there, or"
        ' `connect_args={"target_session_attrs": "read-write"}`, which refuses a reader when'
        " connecting; `pool_pre_ping` does not notice, `pool_recycle` only bounds it"
    ),
    PSYCOPG_POOL: (
        "in psycopg_pool a `check=` function that asks `SELECT pg_is_in_recovery()` and raises where"
        " it is true (the ready-made `check_connection` passes there), or"
        " `target_session_attrs=read-write`; `max_lifetime` only bounds it"
    ),
    HELD: (
        "in psycopg close the connection that raised SQLSTATE 25006 (`ReadOnlySqlTransaction`) and open"
        " another, and connect with `target_session_attrs=read-write`, which refuses a reader"
    ),
    ASYNCPG: (
        "in asyncpg `target_session_attrs='read-write'` for `create_pool`, and"
        " `await pool.expire_connections()` where a query raises `ReadOnlySQLTransactionError`;"
        " `max_inactive_connection_lifetime` does not reach a busy connection"
    ),
    AWS_WRAPPER: (
        "in the AWS Advanced Python Wrapper (JDBC: likewise) the plug-in `failover_v2` with"
        " `failover_mode=strict_writer`, which takes 25006 for a failover, and"
        " `initial_connection`, which checks the role of what a cluster name led to; behind another"
        " pool, close what raised `FailoverFailedError`"
    ),
}
"""By the driver that an arm's settings name."""

_IN_GENERAL = (
    "treat SQLSTATE 25006 as a lost connection: close it and let the pool open another, or connect"
    " with `target_session_attrs=read-write`; a liveness check does not notice"
)


def remedy_of(recording: Recording, arm: str) -> str:
    """Return the remedy for an arm's driver, as its environment names it."""
    told = (recording.history.environment.get("arms") or {}).get(arm) or {}
    settings = told.get("settings") or {}
    driver = str(settings.get("driver") or (SQLALCHEMY if "pool" in settings else ""))
    return REMEDIES.get(driver, _IN_GENERAL)
