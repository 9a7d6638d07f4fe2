"""The arms: client configurations as teams run them, side by side under the same fault.

To add one, add an entry to `CATALOGUE`, and a row to docs/arms.md.
"""

from __future__ import annotations

from chaos.errors import DefinitionError, nearest
from loadgen.arm import Arm, Hosts, Policy, Retry, RetryOn

__all__ = ["CATALOGUE", "Arm", "Hosts", "Policy", "Retry", "RetryOn", "find"]

_POOLING = "https://docs.sqlalchemy.org/en/20/core/pooling.html"
_EVENTS = "https://docs.sqlalchemy.org/en/20/core/events.html"
_LIBPQ = "https://www.postgresql.org/docs/current/libpq-connect.html"
_AURORA = (
    "https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/"
    "AuroraPostgreSQL.BestPractices.FastFailover.html"
)
_COMMON = Retry.exponential(
    on=RetryOn.OPERATIONAL_ERROR,
    attempts_max=3,
    elapsed_s_max=None,
    wait_s_first=0.1,
    wait_s_max=2.0,
    jitter=False,
)
"""What most code does: three attempts, after what it catches as OperationalError."""

CATALOGUE: tuple[Arm, ...] = (
    Arm(
        name="default-pool",
        description="SQLAlchemy's pool and libpq's timeouts as they come; retries OperationalError",
        retry=_COMMON,
        saves="nothing to set up",
        costs=(
            "connections to a demoted writer stay in the pool, and every write on them fails with"
            " 25006; a host that went silent is waited for over minutes"
        ),
        sources=(f"{_POOLING}#dealing-with-disconnects",),
    ),
    Arm(
        name="pre-ping",
        description="the default pool, and each connection is tried by a query before it is used",
        retry=_COMMON,
        pool={"pool_pre_ping": True},
        saves="an operation does not meet a connection that was broken while it was idle",
        costs="a round trip an operation; a demoted writer answers the query, so it stays pinned",
        sources=(f"{_POOLING}#disconnect-handling-pessimistic",),
    ),
    Arm(
        name="recycle",
        description="the default pool, and connections older than 30 s are replaced when taken",
        retry=_COMMON,
        pool={"pool_recycle": 30},
        saves="bounds how long a connection to a demoted writer is kept",
        costs="the bound is its age, not less; connections are opened anew all the time",
        sources=(f"{_POOLING}#setting-pool-recycle",),
    ),
    Arm(
        name="null-pool",
        description="no pool: each operation opens a connection and closes it",
        retry=_COMMON,
        pool={"poolclass": "NullPool"},
        saves="the next operation resolves the name anew, so nothing stays on a demoted writer",
        costs="several round trips and a server process an operation; it meets stale DNS each time",
        sources=(f"{_POOLING}#switching-pool-implementations",),
    ),
    Arm(
        name="read-only-is-disconnect",
        description="the default pool, which drops its connections after SQLSTATE 25006",
        retry=_COMMON,
        read_only_is_disconnect=True,
        saves="a pool that was filled with connections to a demoted writer empties at the first 25006",
        costs="a listener of ten lines; the operation that meets 25006 still fails",
        sources=(f"{_EVENTS}#sqlalchemy.events.DialectEvents.handle_error",),
    ),
    Arm(
        name="target-session-attrs",
        description="the default pool, whose writing connections refuse an instance that only reads",
        retry=_COMMON,
        writer_connection={"target_session_attrs": "read-write"},
        saves="while DNS is stale no connection to the demoted writer gets into the pool",
        costs="connecting fails instead; connections that were in the pool before stay in it",
        sources=(f"{_LIBPQ}#LIBPQ-CONNECT-TARGET-SESSION-ATTRS", _AURORA),
    ),
    Arm(
        name="multi-host",
        description="every instance as a host: writes go to the one that writes, reads to a reader",
        retry=_COMMON,
        hosts=Hosts.INSTANCES,
        connection={"connect_timeout": 3},
        writer_connection={"target_session_attrs": "read-write"},
        reader_connection={
            "target_session_attrs": "prefer-standby",
            "load_balance_hosts": "random",
        },
        saves="a new connection finds the writer without waiting for the endpoint's DNS",
        costs=(
            "instances by name: a new one is not used, one that is gone is tried in vain; up to one"
            " connection attempt an instance"
        ),
        sources=(f"{_LIBPQ}#LIBPQ-MULTIPLE-HOSTS", _AURORA),
    ),
    Arm(
        name="resilient",
        description="25006 drops the pool; deadlines, keepalives, keyed writes, jittered retries",
        retry=Retry.exponential(
            attempts_max=None, elapsed_s_max=30.0, wait_s_first=0.05, wait_s_max=1.0
        ),
        # As many connections as the default at most, but kept: overflow connections are opened and
        # closed for each operation, just when a burst waits for the cluster to return.
        pool={"pool_size": 15, "max_overflow": 0, "pool_timeout": 3.0},
        # Together these notice within 3.5 s (measured) that a server went silent: after a query
        # was sent, while one is awaited, on an idle connection.
        connection={
            "connect_timeout": 3,
            "keepalives": 1,
            "keepalives_idle": 1,
            "keepalives_interval": 1,
            "keepalives_count": 5,
            "tcp_user_timeout": 3000,
        },
        # Below the client's deadline, so that the server gives up what the client will abandon.
        session={"statement_timeout": "2500", "lock_timeout": "1000"},
        read_only_is_disconnect=True,
        deadline_s=3.0,
        idempotent=True,
        saves="errors: retries outlast a failover, nothing waits for a silent server over 3.5 s",
        costs="writes need a key; an operation may take as long as the failover; more load after it",
        sources=(_AURORA, f"{_POOLING}#dealing-with-disconnects"),
    ),
    Arm(
        name="psycopg-pool",
        description="psycopg_pool.ConnectionPool of 5 to 15 connections, otherwise as it comes",
        retry=_COMMON,
        driver="psycopg-pool",
        pool={"min_size": 5, "max_size": 15},
        saves="broken connections are replaced in the background, with growing waits",
        costs=(
            "connections are not checked unless `check: true`, which a demoted writer passes, too;"
            " a waiting client waits up to 30 s"
        ),
        sources=("https://www.psycopg.org/psycopg3/docs/advanced/pool.html",),
    ),
    Arm(
        name="held-connection",
        description="a psycopg connection that each user holds and opens again when it breaks",
        retry=_COMMON,
        driver="held-connection",
        saves="the least overhead an operation: no pool, no checkout",
        costs="a connection a user; one to a demoted writer is held until it breaks",
        sources=("https://www.psycopg.org/psycopg3/docs/basic/usage.html",),
    ),
    Arm(
        name="asyncpg",
        description="asyncpg's pool as it comes, of 10 connections, its event loop in a thread",
        retry=_COMMON,
        driver="asyncpg",
        saves="a driver without libpq: less work an operation where the application is asyncio",
        costs=(
            "a pool that waits without limit; 25006 leaves a connection in it; connecting may take"
            " 60 s. Here each call also crosses from a thread to the loop"
        ),
        sources=("https://magicstack.github.io/asyncpg/current/api/index.html#connection-pools",),
    ),
    Arm(
        name="aws-wrapper",
        description="AWS Advanced Python Wrapper on psycopg: failover_v2, host monitoring",
        # FailoverSuccessError asks for the operation to be done again on the same connection.
        retry=Retry.exponential(
            attempts_max=5, elapsed_s_max=60.0, wait_s_first=0.05, wait_s_max=1.0
        ),
        driver="aws-wrapper",
        connection={
            "plugins": "initial_connection,aurora_connection_tracker,failover_v2,host_monitoring_v2"
        },
        saves="finds the new writer by the topology, without DNS; silent hosts are found out",
        costs=(
            "monitoring connections and threads; an operation under way ends with one error that"
            " must be handled; hangs under gevent; no deadline can end a call"
        ),
        sources=("https://github.com/aws/aws-advanced-python-wrapper",),
    ),
)


def find(name: str) -> Arm:
    """Return the arm called `name`.

    Raises:
        DefinitionError: there is none; names the nearest and all that exist.
    """
    for arm in CATALOGUE:
        if arm.name == name:
            return arm
    names = [arm.name for arm in CATALOGUE]
    raise DefinitionError(
        f"unknown arm {name!r}; arms are {', '.join(names)}{nearest(name, names)}"
    )
