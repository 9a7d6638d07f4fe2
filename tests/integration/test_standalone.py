"""RDS for PostgreSQL through boto3: one instance, its hidden standby, its name and its data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from fix_control_plane import unique_id
from fix_rds_model import Refused, Served
from fix_standalone import Instance, create
from psycopg import errors

from chaos.testcluster.disturbances.node import Hang
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(25)


@pytest.fixture(scope="module")
def pair(served: Served) -> Instance:
    """A Multi-AZ instance with a table; each test leaves it available and in sync."""
    made = create(served, "pair", MultiAZ=True, Tags=[{"Key": "team", "Value": "data"}])
    made.run("CREATE TABLE sold (id serial PRIMARY KEY, what text)")
    return made


def test_a_single_instance_is_postgres_of_rds_and_not_aurora(single: Instance) -> None:
    shown = single.shown
    assert (shown["Engine"], shown["MultiAZ"]) == ("postgres", False)
    assert shown["Endpoint"]["Address"].startswith(f"{single.name}.c")
    assert "DBClusterIdentifier" not in shown
    assert "SecondaryAvailabilityZone" not in shown
    assert single.events() == ["0005"]
    extensions = "SELECT setting FROM pg_settings WHERE name = 'rds.extensions'"
    assert "rds_tools" in single.sql(extensions)
    assert "aurora_stat_utils" not in single.sql(extensions)
    with pytest.raises(errors.UndefinedFunction):
        single.sql("SELECT aurora_version()")
    assert single.sql("SELECT current_database()") == "shop"
    assert single.sql("SELECT pg_is_in_recovery()") is False


def test_it_stops_starts_and_keeps_its_data(single: Instance, refused: Refused) -> None:
    rds = single.served.rds
    single.run("CREATE TABLE kept AS SELECT 42 AS answer")
    refused(
        "InvalidParameterCombination",
        rds.reboot_db_instance,
        DBInstanceIdentifier=single.name,
        ForceFailover=True,
    )
    assert rds.stop_db_instance(DBInstanceIdentifier=single.name)["DBInstance"]
    single.await_status("stopped")
    with pytest.raises(psycopg.OperationalError):
        single.connect()
    refused("InvalidDBInstanceState", rds.stop_db_instance, DBInstanceIdentifier=single.name)
    rds.start_db_instance(DBInstanceIdentifier=single.name)
    single.await_status()
    assert single.sql("SELECT answer FROM kept") == 42
    refused("InvalidDBInstanceState", rds.start_db_instance, DBInstanceIdentifier=single.name)
    rds.reboot_db_instance(DBInstanceIdentifier=single.name)
    single.await_event("0006")
    single.await_status()
    assert single.events() == ["0005", "0087", "0088", "0004", "0006"]


def test_a_crashed_single_instance_restarts_in_place(single: Instance) -> None:
    single.run("CREATE TABLE kept AS SELECT 42 AS answer")
    before = single.address
    single.served.estate.cluster_of(single.name).crash(single.name)
    single.await_event("0006")
    single.await_status()
    assert single.address == before
    assert single.sql("SELECT answer FROM kept") == 42


def test_commits_wait_for_the_hidden_standby(pair: Instance) -> None:
    shown = pair.shown
    assert shown["MultiAZ"] is True
    assert shown["SecondaryAvailabilityZone"] != shown["AvailabilityZone"]
    pair.await_("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1, "sync")
    listed = pair.served.rds.describe_db_instances()["DBInstances"]
    assert "pair" in {i["DBInstanceIdentifier"] for i in listed}
    assert not any("node" in i["DBInstanceIdentifier"] for i in listed)


def test_a_forced_failover_moves_the_name_and_loses_nothing(pair: Instance) -> None:
    pair.await_("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1, "sync")
    before, address = pair.shown, pair.address
    told = pair.events().count("0049")
    pair.run("INSERT INTO sold (what) VALUES ('before the failover')")
    answer = pair.served.rds.reboot_db_instance(DBInstanceIdentifier="pair", ForceFailover=True)
    assert answer["DBInstance"]["DBInstanceIdentifier"] == "pair"
    pair.await_event("0049", told + 1)
    pair.await_status()
    assert pair.address != address
    assert pair.sql("SELECT count(*) FROM sold WHERE what = 'before the failover'") == 1
    after = pair.shown
    assert after["Endpoint"] == before["Endpoint"]
    assert after["AvailabilityZone"] == before["SecondaryAvailabilityZone"]
    assert after["SecondaryAvailabilityZone"] == before["AvailabilityZone"]
    numbers = pair.events()
    assert numbers[-1 - numbers[::-1].index("0013") :][:1] == ["0013"]
    assert {"0013", "0015", "0049"} <= set(numbers)
    assert not any(e.startswith("007") for e in numbers), "no events of an Aurora cluster"
    pair.run("INSERT INTO sold (what) VALUES ('after the failover')")
    ca_file = pair.served.estate.security.ca_file
    if ca_file is not None:  # Either node proves to be who the name says.
        name = after["Endpoint"]["Address"]
        trust = {"sslmode": "verify-full", "sslrootcert": str(ca_file)}
        pair.connect(host=name, hostaddr=pair.address, **trust).close()


def test_a_crash_of_the_active_node_fails_over(pair: Instance) -> None:
    pair.await_("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1, "sync")
    told, address = pair.events().count("0049"), pair.address
    with ThreadPoolExecutor(1) as pool, pair.connect() as session:
        writing = pool.submit(write_until_it_breaks, session)
        pair.await_("SELECT count(*) > 20 FROM sold WHERE what = 'told'", True, "writes")
        pair.served.estate.cluster_of("pair").crash("pair")
        told_ids = writing.result(60)
    pair.await_event("0049", told + 1)
    pair.await_status()
    assert pair.address != address
    kept = set(pair.sql("SELECT array_agg(id) FROM sold WHERE what = 'told'"))
    assert len(told_ids) > 20
    assert set(told_ids) <= kept, "every commit that was told is there"


def write_until_it_breaks(session: psycopg.Connection[Any]) -> list[int]:
    """Insert rows until the session breaks; return those whose commit was acknowledged."""
    told: list[int] = []
    try:
        while True:
            row = session.execute("INSERT INTO sold (what) VALUES ('told') RETURNING id").fetchone()
            told.append(row[0])  # type: ignore[index]
    except psycopg.OperationalError:
        return told


def test_a_hung_active_node_is_replaced(pair: Instance) -> None:
    pair.await_("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1, "sync")
    told, address = pair.events().count("0049"), pair.address
    pair.served.estate.disturbances.begin(Hang(instance="pair"))
    pair.await_event("0049", told + 1)
    pair.await_status()
    assert pair.address != address
    pair.run("INSERT INTO sold (what) VALUES ('after the hang')")


def test_without_its_standby_it_serves_and_gives_a_failover_up(pair: Instance) -> None:
    pair.await_("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1, "sync")
    core = pair.served.estate.cluster_of("pair").core
    standby = core.standby()  # type: ignore[attr-defined]
    address = pair.address
    with core.lock:
        standby.status = "rebooting"  # As while it is brought back; whoever did it owns it.
    pair.await_("SHOW synchronous_standby_names", "", "commits to go on without it")
    pair.run("INSERT INTO sold (what) VALUES ('alone')")
    pair.served.rds.reboot_db_instance(DBInstanceIdentifier="pair", ForceFailover=True)
    pair.await_event("0034")
    assert pair.address == address
    with core.lock:
        standby.status = "available"
    pair.await_("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1, "sync")


def test_more_connections_reach_both_nodes(pair: Instance) -> None:
    rds, name = pair.served.rds, unique_id("more")
    family = f"postgres{pair.shown['EngineVersion'].partition('.')[0]}"
    rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily=family, Description="more"
    )
    change = {"ParameterName": "max_connections", "ApplyMethod": "pending-reboot"}
    rds.modify_db_parameter_group(
        DBParameterGroupName=name, Parameters=[{**change, "ParameterValue": "1200"}]
    )
    rds.modify_db_instance(DBInstanceIdentifier="pair", DBParameterGroupName=name)
    rds.reboot_db_instance(DBInstanceIdentifier="pair")
    pair.await_status()
    assert pair.sql("SHOW max_connections") == "1200"
    core = pair.served.estate.cluster_of("pair").core

    def both_have_them() -> bool:
        return all(
            m.healthy and m.node.started_with("max_connections") == "1200" for m in core.others()
        )

    wait_until(both_have_them, "the standby to have them too", timeout_s=60)
    pair.await_("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1, "sync")
    told = pair.events().count("0049")
    rds.reboot_db_instance(DBInstanceIdentifier="pair", ForceFailover=True)
    pair.await_event("0049", told + 1)
    pair.await_status()
    assert pair.sql("SHOW max_connections") == "1200"
