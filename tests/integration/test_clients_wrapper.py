"""AWS's own Python driver, unmodified and unpatched, follows a test cluster's failovers."""

from __future__ import annotations

import pytest
from fix_clients import NewClient, fail_over, note, notes, settled_writer
from fix_disturbance import ControlAddress
from fix_server import LiveCluster

from chaos.errors import HostError
from chaos.testcluster.machine.sockets import require_filters
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(60)

MOVED = "FailoverSuccessError"
IN_FLIGHT = "SELECT pg_sleep(120)"
# What the wrapper does unasked, and custom endpoints.
WITH_CUSTOM_ENDPOINTS = (
    "initial_connection,aurora_connection_tracker,custom_endpoint,failover_v2,host_monitoring_v2"
)
# A check waits for (interval - 100 ms) / 2, and failed ones must span two intervals: what is only slow
# must not look silent.
DETECTION = {
    "failure_detection_time_ms": 1000,
    "failure_detection_interval_ms": 1500,
    "failure_detection_count": 3,
    "monitoring-connect_timeout": 5,
}


def sessions(live: LiveCluster, instance: str) -> int:
    """How many sessions clients have on an instance."""
    others = "usename = current_user AND pid <> pg_backend_pid()"
    return int(live.sql(instance, f"SELECT count(*) FROM pg_stat_activity WHERE {others}"))


def test_statements_in_flight_move_to_the_new_writer_with_one_error(
    noted: LiveCluster, new_client: NewClient
) -> None:
    """Three sets of plugins in one failover; None is what the wrapper does unasked."""
    sets = {"first": "failover", "second": "failover_v2", "unasked": None}
    old = settled_writer(noted)
    clients = {name: new_client(noted.state) for name in sets}
    for name, client in clients.items():
        client.wrapper(name, "cluster", sets[name])
        assert client.who(name) == (old, False)
        assert note(client, name, 1) == old
    for name, client in clients.items():
        client.begin("execute", name, sql=IN_FLIGHT)
    fail_over(noted)
    told = {name: client.answer().get("error") for name, client in clients.items()}
    assert told == dict.fromkeys(sets, MOVED)
    new = settled_writer(noted)
    assert new != old
    for name, client in clients.items():
        assert client.who(name) == (new, False)
        assert [note(client, name, number) for number in (2, 3)] == [new, new]
        assert notes(noted, name) == [1, 2, 3]


def test_a_transaction_in_flight_is_unknown_and_is_done_again_on_the_new_writer(
    noted: LiveCluster, new_client: NewClient
) -> None:
    old = settled_writer(noted)
    client = new_client(noted.state)
    client.wrapper("careful", "cluster", "failover_v2", autocommit=False)
    assert note(client, "careful", 1) == old
    client.begin("execute", "careful", sql=IN_FLIGHT)
    fail_over(noted)
    assert client.answer()["error"] == "TransactionResolutionUnknownError"
    new = settled_writer(noted)
    assert note(client, "careful", 2) == new != old
    client.result("execute", "careful", sql="COMMIT")
    assert notes(noted, "careful") == [2]


def test_reads_and_writes_are_split_before_and_after_a_failover(
    noted: LiveCluster, new_client: NewClient
) -> None:
    old = settled_writer(noted)
    client = new_client(noted.state)
    client.wrapper("split", "cluster", "read_write_splitting,failover_v2")
    client.result("read_only", "split", value=True)
    reader, is_reader = client.who("split")
    assert is_reader
    assert reader != old
    client.result("read_only", "split", value=False)
    assert client.who("split") == (old, False)
    client.begin("execute", "split", sql=IN_FLIGHT)
    fail_over(noted)
    assert client.answer()["error"] == MOVED
    new = settled_writer(noted)
    assert client.who("split") == (new, False)
    client.result("read_only", "split", value=True)
    reader, is_reader = client.who("split")
    assert is_reader
    assert reader != new
    client.result("read_only", "split", value=False)
    assert note(client, "split", 1) == new != old


def test_idle_connections_to_the_old_writer_are_closed_by_the_tracker(
    noted: LiveCluster, new_client: NewClient
) -> None:
    """Closed in the client, without having been used: its own socket would not tell it."""
    old = settled_writer(noted)
    client = new_client(noted.state)
    for name in ("used", "idle"):
        client.wrapper(
            name, "cluster", "aurora_connection_tracker,failover_v2", cluster_id="tracked"
        )
        assert client.who(name) == (old, False)
    client.begin("execute", "used", sql=IN_FLIGHT)
    fail_over(noted)
    assert client.answer()["error"] == MOVED
    wait_until(lambda: client.result("is_closed", "idle"), "the idle one to close", timeout_s=60)
    assert not client.result("is_closed", "used")
    assert client.who("used") == (settled_writer(noted), False)


def test_a_writer_that_is_silent_is_found_out_by_the_host_monitor(
    noted: LiveCluster, new_client: NewClient
) -> None:
    """Without power a writer resets nothing: whoever does not probe it waits on."""
    try:
        require_filters("to cut the power")
    except HostError as error:
        pytest.skip(str(error))
    old = settled_writer(noted)
    watched, plain = new_client(noted.state), new_client(noted.state)
    watched.wrapper("watched", "cluster", "failover,host_monitoring_v2", **DETECTION)
    plain.result("connect", "plain", conninfo=plain.conninfo("cluster"), options={})
    assert plain.who("plain") == watched.who("watched") == (old, False)
    for name, client in (("watched", watched), ("plain", plain)):
        client.begin("execute", name, sql=IN_FLIGHT)
    with ControlAddress(noted.state).disturbed("power-loss", instance=old):
        assert watched.answer()["error"] == MOVED
        assert not plain.has_answered()
        instance, is_reader = watched.who("watched")
        assert instance != old
        assert not is_reader
    plain.kill()  # Nobody will ever tell it: its machine forgot the connection, and it only waits.
    assert settled_writer(noted) == instance
    assert note(watched, "watched", 1) == instance


def test_a_custom_endpoint_keeps_a_connection_within_its_members(
    noted: LiveCluster, new_client: NewClient
) -> None:
    """A writer and one reader behind a name: a failover to the other reader leads to neither."""
    old = settled_writer(noted)
    inside, outside = sorted(set(noted.instances()) - {old})
    made = noted.rds.create_db_cluster_endpoint(
        DBClusterIdentifier=noted.state.id,
        DBClusterEndpointIdentifier="pair",
        EndpointType="ANY",
        StaticMembers=[old, inside],
    )

    def available() -> bool:
        (found,) = noted.rds.describe_db_cluster_endpoints(DBClusterEndpointIdentifier="pair")[
            "DBClusterEndpoints"
        ]
        return bool(found["Status"] == "available")

    wait_until(available, "the custom endpoint to be available", timeout_s=60)
    client = new_client(noted.state)
    for _ in range(60):  # The name leads to either of them; only the writer's sessions end.
        client.wrapper(
            "pair",
            made["Endpoint"],
            WITH_CUSTOM_ENDPOINTS,
            failover_mode="reader-or-writer",
            custom_endpoint_info_refresh_rate_ms=200,
            wait_for_custom_endpoint_info_timeout_ms=60_000,
        )
        instance, _ = client.who("pair")
        assert instance in {old, inside}
        if instance == old:
            break
    assert instance == old
    # Its monitor, too, may have begun at a reader; it has found the writer when it is on no other.
    wait_until(
        lambda: sessions(noted, old) > 1 and sessions(noted, outside) == 0,
        "the wrapper's monitor to watch the writer",
        timeout_s=60,
    )
    client.begin("execute", "pair", sql=IN_FLIGHT)
    noted.rds.failover_db_cluster(
        DBClusterIdentifier=noted.state.id, TargetDBInstanceIdentifier=outside
    )
    assert client.answer()["error"] == MOVED
    assert settled_writer(noted) == outside
    assert client.who("pair")[0] in {old, inside}
    noted.rds.delete_db_cluster_endpoint(DBClusterEndpointIdentifier="pair")
