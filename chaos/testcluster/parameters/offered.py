"""The parameters that parameter groups offer here: those that clients, failover and capacity feel.

Every one is really set in PostgreSQL. Names, levels, types and limits are those of AWS's lists; a value
is in PostgreSQL's base unit of the setting, as on AWS. What is not listed is refused: a parameter that
was accepted and did nothing would be learned about in production.
Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/ , "Aurora PostgreSQL parameters".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from chaos.testcluster.records import ApiError

AURORA = "aurora-postgresql"
POSTGRES = "postgres"
DYNAMIC = "dynamic"
STATIC = "static"
FORCE_SSL = "rds.force_ssl"
LOGICAL = "rds.logical_replication"
MAX_CONNECTIONS = "max_connections"

_FAMILY = re.compile(rf"({AURORA}|{POSTGRES})(\d+)")
_MOST = 2147483647
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter; `default` None: PostgreSQL's own, which is not shown."""

    name: str
    description: str
    data_type: str  # integer | float | boolean | string | list
    between: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    apply_type: str = DYNAMIC
    default: str | None = None
    cluster_only: bool = False
    """Aurora has it in DB cluster parameter groups alone; a `postgres` family's groups have all."""
    matched: bool = False
    """A reader needs at least the writer's value, for PostgreSQL's readers replay."""

    @property
    def allowed(self) -> str:
        """What may be given, as the API shows it; empty for anything."""
        if self.between is not None:
            return "-".join(f"{bound:.15g}" for bound in self.between)
        return ",".join(self.choices)

    def allows(self, value: str) -> bool:
        """Tell whether `value` may be given."""
        if value == self.default:
            return True
        if self.between is not None:
            number = _NUMBER.fullmatch(value)
            if number is None or (self.data_type == "integer" and number[1]):
                return False
            return self.between[0] <= float(value) <= self.between[1]
        if self.data_type == "list":
            return all(part.strip() in self.choices for part in value.split(",") if part)
        return not self.choices or value in self.choices


def _integer(
    name: str, low: int, high: int, description: str, *, apply_type: str = DYNAMIC, **more: object
) -> Parameter:
    return Parameter(
        name=name,
        description=description,
        data_type="integer",
        between=(low, high),
        apply_type=apply_type,
        **more,  # type: ignore[arg-type]
    )


def _flag(name: str, description: str, **more: object) -> Parameter:
    return Parameter(
        name=name,
        description=description,
        data_type="boolean",
        choices=("0", "1"),
        **more,  # type: ignore[arg-type]
    )


def _choice(name: str, choices: str, description: str, **more: object) -> Parameter:
    return Parameter(
        name=name,
        description=description,
        data_type="string",
        choices=tuple(choices.split(",")),
        **more,  # type: ignore[arg-type]
    )


_ALL = (
    # -- connections and their ends
    _integer(
        MAX_CONNECTIONS,
        6,
        8388607,
        "Sets the maximum number of concurrent connections.",
        apply_type=STATIC,
        default="LEAST({DBInstanceClassMemory/9531392},5000)",
        matched=True,
    ),
    _flag(FORCE_SSL, "Force SSL connections.", default="0", cluster_only=True),
    _choice(
        "password_encryption",
        "md5,scram-sha-256",
        "Chooses the algorithm for encrypting passwords.",
        cluster_only=True,
    ),
    _integer("tcp_keepalives_idle", 0, _MOST, "(s) Time between issuing TCP keepalives."),
    _integer("tcp_keepalives_interval", 0, _MOST, "(s) Time between TCP keepalive retransmits."),
    _integer("tcp_keepalives_count", 0, _MOST, "Maximum number of TCP keepalive retransmits."),
    _integer("tcp_user_timeout", 0, _MOST, "(ms) TCP user timeout."),
    _integer(
        "client_connection_check_interval",
        0,
        _MOST,
        "(ms) Time interval between checks for disconnection while running queries.",
    ),
    _integer(
        "idle_in_transaction_session_timeout",
        0,
        _MOST,
        "(ms) Sets the maximum allowed duration of any idling transaction.",
    ),
    _integer("idle_session_timeout", 0, _MOST, "(ms) Sets the maximum idle time of a session."),
    # -- statements
    _integer("statement_timeout", 0, _MOST, "(ms) Sets the maximum duration of any statement."),
    _integer("lock_timeout", 0, _MOST, "(ms) Sets the maximum duration of any wait for a lock."),
    _integer("deadlock_timeout", 1, _MOST, "(ms) Time to wait before checking for deadlock."),
    _flag("default_transaction_read_only", "Sets the default read-only status of transactions."),
    _choice(
        "default_transaction_isolation",
        "serializable,repeatable read,read committed,read uncommitted",
        "Sets the transaction isolation level of each new transaction.",
    ),
    _choice(
        "synchronous_commit",
        "local,on,off",
        "Sets the current transaction's synchronization level.",
        cluster_only=True,
    ),
    _choice(
        "timezone",
        "UTC,America/New_York,America/Sao_Paulo,Asia/Kolkata,Asia/Tokyo,Australia/Sydney,"
        "Europe/Berlin,Europe/Dublin,Europe/London,US/Pacific",
        "Sets the time zone for displaying and interpreting time stamps.",
        default="UTC",
        cluster_only=True,
    ),
    # -- readers
    _integer(
        "max_standby_streaming_delay",
        -1,
        _MOST,
        "(ms) Maximum delay before canceling queries that conflict with what is replayed.",
    ),
    _flag(LOGICAL, "Enables logical decoding.", apply_type=STATIC, default="0", cluster_only=True),
    # -- memory and the planner
    _integer("work_mem", 64, _MOST, "(kB) Sets the maximum memory for query workspaces."),
    _integer("maintenance_work_mem", 1024, _MOST, "(kB) Maximum memory for maintenance."),
    _integer("effective_cache_size", 1, _MOST, "(8kB) The planner's assumption about the cache."),
    Parameter(
        name="random_page_cost",
        description="The planner's estimate of the cost of a page fetched out of order.",
        data_type="float",
        between=(0, 1.79769e308),
    ),
    _integer(
        "max_worker_processes",
        8,
        262143,
        "Sets the maximum number of concurrent worker processes.",
        apply_type=STATIC,
        matched=True,
    ),
    _integer(
        "max_prepared_transactions",
        0,
        262143,
        "Sets the maximum number of simultaneously prepared transactions.",
        apply_type=STATIC,
        matched=True,
    ),
    _integer(
        "max_locks_per_transaction",
        64,
        _MOST,
        "Sets the maximum number of locks per transaction.",
        apply_type=STATIC,
        matched=True,
    ),
    _integer(
        "track_activity_query_size",
        100,
        102400,
        "(bytes) Sets the size reserved for pg_stat_activity.query.",
        apply_type=STATIC,
    ),
    Parameter(
        name="shared_preload_libraries",
        description="Lists shared libraries to preload into server.",
        data_type="list",
        choices=("auto_explain", "pg_stat_statements"),
        apply_type=STATIC,
    ),
    # -- the log
    _integer("log_min_duration_statement", -1, _MOST, "(ms) Logs statements that take so long."),
    _choice("log_statement", "none,ddl,mod,all", "Sets the type of statements logged."),
    _flag("log_connections", "Logs each successful connection."),
    _flag("log_disconnections", "Logs end of a session, including duration."),
    _flag("log_lock_waits", "Logs long lock waits."),
)

PARAMETERS: Mapping[str, Parameter] = {parameter.name: parameter for parameter in _ALL}


def offered(family: str, *, cluster_level: bool) -> Mapping[str, Parameter]:
    """Return the parameters of a family's DB cluster parameter groups, or of its DB groups."""
    if cluster_level or family.startswith(POSTGRES):
        return PARAMETERS
    return {name: p for name, p in PARAMETERS.items() if not p.cluster_only}


def is_family(text: str) -> bool:
    """Tell whether `text` names a family of parameter groups."""
    return _FAMILY.fullmatch(text) is not None


def require_family(family: str) -> str:
    """Return the engine that a parameter group family is for.

    Raises:
        ApiError: InvalidParameterValue.
    """
    match = _FAMILY.fullmatch(family)
    if match is None:
        raise ApiError(
            "InvalidParameterValue",
            f"ParameterGroupFamily {family} is not a valid parameter group family; the test "
            f"cluster has {AURORA}MAJOR and {POSTGRES}MAJOR.",
        )
    return match[1]


def family_of(engine: str, engine_version: str) -> str:
    """Return the family of an engine's version: `aurora-postgresql15`."""
    return f"{engine}{engine_version.partition('.')[0]}"


def default_group(engine: str, engine_version: str) -> str:
    """Return the name of the parameter group that is used where none is named."""
    return f"default.{family_of(engine, engine_version)}"


def settings(values: Mapping[str, str]) -> dict[str, str]:
    """Return the PostgreSQL settings that parameters mean.

    Names with `rds.` are set too, as placeholders that `SHOW` tells, as on RDS.
    """
    # A formula is the default's, which whoever knows the instance's capacity works out.
    meant = {name: value for name, value in values.items() if not value.startswith("LEAST(")}
    if meant.get(LOGICAL) == "1":
        meant["wal_level"] = "logical"
    return meant
