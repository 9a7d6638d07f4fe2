"""psycopg, SQLAlchemy, psql and pgbench, as everybody has them, through a test cluster's failovers."""

from __future__ import annotations

import re
import shutil

import psycopg
import pytest
from fix_clients import NewClient, address_of, await_moved, fail_over, settled_writer
from fix_disturbance import ControlAddress
from fix_exec import PSQL, TIMEOUT_S, Beside, possible
from fix_server import LiveCluster

from chaos.testcluster.postgres.programs import find_postgres
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(30)

PGBENCH = shutil.which("pgbench") or find_postgres().program("pgbench")
WHO = "SELECT aurora_db_instance_identifier()"
WRITE = "INSERT INTO notes VALUES ('plain', 1) RETURNING aurora_db_instance_identifier()"
READ_ONLY = "25006"
SESSIONS = 4
MONEY = """
SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),
       (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) FROM pgbench_history),
       (SELECT count(*) FROM pgbench_history)
"""


@pytest.fixture
def beside(noted: LiveCluster) -> Beside:
    """Runs programs for which the cluster's names resolve as AWS's do."""
    return possible(Beside(noted, "auto", None))


def every_host(live: LiveCluster) -> str:
    """The instances' names as libpq's list of hosts."""
    return ",".join(live.state.access.endpoints[instance] for instance in live.instances())


def test_psycopg_finds_the_writer_by_its_session_attributes_while_the_name_is_stale(
    noted: LiveCluster, new_client: NewClient
) -> None:
    """The name alone leads into the trap: a reader that was the writer, and takes no writes."""
    old = settled_writer(noted)
    client = new_client(noted.state)

    def who(name: str, endpoint: str, **attributes: str) -> tuple[str, bool]:
        conninfo = client.conninfo(endpoint, **attributes)
        client.result("connect", name, conninfo=conninfo, options={"autocommit": True})
        return client.who(name)

    with ControlAddress(noted.state).disturbed("dns-stale", endpoint="cluster"):
        fail_over(noted)
        new = await_moved(noted, old)
        hosts = every_host(noted)
        assert who("by name", "cluster") == (old, True)
        assert client.ask("execute", "by name", sql=WRITE)["sqlstate"] == READ_ONLY
        strict = client.conninfo("cluster", target_session_attrs="read-write")
        told = client.ask("connect", "strict", conninfo=strict, options={})
        assert told["error"] == "OperationalError"
        assert "read-only" in told["message"]
        for attribute in ("read-write", "primary"):
            assert who(attribute, hosts, target_session_attrs=attribute) == (new, False)
        for attribute in ("read-only", "standby", "prefer-standby"):
            instance, is_reader = who(attribute, hosts, target_session_attrs=attribute)
            assert is_reader
            assert instance != new
        assert client.result("execute", "read-write", sql=WRITE) == [[new]]
    assert who("strict", "cluster", target_session_attrs="read-write") == (new, False)


def test_sqlalchemy_pools_poisoned_and_not(noted: LiveCluster, new_client: NewClient) -> None:
    """A pool refilled by a stale name stays on the old writer for good; session attributes save it."""
    old = settled_writer(noted)
    client = new_client(noted.state)
    url, one = client.url("cluster"), {"pool_size": 1, "max_overflow": 0}
    strict = {"connect_args": {"target_session_attrs": "read-write"}}
    engines = {
        "default": one,
        "pre-ping": one | {"pool_pre_ping": True},
        "strict": one | strict,
        "every host": one | {"connect_args": {"host": every_host(noted), **strict["connect_args"]}},
    }

    def write(name: str) -> dict[str, object]:
        return client.ask("engine_execute", name, sql=WRITE)

    for name, options in engines.items():
        client.result("engine", name, url=url, options=options)
        assert write(name)["result"] == [old]
    with ControlAddress(noted.state).disturbed("dns-stale", endpoint="cluster"):
        fail_over(noted)
        new = await_moved(noted, old)
        for name in engines:
            if name != "pre-ping":  # It finds its dead connection out before it is used.
                assert write(name)["error"] == "OperationalError"
        assert write("default")["sqlstate"] == write("pre-ping")["sqlstate"] == READ_ONLY
        assert write("strict")["error"] == "OperationalError"
        assert write("every host")["result"] == [new]
    assert settled_writer(noted) == new
    assert write("default")["sqlstate"] == write("pre-ping")["sqlstate"] == READ_ONLY
    assert write("strict")["result"] == [new]


def test_psql_loses_its_session_and_finds_the_new_writer(
    noted: LiveCluster, beside: Beside
) -> None:
    old = settled_writer(noted)
    endpoint = noted.state.access.endpoints["cluster"]
    with beside.start(PSQL, "-At", "-h", endpoint) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(f"{WHO};\n")
        session.stdin.flush()
        assert session.stdout.readline().strip() == old
        fail_over(noted)
        new = await_moved(noted, old)
        _, complaints = session.communicate(f"{WHO};\n", timeout=TIMEOUT_S)
    assert session.returncode == 2  # psql's own: the connection went bad
    assert re.search("terminating connection|closed the connection", complaints)
    hosts = f"host={every_host(noted)} target_session_attrs=read-write"
    assert beside.output(PSQL, "-At", hosts, "-c", WHO) == new != old
    assert settled_writer(noted) == new
    assert beside.output(PSQL, "-At", "-h", endpoint, "-c", WHO) == new


def test_pgbench_is_told_of_no_transaction_that_a_failover_loses(
    noted: LiveCluster, beside: Beside
) -> None:
    """What it counts is there afterwards, at most one more a session, and its sums agree."""
    old = settled_writer(noted)
    endpoint = noted.state.access.endpoints["cluster"]
    beside.output(PGBENCH, "-i", "-I", "dtGp", "-q", "-h", endpoint)
    command = (PGBENCH, "-n", "-c", str(SESSIONS), "-T", "60", "-h", endpoint)
    with beside.start(*command) as load:
        wait_until(
            lambda: noted.sql(old, "SELECT count(*) FROM pgbench_history") > 100,
            "transactions",
            timeout_s=60,
        )
        fail_over(noted)
        output, complaints = load.communicate(timeout=TIMEOUT_S)
    assert load.returncode == 2  # pgbench's own: the run was aborted
    assert complaints.count("aborted") >= SESSIONS
    found = re.search(r"transactions actually processed: (\d+)", output)
    assert found, output
    counted = int(found[1])
    assert settled_writer(noted) != old
    with psycopg.connect(**address_of(noted, "cluster")) as connection:
        *sums, recorded = connection.execute(MONEY).fetchone() or ()
    assert counted <= recorded <= counted + SESSIONS
    assert len(set(sums)) == 1
    again = beside.output(PGBENCH, "-n", "-c", str(SESSIONS), "-t", "25", "-h", endpoint)
    assert f"processed: {25 * SESSIONS}/{25 * SESSIONS}" in again
