"""What is sampled of real servers: running, lagging, stopped, paused, failed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import boto3
import pytest
from fix_server import LiveCluster
from fix_testcluster import Running

from chaos.testcluster.metrics.asking import Place, Questioner
from chaos.testcluster.metrics.catalogue import NAMESPACE
from chaos.testcluster.metrics.sampling import Sampler
from chaos.testcluster.metrics.store import Metric
from chaos.testcluster.metrics.telemetry import Telemetry
from chaos.testcluster.postgres.configuration import CONTROL_ROLE
from chaos.wait import wait_until

REGION = "eu-west-1"
STOPPED = "a test"


class Watch:
    """A sampler that samples when it is told to, and its last values."""

    def __init__(self, running: Running) -> None:
        self.telemetry = Telemetry()
        self.sampler = Sampler(running.estate, self.telemetry)

    def last(self, name: str, **dimensions: str) -> float | None:
        """Sample, and return the value that this sample published, if it did."""
        before = self.telemetry.now_s()
        self.sampler.sample()
        metric = Metric.of(NAMESPACE, name, dimensions)
        points = self.telemetry.monitoring(REGION).metrics.points(metric, before, 1e12)
        return points[-1].value if points else None

    def of(self, instance: str, name: str) -> float | None:
        return self.last(name, DBInstanceIdentifier=instance)

    def seen(self, name: str, **dimensions: str) -> float:
        """Sample until the metric is published: on a busy machine an answer may come too late."""
        found: list[float] = []

        def published() -> bool:
            value = self.last(name, **dimensions)
            found.extend([] if value is None else [value])
            return value is not None

        wait_until(published, f"{name} of {dimensions}", timeout_s=60)
        return found[-1]

    def seen_of(self, instance: str, name: str) -> float:
        return self.seen(name, DBInstanceIdentifier=instance)

    def await_value(
        self, what: str, instance: str, name: str, is_right: Callable[[float | None], bool]
    ) -> None:
        wait_until(lambda: is_right(self.of(instance, name)), what, timeout_s=60)


@pytest.fixture(scope="module")
def watch(shared_cluster: Running) -> Iterator[Watch]:
    made = Watch(shared_cluster)
    yield made
    made.sampler.close()


@contextmanager
def stopped(running: Running, instance: str) -> Iterator[None]:
    """Stop a server by signal, for a reason that the control plane leaves alone."""
    node = running.cluster.core.members[instance].node
    node.freeze(STOPPED)
    try:
        yield
    finally:
        node.thaw(STOPPED)


def test_sessions_are_counted_but_for_the_services_own(
    shared_cluster: Running, watch: Watch
) -> None:
    writer, reader = shared_cluster.writer, shared_cluster.readers[0]
    watch.await_value("no session", writer.id, "DatabaseConnections", lambda n: n == 0)
    with ExitStack() as stack:
        for address in (writer.address, writer.address, reader.address):
            stack.enter_context(shared_cluster.connect(address))
        watch.await_value("two sessions", writer.id, "DatabaseConnections", lambda n: n == 2)
        roles = {
            role: watch.seen("DatabaseConnections", DBClusterIdentifier="t", Role=role)
            for role in ("WRITER", "READER")
        }
        assert roles["WRITER"] == 2
        assert watch.seen_of(reader.id, "DatabaseConnections") == 1
    watch.await_value("their end", writer.id, "DatabaseConnections", lambda n: n == 0)


def test_every_instance_publishes_under_rdss_dimensions(
    shared_cluster: Running, watch: Watch
) -> None:
    for instance in shared_cluster.record.instances:
        for name in ("EngineUptime", "CPUUtilization"):
            watch.seen_of(instance.id, name)
    metrics = watch.telemetry.monitoring(REGION).metrics.metrics()
    found = {
        (metric.name, *(name for name, _ in metric.dimensions)): metric.dimensions
        for metric in metrics
    }
    for name in ("CPUUtilization", "DatabaseConnections", "EngineUptime", "FreeableMemory"):
        for dimensions in (
            ("DBInstanceIdentifier",),
            ("DBClusterIdentifier",),
            ("DBClusterIdentifier", "Role"),
            ("DatabaseClass",),
            ("EngineName",),
            (),
        ):
            assert (name, *dimensions) in found, (name, dimensions)
    writer, reader = shared_cluster.writer.id, shared_cluster.readers[0].id
    assert watch.seen_of(writer, "ServerlessDatabaseCapacity") >= 0.5
    assert 0 < watch.seen_of(writer, "ACUUtilization") <= 100
    assert watch.seen_of(writer, "EngineUptime") > 0
    assert watch.seen_of(writer, "CommitThroughput") >= 0
    assert watch.of(reader, "CommitThroughput") is None


def test_work_shows_in_processor_time(shared_cluster: Running, watch: Watch) -> None:
    writer = shared_cluster.writer
    with shared_cluster.connect(writer.address) as session:

        def busy() -> bool:
            watch.sampler.sample()
            session.execute("SELECT count(*) FROM generate_series(1, 1000000)")
            used = watch.of(writer.id, "CPUUtilization")
            return used is not None and used > 0

        wait_until(busy, "processor time to be used", timeout_s=60)


def test_a_reader_that_does_not_replay_lags_more_and_more(
    shared_cluster: Running, watch: Watch
) -> None:
    writer, reader, other = shared_cluster.writer, *shared_cluster.readers
    node = shared_cluster.cluster.core.members[reader.id].node
    assert node.ask("SELECT pg_wal_replay_pause()") is not None
    try:
        with shared_cluster.connect(writer.address) as session:
            session.execute("CREATE TABLE lagging ()")
        watch.await_value("a lag", reader.id, "AuroraReplicaLag", lambda ms: (ms or 0) > 1000)
        watch.await_value(
            "the highest", writer.id, "AuroraReplicaLagMaximum", lambda ms: (ms or 0) > 1000
        )
        watch.await_value(
            "another that keeps up",
            other.id,
            "AuroraReplicaLag",
            lambda ms: ms is not None and ms < 1000,
        )
        watch.await_value(
            "the lowest",
            writer.id,
            "AuroraReplicaLagMinimum",
            lambda ms: ms is not None and ms < 1000,
        )
    finally:
        node.ask("SELECT pg_wal_replay_resume()")
    watch.await_value("its end", reader.id, "AuroraReplicaLag", lambda ms: ms == 0)


def test_a_stopped_server_tells_nothing_and_holds_nobody_up(
    shared_cluster: Running, watch: Watch
) -> None:
    reader, other = shared_cluster.readers
    watch.await_value("an answer", reader.id, "EngineUptime", lambda s: s is not None)
    with stopped(shared_cluster, reader.id):
        assert watch.of(reader.id, "EngineUptime") is None
        assert watch.of(reader.id, "FreeableMemory") is not None, "which its host tells"
        assert watch.seen_of(other.id, "EngineUptime") > 0
    watch.await_value("an answer", reader.id, "EngineUptime", lambda s: s is not None)


def test_a_question_to_a_stopped_server_is_bounded(shared_cluster: Running) -> None:
    """The sampler asks none that it knows to be stopped, but one may stop while it is asked."""
    core = shared_cluster.cluster.core
    places = {}
    for member in core.members.values():
        pid = member.node.pid
        assert pid is not None
        places[member.id] = Place(
            address=member.node.address,
            port=core.foundation.port,
            user=CONTROL_ROLE,
            password=core.foundation.template.control_password,
            pid=pid,
        )
    questioner = Questioner("SELECT 1, NULL")
    asked = list(places)

    def answered_by(names: list[str]) -> bool:
        answers = questioner.ask(places, 0.2)
        assert set(answers.values()) <= {("1", None)}
        return sorted(answers) == sorted(names)

    try:
        wait_until(lambda: answered_by(asked), "all to answer", timeout_s=60)
        with stopped(shared_cluster, asked[1]):
            left = [asked[0], asked[2]]
            wait_until(lambda: answered_by(left), "the others to answer", timeout_s=60)
            assert asked[1] not in questioner.ask(places, 0.2), "a late one is not asked again"
        wait_until(lambda: answered_by(asked), "all to answer again", timeout_s=60)
    finally:
        questioner.close()


def test_a_paused_instance_is_zero_and_not_asked(shared_cluster: Running, watch: Watch) -> None:
    reader = shared_cluster.readers[0]
    core = shared_cluster.cluster.core
    with core.lock:  # so that nobody wakes it meanwhile
        member = core.members[reader.id]
        member.paused = True
        try:
            with stopped(shared_cluster, reader.id):
                for name in ("ServerlessDatabaseCapacity", "ACUUtilization"):
                    assert watch.of(reader.id, name) == 0
                for name in ("CPUUtilization", "DatabaseConnections"):
                    assert watch.of(reader.id, name) == 0
                assert watch.of(reader.id, "EngineUptime") is None
        finally:
            member.paused = False


def test_roles_follow_a_failover(shared_cluster: Running, watch: Watch) -> None:
    old, new = shared_cluster.writer.id, shared_cluster.readers[0].id
    shared_cluster.cluster.failover(new)
    shared_cluster.await_writer(new)
    watch.await_value("commits", new, "CommitThroughput", lambda n: n is not None)
    watch.await_value("a lag", old, "AuroraReplicaLag", lambda ms: ms is not None)
    assert watch.of(new, "AuroraReplicaLag") is None


def test_a_server_publishes_what_boto3_reads(live: LiveCluster) -> None:
    cloudwatch = boto3.client(
        "cloudwatch",
        endpoint_url=live.state.api_url,
        region_name=live.state.region,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    dimensions = [{"Name": "DBClusterIdentifier", "Value": "live"}]
    wait_until(
        lambda: cloudwatch.list_metrics(
            Namespace=NAMESPACE, MetricName="EngineUptime", Dimensions=dimensions
        )["Metrics"],
        "metrics of the engine",
        timeout_s=60,
    )
    cloudwatch.close()
