"""The tables of a run and the SQL that traffic and ledger run on them, in a schema of ours.

`writes_RUN`    every write and every transaction is one row. Rows of an idempotent client are
                `keyed`: a unique index holds each to one row, however often it is sent. The rows of
                any other client are plain, so that repeating a write that had been committed really
                duplicates it.
`accounts_RUN`  of arms that transfer money: `ACCOUNTS` accounts each. A transfer moves an amount
                between two of them and adds its row to `writes_RUN`, in one transaction. So the
                balances of an arm add up to `SUM_OF_BALANCES` in every snapshot of every instance,
                even where a client repeats a transfer that had been committed.
"""

from __future__ import annotations

import hashlib
import itertools
import re

SCHEMA = "gameday"
_NAME_MAX = 63  # bytes of a PostgreSQL identifier or session name; the rest is cut off silently


ACCOUNTS = 1_000
"""Accounts of an arm: enough that transfers seldom wait for each other, also a crowd of them."""
OPENING_BALANCE = 1_000
SUM_OF_BALANCES = ACCOUNTS * OPENING_BALANCE


def table_of(run: str) -> str:
    """Return the qualified name of a run's table, safe in SQL and different for any two runs."""
    return _qualified("writes", run)


def accounts_of(run: str) -> str:
    """Return the qualified name of a run's table of accounts; it may not exist."""
    return _qualified("accounts", run)


def _qualified(prefix: str, run: str) -> str:
    name = f"{prefix}_" + re.sub(r"[^a-z0-9]+", "_", run.lower()).strip("_")
    if name != f"{prefix}_{run}" or len(name) > _NAME_MAX:
        digest = hashlib.sha256(run.encode()).hexdigest()[:8]
        name = f"{name[: _NAME_MAX - 9]}_{digest}"
    return f"{SCHEMA}.{name}"


def session_name(run: str, arm: str) -> str:
    """Return the `application_name` of an arm's sessions, different for any two arms and runs.

    PostgreSQL would replace what is not printable ASCII, and cut off what is too long.
    """
    name = f"gameday-{arm}/{run}"  # A slash is in neither: a run is a folder, an arm is ours.
    if len(name) > _NAME_MAX or not re.fullmatch(r"[ -~]+", name):
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        name = re.sub(r"[^ -~]", "_", name)[: _NAME_MAX - len(digest) - 2] + "//" + digest
    return name


# Two runs that prepare or drop at once would otherwise race for the schema.
LOCK = "SELECT pg_advisory_xact_lock(hashtext('gameday schema'))"
STATEMENT_TIMEOUT = "SELECT set_config('statement_timeout', %s, false)"
# The comment tells our schema from one that somebody else called the same.
CREATE_SCHEMA = """
DO $$ BEGIN
    IF to_regnamespace('gameday') IS NULL THEN
        CREATE SCHEMA gameday;
        COMMENT ON SCHEMA gameday IS 'aurora-gameday: tables of its runs';
    END IF;
END $$"""
DROP_SCHEMA = """
DO $$ BEGIN
    IF obj_description(to_regnamespace('gameday'), 'pg_namespace')
            = 'aurora-gameday: tables of its runs' THEN
        DROP SCHEMA gameday;
    END IF;
EXCEPTION WHEN dependent_objects_still_exist THEN
    NULL;  -- another run's tables are in it
END $$"""
CREATE_TABLE = """
CREATE TABLE {table} (
    arm text NOT NULL,
    write_id bigint NOT NULL,
    attempt integer NOT NULL,
    keyed boolean NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
CREATE_INDEX = "CREATE INDEX ON {table} (arm, write_id)"
CREATE_KEY = "CREATE UNIQUE INDEX ON {table} (arm, write_id) WHERE keyed"

WRITE = """
INSERT INTO {table} (arm, write_id, attempt, keyed) VALUES (:arm, :write_id, :attempt, false)"""
WRITE_KEYED = """
INSERT INTO {table} (arm, write_id, attempt, keyed) VALUES (:arm, :write_id, :attempt, true)
ON CONFLICT (arm, write_id) WHERE keyed DO NOTHING"""
ROW = WRITE + " RETURNING write_id"
ROW_KEYED = WRITE_KEYED + " RETURNING write_id"  # no row: the transaction had been committed before
CONFIRM = """
UPDATE {table} SET written_at = clock_timestamp() WHERE arm = :arm AND write_id = :write_id"""
# The arm's latest write: one index entry and one row, however large the table has become.
READ = """
SELECT write_id, written_at FROM {table} WHERE arm = :arm ORDER BY write_id DESC LIMIT 1"""
# The same, and the latest of those that were written up to one that the client was told of.
READ_TOLD = """
SELECT (SELECT write_id FROM {table} WHERE arm = :arm ORDER BY write_id DESC LIMIT 1),
       (SELECT write_id FROM {table} WHERE arm = :arm AND write_id <= :told
        ORDER BY write_id DESC LIMIT 1)"""
DROP_TABLE = "DROP TABLE IF EXISTS {table}"
FOUND = "SELECT write_id, count(*) FROM {table} WHERE arm = %s GROUP BY write_id ORDER BY write_id"
FOUND_AMONG = "SELECT DISTINCT write_id FROM {table} WHERE arm = %s AND write_id = ANY(%s)"
ATTEMPTS_AMONG = """
SELECT write_id, attempt FROM {table} WHERE arm = %s AND write_id = ANY(%s) ORDER BY 1, 2"""
# A row of no arm, written by the ledger: an instance that shows it shows all that came before it.
MARK = "INSERT INTO {table} (arm, write_id, attempt, keyed) VALUES ('', %s, 1, false)"
MARKED = "SELECT 1 FROM {table} WHERE arm = '' AND write_id = %s"
SESSIONS_LEFT = "SELECT count(*) FROM pg_stat_activity WHERE application_name = ANY(%s)"

# {accounts} is `accounts_of(run)`.
MOVE = """
UPDATE {accounts} SET balance = balance + :amount WHERE arm = :arm AND account = :account"""
# One statement, so one snapshot: the sum, and how far the instance has come.
READ_SUM = """
SELECT (SELECT sum(balance) FROM {accounts} WHERE arm = :arm),
       (SELECT write_id FROM {table} WHERE arm = :arm ORDER BY write_id DESC LIMIT 1)"""
# {table} is `accounts_of(run)` in these.
CREATE_ACCOUNTS = """
CREATE TABLE {table} (
    arm text NOT NULL,
    account integer NOT NULL,
    balance bigint NOT NULL,
    PRIMARY KEY (arm, account)
)"""
OPEN_ACCOUNTS = """
INSERT INTO {table} (arm, account, balance) SELECT %s, n, %s FROM generate_series(1, %s) AS n"""
ACCOUNTS_EXIST = "SELECT to_regclass(%s) IS NOT NULL"
BALANCES_SUM = "SELECT sum(balance)::bigint FROM {table} WHERE arm = %s"  # NULL: no such arm

# The last is true on a reader alone.
IDENTITY = "SELECT aurora_db_instance_identifier(), pg_backend_pid(), pg_is_in_recovery()"
# A PostgreSQL that is not Aurora has no such function; its address tells it from others.
IDENTITY_BY_ADDRESS = "SELECT host(inet_server_addr()), pg_backend_pid(), pg_is_in_recovery()"


class WriteIds:
    """Ids for the writes of one process: `ARM * 10**12 + PROCESS * 10**9 + n`, n counting from 1.

    They are unique within a run without any coordination, and a person can read them.
    """

    def __init__(self, arm_number: int, process_number: int = 0) -> None:
        # A counter, since users may be threads: no two of them get one id.
        self._ids = itertools.count(arm_number * 10**12 + process_number * 10**9 + 1)

    def next(self) -> int:
        """Return the next id."""
        return next(self._ids)
