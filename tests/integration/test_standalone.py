"""RDS for PostgreSQL through boto3: one instance, its hidden standby, its name and its data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from fix_control_plane import unique_id
from fix_rds_model import Refused, Served
from psycopg import errors

from chaos.wait import wait_until

SECRET = "for-tests-only"
TIMEOUT_S = 60


class Instance:
    """One stand-alone instance, and what tests keep asking of it."""

    def __init__(self, served: Served, name: str) -> None:
        self.served = served
        self.name = name

    @property
    def shown(self) -> dict[str, Any]:
        return self.served.instance(self.name)

    @property
    def status(self) -> str:
        status: str = self.shown["DBInstanceStatus"]
        return status

    @property
    def address(self) -> str:
        """Where its name leads to now."""
        (address,) = self.served.behind(self.shown["Endpoint"]["Address"])
        return address

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self.address,
            port=self.shown["Endpoint"]["Port"],
            user="boss",
            dbname=self.shown.get("DBName", "postgres"),
            **{"password": SECRET, "connect_timeout": 10, "autocommit": True, **options},
        )

    def sql(self, statement: str) -> Any:
        with self.connect() as session:
            row = session.execute(statement.encode()).fetchone()
        return row[0] if row else None

    def run(self, statement: str) -> None:
        with self.connect() as session:
            session.execute(statement.encode())

    def await_status(self, wanted: str = "available") -> None:
        wait_until(
            lambda: self.status == wanted,
            f"{self.name} to be {wanted}",
            timeout_s=TIMEOUT_S,
            interval_s=0.05,
        )

    def await_(self, statement: str, wanted: Any, what: str) -> None:
        wait_until(
            lambda: self.sql(statement) == wanted,
            what,
            timeout_s=TIMEOUT_S,
            errors=(psycopg.OperationalError,),
        )

    def events(self) -> list[str]:
        """The numbers of its events so far."""
        return [
            e.event_id.removeprefix("RDS-EVENT-")
            for e in self.served.estate.ground.events.all()
            if e.source_id == self.name
        ]

    def await_event(self, number: str, times: int = 1) -> None:
        wait_until(
            lambda: self.events().count(number) >= times, f"event {number}", timeout_s=TIMEOUT_S
        )


def create(served: Served, name: str, **fields: Any) -> Instance:
    request = {
        "DBInstanceIdentifier": name,
        "Engine": "postgres",
        "DBInstanceClass": "db.t4g.medium",
        "AllocatedStorage": 20,
        "MasterUsername": "boss",
        "MasterUserPassword": SECRET,
        "DBName": "shop",
        **fields,
    }
    served.rds.create_db_instance(**request)
    instance = Instance(served, name)
    instance.await_status()
    return instance


def delete(instance: Instance) -> None:
    instance.served.rds.delete_db_instance(
        DBInstanceIdentifier=instance.name, SkipFinalSnapshot=True
    )


@pytest.fixture(scope="module")
def pair(served: Served) -> Instance:
    """A Multi-AZ instance with a table; each test leaves it available and in sync."""
    made = create(served, "pair", MultiAZ=True, Tags=[{"Key": "team", "Value": "data"}])
    made.run("CREATE TABLE sold (id serial PRIMARY KEY, what text)")
    return made


@pytest.fixture
def single(served: Served) -> Iterator[Instance]:
    made = create(served, unique_id("single"))
    yield made
    delete(made)
    waiter = served.rds.get_waiter("db_instance_deleted")
    waiter.wait(DBInstanceIdentifier=made.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


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


def test_a_crash_of_the_active_node_fails_over(pair: Instance) -> None:
    pair.await_("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1, "sync")
    told, address = pair.events().count("0049"), pair.address
    pair.run("INSERT INTO sold (what) VALUES ('before the crash')")
    pair.served.estate.cluster_of("pair").crash("pair")
    pair.await_event("0049", told + 1)
    pair.await_status()
    assert pair.address != address
    assert pair.sql("SELECT count(*) FROM sold WHERE what = 'before the crash'") == 1


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
