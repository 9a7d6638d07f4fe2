"""DNS as it misbehaves, asked for at the control address and seen by packets, of a real cluster."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from fix_clients import await_moved
from fix_disturbance import ControlAddress
from fix_server import LiveCluster

from chaos import names
from chaos.clock import NS, MonotonicClock
from chaos.testcluster.process import lifecycle
from chaos.testcluster.records import ClusterSpec
from chaos.wait import wait_until

FLIP_S = 2.5  # far above what the cluster takes by itself, which flips 0.3 s after a promotion
KINDS = {
    *("dns-stale", "dns-flap", "dns-flip-delay", "dns-ttl", "dns-empty", "dns-nxdomain"),
    *("dns-servfail", "dns-slow", "dns-drop", "dns-truncate", "reader-endpoint-serves-writer"),
}
INSTANCES = [f"dns-instance-{number}" for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    """A cluster whose names live for set times and flip 0.3 s after a promotion."""
    log = tmp_path_factory.mktemp("dns") / "server.log"
    spec = ClusterSpec(
        id="dns", seed=3, cluster_ttl_s=7, reader_ttl_s=0, instance_ttl_s=11, dns_flip_s=0.3
    )
    with lifecycle.embedded(spec, log) as embedded:
        live = LiveCluster(embedded.state)
        yield live
        live.rds.close()


@pytest.fixture
def control(live: LiveCluster) -> Iterator[ControlAddress]:
    """The cluster's control address, with nothing in force before and after."""
    control = ControlAddress(live.state)
    yield control
    for one in control.active():
        control.end(one["id"])


def behind_reader(live: LiveCluster) -> set[str]:
    """The instances that the reader endpoint hands out in 60 queries."""
    return {live.resolve("reader").chain[0].partition(".")[0] for _ in range(60)}


def fail_over(live: LiveCluster) -> tuple[str, str]:
    """Fail over, wait until the API shows it, and return the old and the new writer."""
    live.await_available(3)
    old = live.api_writer()
    live.rds.failover_db_cluster(DBClusterIdentifier="dns")
    wait_until(lambda: live.api_writer() != old, "a new writer", timeout_s=60)
    return old, live.api_writer()


def test_a_cluster_starts_with_the_ttls_that_it_was_given(live: LiveCluster) -> None:
    found = [live.resolve(endpoint).ttl_s for endpoint in ("cluster", "reader", INSTANCES[0])]
    assert found == [7, 0, 11]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("dns-empty", "NODATA"), ("dns-nxdomain", "NXDOMAIN"), ("dns-servfail", "SERVFAIL")],
)
def test_names_fail_until_the_disturbance_ends(
    live: LiveCluster, control: ControlAddress, kind: str, error: str
) -> None:
    with control.disturbed(kind, endpoint="reader"):
        assert live.resolve("reader").error == error
        assert live.resolve("cluster").addresses
    assert live.resolve("reader").addresses
    with control.disturbed(kind):
        assert {live.resolve(e).error for e in ("cluster", "reader", *INSTANCES)} == {error}
    assert live.resolve("cluster").addresses


def test_an_instance_is_chosen_by_its_identifier_and_a_name_as_it_is(
    live: LiveCluster, control: ControlAddress
) -> None:
    (reader, *_) = (i for i in INSTANCES if i != live.api_writer())
    for endpoint in (reader, reader.upper(), live.state.access.endpoints[reader] + "."):
        with control.disturbed("dns-nxdomain", endpoint=endpoint, cluster="DNS"):
            assert live.resolve(reader).error == "NXDOMAIN"
            assert live.resolve("cluster").addresses


def test_a_disturbance_ends_by_its_time(live: LiveCluster, control: ControlAddress) -> None:
    control.begin("dns-servfail", endpoint="cluster", for_s=0.2)
    wait_until(lambda: live.resolve("cluster").addresses, "names to be served", timeout_s=60)
    assert control.active() == []


def test_dropped_late_and_cut_answers(
    live: LiveCluster, control: ControlAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    with control.disturbed("dns-truncate"):
        assert live.resolve("cluster").addresses  # by TCP
    monkeypatch.setattr(names, "QUERY_TIMEOUT_S", 0.1)
    with control.disturbed("dns-drop", endpoint="cluster"):
        assert live.resolve("cluster").error == "timeout"
    with control.disturbed("dns-slow", endpoint="cluster", delay_s=10):
        assert live.resolve("cluster").error == "timeout"


def test_ttls_are_set_at_run_time(live: LiveCluster, control: ControlAddress) -> None:
    with control.disturbed("dns-ttl", ttl_s=86_400):
        assert live.resolve("cluster").ttl_s == 86_400
        with control.disturbed("dns-ttl", endpoint="cluster", ttl_s=1):
            assert live.resolve("cluster").ttl_s == 1
    assert live.resolve("cluster").ttl_s == 7


def test_stale_names_keep_the_old_writer_after_a_failover(
    live: LiveCluster, control: ControlAddress
) -> None:
    """API and SQL have moved, the cluster is available, and the name still leads to the old one."""
    with control.disturbed("dns-stale", endpoint="cluster"):
        old, new = fail_over(live)
        await_moved(live, old)
        assert live.dns_writer() == old
        assert live.sql(new, "SELECT pg_is_in_recovery()") is False
        assert live.sql("cluster", "SELECT aurora_db_instance_identifier()") == old
        assert live.sql("cluster", "SELECT pg_is_in_recovery()") is True
    assert live.dns_writer() == new


def test_a_flip_flaps_and_the_reader_endpoint_hands_out_the_new_writer_for_a_while(
    live: LiveCluster, control: ControlAddress
) -> None:
    flap = control.begin("dns-flap", endpoint="cluster", period_s=0.5, times=100)
    late = control.begin("reader-endpoint-serves-writer", after_flip_s=600)
    before = live.dns_writer()
    assert before not in behind_reader(live)
    _, new = fail_over(live)
    seen: list[str] = []

    def flapped() -> bool:
        seen.append(live.dns_writer())
        runs = [writer for writer, _ in itertools.groupby(seen)]
        return runs[-5:] == [new, before, new, before, new]

    wait_until(flapped, "the name to flap twice", timeout_s=60, interval_s=0.01)
    control.end(flap)
    assert live.dns_writer() == new
    assert new in behind_reader(live)
    control.end(late)
    assert new not in behind_reader(live)
    live.await_available(3)


def test_the_reader_endpoint_hands_out_the_writer_alone(
    live: LiveCluster, control: ControlAddress
) -> None:
    live.await_available(3)
    with control.disturbed("reader-endpoint-serves-writer", cluster="dns", only=True):
        assert behind_reader(live) == {live.api_writer()}
    assert live.api_writer() not in behind_reader(live)


def test_the_flip_delay_holds_for_failovers_that_begin_later(
    live: LiveCluster, control: ControlAddress
) -> None:
    live.await_available(3)
    clock = MonotonicClock()
    with control.disturbed("dns-flip-delay", delay_s=FLIP_S):
        requested_ns = clock.now_ns()
        _, new = fail_over(live)
    wait_until(lambda: live.dns_writer() == new, "the flip", timeout_s=60, interval_s=0.01)
    assert (clock.now_ns() - requested_ns) / NS >= FLIP_S
    live.await_available(3)


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("dns-stale", {"endpoint": "nobody"}, "no DNS name of nobody"),
        ("dns-stale", {"cluster": "nobody"}, "DBCluster nobody not found"),
        ("dns-flip-delay", {"cluster": "nobody", "delay_s": 1}, "DBCluster nobody not found"),
        ("dns-slow", {}, "delay_s: Field required"),
        ("dns-slow", {"delay_s": -1}, "delay_s"),
        ("dns-ttl", {"ttl_s": -1}, "ttl_s"),
        ("dns-drop", {"probability": 1.5}, "probability"),
        ("dns-drop", {"probabilty": 0.5}, "probabilty"),
        ("dns-stall", {}, "did you mean dns-stale"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_begins(
    control: ControlAddress, kind: str, parameters: dict[str, object], said: str
) -> None:
    assert said in control.refusal(kind, **parameters)
    assert control.active() == []


def test_every_kind_is_in_the_catalogue(control: ControlAddress) -> None:
    status, catalogue = control.ask("GET", "disturbances/catalogue")
    assert status == 200
    for kind in KINDS:
        assert catalogue[kind]["about"]
        assert catalogue[kind]["schema"]["properties"]["kind"]["const"] == kind
