"""The SQL that Aurora-aware drivers send, word for word, as the ordinary user on every instance.

Sources: dialects of the AWS Advanced Python Wrapper 3.1 and of its JDBC and Go relatives.
"""

from __future__ import annotations

import re

import psycopg
import pytest
from fix_testcluster import Connection, NewCluster, Running

from chaos.wait import wait_until

RDS_EXTENSIONS = (
    "SELECT (setting LIKE '%rds_tools%') AS rds_tools, "
    "(setting LIKE '%aurora_stat_utils%') AS aurora_stat_utils "
    "FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'rds.extensions'"
)
HAS_TOPOLOGY = "SELECT 1 FROM pg_catalog.aurora_replica_status() LIMIT 1"
TOPOLOGY = (
    "SELECT SERVER_ID, CASE WHEN SESSION_ID OPERATOR(pg_catalog.=) 'MASTER_SESSION_ID' "
    "THEN TRUE ELSE FALSE END, CPU, COALESCE(REPLICA_LAG_IN_MSEC, 0), LAST_UPDATE_TIMESTAMP "
    "FROM pg_catalog.aurora_replica_status() "
    "WHERE EXTRACT(EPOCH FROM(pg_catalog.NOW() OPERATOR(pg_catalog.-) LAST_UPDATE_TIMESTAMP)) "
    "OPERATOR(pg_catalog.<=) 300 OR SESSION_ID OPERATOR(pg_catalog.=) 'MASTER_SESSION_ID' "
    "OR LAST_UPDATE_TIMESTAMP IS NULL"
)
IDENTITY = (
    "SELECT pg_catalog.aurora_db_instance_identifier(), pg_catalog.aurora_db_instance_identifier()"
)
AM_I_WRITER = (
    "SELECT SERVER_ID FROM pg_catalog.aurora_replica_status() "
    "WHERE SESSION_ID OPERATOR(pg_catalog.=) 'MASTER_SESSION_ID' "
    "AND SERVER_ID OPERATOR(pg_catalog.=) pg_catalog.aurora_db_instance_identifier()"
)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_instance_is_recognised_and_knows_the_topology(
    shared_cluster: Running, number: int
) -> None:
    here = shared_cluster.instance(number)
    with shared_cluster.connect(here.address) as connection:
        ask = connection.execute
        assert ask(RDS_EXTENSIONS).fetchone() == (False, True)
        assert ask(HAS_TOPOLOGY).fetchone() == (1,)
        assert ask(IDENTITY).fetchone() == (here.id, here.id)
        assert ask(AM_I_WRITER).fetchall() == ([(here.id,)] if here.is_writer else [])
        assert ask("SELECT pg_catalog.pg_is_in_recovery()").fetchone() == (not here.is_writer,)
        rows = ask(TOPOLOGY).fetchall()
    assert {row[0]: row[1] for row in rows} == {
        i.id: i.is_writer for i in shared_cluster.record.instances
    }
    for server, is_writer, cpu, lag, updated in rows:
        assert isinstance(cpu, float), "drivers round it"
        assert isinstance(lag, float)
        assert lag >= 0
        assert (updated is None) is (server == here.id)
        assert is_writer is (server == shared_cluster.writer.id)


def test_the_columns_are_auroras_with_sessions_and_lsns(shared_cluster: Running) -> None:
    with shared_cluster.connect(shared_cluster.writer.address) as connection:
        cursor = connection.execute("SELECT * FROM aurora_replica_status() ORDER BY server_id")
        assert cursor.description is not None
        columns = [column.name for column in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    assert columns[:4] == ["server_id", "session_id", "durable_lsn", "highest_lsn_rcvd"]
    assert columns[-1] == "cpu"
    assert len(columns) == 22
    writer, reader, _ = rows
    assert writer["session_id"] == "MASTER_SESSION_ID"
    assert writer["replica_lag_in_msec"] is None
    assert isinstance(writer["durable_lsn"], int)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(reader["session_id"]))
    assert isinstance(reader["current_read_lsn"], int)


def test_it_is_not_a_global_database_nor_a_multi_az_cluster(shared_cluster: Running) -> None:
    with shared_cluster.connect(shared_cluster.writer.address) as connection:
        ask = connection.execute
        assert ask("select 'pg_catalog.aurora_global_db_status'::regproc").fetchone()
        assert ask("select 'pg_catalog.aurora_global_db_instance_status'::regproc").fetchone()
        assert not ask(
            "SELECT version, endpoint, port, role, status"
            " FROM pg_catalog.get_blue_green_fast_switchover_metadata('a-driver-1.0')"
        ).fetchall()
        assert not ask(
            "SELECT router_endpoint, load FROM pg_catalog.aurora_limitless_router_endpoints()"
        ).fetchall()
        count = "SELECT count(1) FROM pg_catalog.aurora_global_db_status()"
        assert ask(count).fetchone() == (0,)
        with pytest.raises(psycopg.errors.InvalidSchemaName):
            ask(
                "SELECT multi_az_db_cluster_source_dbi_resource_id "
                "FROM rds_tools.multi_az_db_cluster_source_dbi_resource_id()"
            )


def test_every_database_has_it_and_settings_still_work(shared_cluster: Running) -> None:
    version = shared_cluster.record.engine_version
    with shared_cluster.connect(shared_cluster.writer.address) as connection:
        connection.execute("CREATE DATABASE later")
        major = connection.execute("SHOW server_version_num").fetchone()
    with shared_cluster.connect(shared_cluster.writer.address, dbname="later") as connection:
        ask = connection.execute
        assert ask("SELECT aurora_version()").fetchone() == (f"{version}.0",)
        ask("UPDATE pg_settings SET setting = '11MB' WHERE name = 'work_mem'")
        assert ask("SHOW work_mem").fetchone() == ("11MB",)
        listed = ask("SELECT setting FROM pg_settings WHERE name = 'server_version_num'")
        assert listed.fetchone() == major


def test_the_user_is_no_superuser_but_owns_the_database(shared_cluster: Running) -> None:
    with shared_cluster.connect(shared_cluster.writer.address) as connection:
        ask = connection.execute
        superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        assert ask(superuser).fetchone() == (False,)
        ask("CREATE SCHEMA mine")
        ask("CREATE TABLE mine.t (id int)")
        ask("CREATE TABLE in_public (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask("SELECT pg_read_file('postmaster.pid')")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        shared_cluster.connect(shared_cluster.writer.address, password="wrong")


def error_of(connection: Connection) -> psycopg.OperationalError | None:
    """Return how the session ended; the postmaster needs a moment to end it."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        return error
    return None


@pytest.mark.parametrize("number", [1, 2], ids=["writer", "reader"])
def test_an_injected_crash_restarts_the_instance_in_place(
    new_cluster: NewCluster, number: int
) -> None:
    running = new_cluster(readers=1)
    before = running.instance(number)
    with (
        running.connect(before.address) as bystander,
        running.connect(before.address) as connection,
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SELECT aurora_inject_crash('disk')")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT aurora_inject_crash('INSTANCE')")
        ended = wait_until(lambda: error_of(bystander), "the bystander's end", timeout_s=60)
        assert ended is not None
        assert ended.sqlstate in {"57P02", None}

    def back() -> bool:
        return running.settled() and running.instance(number).pid not in {None, before.pid}

    wait_until(back, "its return", timeout_s=60)
    assert running.writer.id == running.instance(1).id
    assert running.event_ids(before.id)[-2:] == ["0004", "0006"]
    assert "0073" not in running.event_ids("t")
