"""Every call of the AWS layer over HTTP, against real clusters behind the test cluster's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from fix_cloudwatch import Observed
from fix_control_plane import unique_id
from fix_rds_model import Served
from fix_testcluster import PASSWORD

from chaos.aws.rds import ApiAccess, ApiCall, ControlPlane
from chaos.errors import ControlPlaneError
from chaos.model.account import Alarm
from chaos.model.topology import Capacity, Member, Topology
from chaos.testcluster.disturbances import DISTURBANCES
from chaos.testcluster.disturbances.registry import parse
from chaos.testcluster.home import start_home
from chaos.testcluster.metrics.store import Metric, Point
from chaos.testcluster.records import ClusterSpec, EndpointSpec
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(60)

FAR = "us-east-1"
TIMEOUT_S = 120


def control_plane(name: str, url: str, region: str = "eu-west-1") -> ControlPlane:
    return ControlPlane(
        name,
        ApiAccess(region=region, endpoint_url=url, access_key="any", secret_key="any"),
    )


@dataclass
class Place:
    """A cluster of a writer and two readers, primary of a global cluster, and who asks for it."""

    plane: ControlPlane
    served: Served
    calls: list[ApiCall] = field(default_factory=list)

    @property
    def topology(self) -> Topology:
        return self.plane.topology()

    def member(self, number: int) -> Member:
        found = self.topology.member(f"{self.plane.cluster}-instance-{number}")
        assert found is not None
        return found

    def await_(self, is_so: Callable[[Topology], object], what: str) -> Topology:
        wait_until(lambda: is_so(self.topology), what, timeout_s=TIMEOUT_S, interval_s=0.3)
        return self.topology

    def await_available(self) -> Topology:
        return self.await_(lambda t: t.all_available() and len(t.members) == 3, "all to serve")

    def begin(self, **fields: Any) -> Callable[[], object]:
        """Let a disturbance begin, and return what ends it."""
        registry = self.served.estate.disturbances
        begun = registry.begin(parse(fields, DISTURBANCES))
        return lambda: registry.end(begun.id)

    def last(self, operation: str) -> ApiCall:
        return next(call for call in reversed(self.calls) if call.operation == operation)


@pytest.fixture(scope="module")
def place(served: Served) -> Iterator[Place]:
    name = unique_id("layer")
    spec = ClusterSpec(
        id=name,
        secondary_region=FAR,
        custom_endpoints=(EndpointSpec(id=f"{name}-some", kind="ANY", static=(1, 2), excluded=()),),
    )
    start_home(served.estate, spec, PASSWORD)
    made = Place(control_plane(name, served.url), served)
    made.plane.on_call(made.calls.append)
    return made


@pytest.fixture
def settled(place: Place) -> Place:
    """The cluster, with all three instances available."""
    place.await_available()
    return place


def test_a_topology_has_all_that_guards_and_faults_need(settled: Place) -> None:
    topology, name = settled.topology, settled.plane.cluster
    assert topology.arn == f"arn:aws:rds:eu-west-1:000000000000:cluster:{name}"
    assert topology.is_cluster
    assert (topology.parameter_group, topology.pending) == ("default.aurora-postgresql15", {})
    assert topology.maintenance_window == "mon:03:00-mon:03:30"
    assert topology.backup_window == "02:00-02:30"
    assert all(m.maintenance_window and not m.pending for m in topology.members)
    call = settled.last("DescribeDBClusters")
    assert (call.error_code, call.attempts, call.changes) == (None, 1, False)
    assert call.request_id
    assert call.duration_s > 0
    reads = settled.plane.reads()["DescribeDBClusters"]
    assert reads == sum(c.operation == "DescribeDBClusters" for c in settled.calls)


def test_writer_and_readers_change_places_and_restart(settled: Place) -> None:
    plane, (one, two, _) = settled.plane, settled.topology.members
    plane.failover(two.id)
    settled.await_(lambda t: t.writer and t.writer.id == two.id, "the writer to move")
    settled.await_available()
    plane.failover(None)
    settled.await_(lambda t: t.writer and t.writer.id != two.id, "the writer to move on")
    settled.await_available()
    plane.reboot(one.id)
    call = settled.last("RebootDBInstance")
    assert call.request_id
    assert call.parameters == {"DBInstanceIdentifier": one.id}
    settled.await_available()
    with pytest.raises(ControlPlaneError) as refused:
        plane.reboot(one.id, force_failover=True)  # for Multi-AZ instances only
    assert refused.value.code == "InvalidParameterCombination"
    assert refused.value.permanent
    assert settled.last("RebootDBInstance").error_code == refused.value.code


def test_a_deleted_reader_is_created_again_as_it_was(settled: Place) -> None:
    plane = settled.plane
    reader = settled.topology.readers[-1]
    plane.modify_instance(
        reader.id,
        {
            "PromotionTier": 7,
            "PreferredMaintenanceWindow": "tue:05:00-tue:05:30",
            "AutoMinorVersionUpgrade": False,
        },
    )
    settled.await_(
        lambda t: (m := t.member(reader.id)) and m.settings["PromotionTier"] == 7, "the new tier"
    )
    settled.await_available()
    settled.served.rds.add_tags_to_resource(
        ResourceName=f"arn:aws:rds:eu-west-1:000000000000:db:{reader.id}",
        Tags=[{"Key": "team", "Value": "payments"}],
    )
    before = settled.topology.member(reader.id)
    assert before is not None
    plane.delete_instance(reader.id)
    settled.await_(lambda t: t.member(reader.id) is None, "the reader to be gone")
    plane.create_instance(reader.id, before.settings)
    settled.await_available()
    after = settled.topology.member(reader.id)
    assert after is not None
    assert after.settings == before.settings
    assert (after.role, after.availability_zone) == (before.role, before.availability_zone)
    plane.modify_instance(reader.id, {"PromotionTier": 1})
    settled.await_(lambda t: (m := t.member(reader.id)) and m.promotion_tier == 1, "the old tier")


def test_capacity_is_set_with_and_without_a_pause(settled: Place) -> None:
    plane = settled.plane
    for bounds in (
        Capacity(min_acu=0, max_acu=4, pause_after_s=600),
        Capacity(min_acu=0.5, max_acu=8),
    ):
        plane.set_capacity(bounds)
        settled.await_(lambda t, b=bounds: t.capacity == b, "the new bounds")  # type: ignore[misc]
        settled.await_available()
    with pytest.raises(ControlPlaneError) as refused:
        plane.set_capacity(Capacity(min_acu=0.7, max_acu=8))
    assert refused.value.permanent


def test_tags_come_and_go(settled: Place) -> None:
    plane = settled.plane
    plane.set_tags({"gameday-lease": "run until 12:00", "other": ""})
    assert settled.topology.tags["gameday-lease"] == "run until 12:00"
    plane.remove_tags(["gameday-lease", "other", "never-there"])
    assert settled.topology.tags == {"gameday": "allowed"}


def test_a_custom_endpoint_gets_other_members_and_the_first_ones_back(settled: Place) -> None:
    plane, (one, two, three) = settled.plane, settled.topology.members
    (before,) = plane.custom_endpoints()
    assert (before.kind, before.excluded) == ("ANY", ())
    assert before.static
    for static, excluded in (
        ((two.id, three.id), ()),
        ((), (one.id,)),
        (before.static, before.excluded),
    ):
        plane.modify_endpoint(before.id, static=static, excluded=excluded)

        def shows(static: Any = static, excluded: Any = excluded) -> bool:
            (now,) = plane.custom_endpoints()
            wanted = (set(static), set(excluded))
            return now.status == "available" and (set(now.static), set(now.excluded)) == wanted

        wait_until(shows, "the endpoint's members", timeout_s=TIMEOUT_S)


def test_a_stopped_cluster_is_started(settled: Place) -> None:
    with pytest.raises(ControlPlaneError, match="part of a global cluster"):
        settled.plane.stop_cluster()
    name = unique_id("pausing")
    settled.served.start_cluster(id=name, readers=0)
    plane = control_plane(name, settled.served.url)
    plane.stop_cluster()
    wait_until(lambda: plane.topology().status == "stopped", "the stop", timeout_s=TIMEOUT_S)
    plane.start_cluster()
    wait_until(lambda: plane.topology().all_available(), "the start", timeout_s=TIMEOUT_S)


def test_the_primary_moves_to_the_other_region_and_back(settled: Place) -> None:
    plane = settled.plane
    far = control_plane(f"{plane.cluster}-secondary", settled.served.url, FAR)
    world = plane.global_cluster()
    assert world is not None
    assert world == far.global_cluster()
    assert world.primary is not None
    assert (world.primary.region, [m.region for m in world.secondaries]) == ("eu-west-1", [FAR])

    def primary_is(region: str) -> bool:
        now = plane.global_cluster()
        return bool(
            now
            and now.status == "available"
            and not now.failing_over
            and now.primary
            and now.primary.region == region
        )

    plane.switchover_global(world.secondaries[0].arn)
    assert settled.last("SwitchoverGlobalCluster").region == "eu-west-1"
    wait_until(lambda: primary_is(FAR), "the switchover", timeout_s=TIMEOUT_S)
    plane.failover_global(world.primary.arn)
    call = settled.last("FailoverGlobalCluster")
    assert (call.region, call.parameters["AllowDataLoss"]) == ("eu-west-1", True)
    wait_until(lambda: primary_is("eu-west-1"), "the failover", timeout_s=TIMEOUT_S)


def test_an_instance_in_no_cluster_is_found_by_its_name(served: Served) -> None:
    name = unique_id("lone")
    start_home(served.estate, ClusterSpec(id=name, multi_az_instance=True), PASSWORD)
    plane = control_plane(name, served.url)
    topology = plane.topology()
    assert (topology.is_cluster, topology.multi_az, topology.all_available()) == (False, True, True)
    assert topology.arn == f"arn:aws:rds:eu-west-1:000000000000:db:{name}"
    assert topology.resource_id.startswith("db-")
    assert topology.reader_endpoint == topology.cluster_endpoint
    plane.reboot(name, force_failover=True)
    wait_until(
        lambda: plane.topology().all_available(), "the instance to serve", timeout_s=TIMEOUT_S
    )
    plane.set_tags({"a": "b"})
    assert plane.topology().tags["a"] == "b"
    with pytest.raises(ControlPlaneError) as nowhere:
        control_plane(f"{name}-nowhere", served.url).topology()
    assert nowhere.value.code == "DBClusterNotFoundFault"


def test_what_guards_ask_is_answered(settled: Place) -> None:
    plane, account = settled.plane, settled.plane.account
    topology = settled.topology
    assert account.caller().account == "000000000000"
    assert account.maintenance(topology) == account.deployments(topology) == ()
    assert account.cluster_parameters(topology.parameter_group)["rds.force_ssl"] in {"0", "1"}
    fis = settled.served.client("fis")
    state = {"status": "engaged", "reason": "an incident"}
    fis.update_safety_lever_state(id="default", state=state)
    lever = account.safety_lever()
    assert (lever.is_disengaged, lever.reason) == (False, "an incident")
    far = control_plane(plane.cluster, settled.served.url, FAR)
    assert far.account.safety_lever().is_disengaged


def test_what_is_planned_for_a_cluster_is_seen(settled: Place) -> None:
    plane = settled.plane
    reader = settled.topology.readers[0].id
    cluster = {"cluster": plane.cluster}
    begun = [
        settled.begin(kind="pending-maintenance", **cluster, action="db-upgrade"),
        settled.begin(kind="pending-maintenance", **cluster, instance=reader),
        settled.begin(kind="blue-green-deployment", **cluster),
    ]
    topology = settled.topology
    found = plane.account.maintenance(topology)
    assert [(a.resource_arn, a.action) for a in found] == [
        (topology.arn, "db-upgrade"),
        (f"arn:aws:rds:eu-west-1:000000000000:db:{reader}", "system-update"),
    ]
    assert all(action.due_at for action in found)
    (deployment,) = plane.account.deployments(topology)
    assert (deployment.source_arn, deployment.status) == (topology.arn, "AVAILABLE")
    for end in begun:
        end()
    assert plane.account.deployments(topology) == ()


def test_alarms_and_capacity_come_from_cloudwatch(observed: Observed) -> None:
    plane = control_plane("orders", observed.url)
    metric = Metric.of(
        "AWS/RDS",
        "ServerlessDatabaseCapacity",
        {"DBInstanceIdentifier": "orders-instance-002"},
    )
    now_s = observed.telemetry.now_s()
    points = [Point(now_s - 120, 1.0), Point(now_s, 3.5)]
    observed.monitoring.metrics.put(metric, "Count", points)
    assert plane.acu_now() == {"orders-instance-002": 3.5}
    told = plane.acu_since(datetime.fromtimestamp(now_s - 200, UTC))
    assert [acu for _, acu in told["orders-instance-002"]] == [1.0, 3.5]
    first, second = (at.timestamp() for at, _ in told["orders-instance-002"])
    assert (first, second) == pytest.approx((now_s - 120, now_s), abs=1), "where they begin"
    observed.cloudwatch.put_metric_alarm(
        AlarmName="layer-a",
        Namespace="App",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    for state in ("OK", "ALARM"):
        observed.cloudwatch.set_alarm_state(
            AlarmName="layer-a", StateValue=state, StateReason="a drill"
        )
        alarm = Alarm(name="layer-a", state=state, reason="a drill")
        assert plane.account.alarms(["layer-a", "nowhere"]) == (alarm,)
        assert plane.account.alarms(prefixes=["layer-"]) == (alarm,)


def test_expired_credentials_and_a_throttled_api_are_told_apart(settled: Place) -> None:
    plane, only = settled.plane, {"operations": ("DescribeDBClusters",), "service": "rds"}
    end = settled.begin(kind="api-error", code="ExpiredToken", **only)
    with pytest.raises(ControlPlaneError, match="`gameday recover` continues") as expired:
        plane.topology()
    assert (expired.value.code, expired.value.permanent) == ("ExpiredToken", True)
    end()
    end = settled.begin(kind="api-throttle", **only, probability=1.0, times=2)
    plane.topology()
    end()
    call = settled.last("DescribeDBClusters")
    assert (call.attempts, call.error_code) == (3, None)
