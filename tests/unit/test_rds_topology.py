"""What the API describes, in our words: clusters, lone instances, endpoints, global clusters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import ANY
from fix_aws import ARN, CLUSTER, Stubs, instance

from chaos.aws import translate
from chaos.aws.rds import ControlPlane
from chaos.errors import ControlPlaneError
from chaos.model.topology import Capacity, CustomEndpoint, GlobalMember, Role
from chaos.testcluster.api.wire import service_model

LONE = instance(
    "c1",
    DBInstanceArn="arn:aws:rds:eu-west-1:123456789012:db:c1",
    DbiResourceId="db-ABC",
    Engine="postgres",
    EngineVersion="16.3",
    MultiAZ=True,
    PreferredMaintenanceWindow="mon:03:00-mon:03:30",
    PreferredBackupWindow="02:00-02:30",
    DBParameterGroups=[{"DBParameterGroupName": "mine"}],
    TagList=[{"Key": "gameday", "Value": "allowed"}],
)


def test_a_topology_joins_cluster_and_instances(plane: ControlPlane, stubs: Stubs) -> None:
    stubs.describe(
        instance(
            "i1",
            DBInstanceClass="db.serverless",
            DBParameterGroups=[{"DBParameterGroupName": "mine"}],
            PreferredMaintenanceWindow="tue:03:00-tue:03:30",
            PendingModifiedValues={"DBInstanceClass": "db.r6g.xlarge"},
        ),
        ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 8.0},
        TagList=[{"Key": "gameday", "Value": "allowed"}],
        DBClusterParameterGroup="ours",
        PreferredMaintenanceWindow="sun:04:00-sun:04:30",
        PreferredBackupWindow="02:00-02:30",
        PendingModifiedValues={"EngineVersion": "15.5", "MasterUserPassword": "hunter2"},
        MultiAZ=True,
    )
    topology = plane.topology()
    assert topology.writer is not None
    assert topology.writer.settings == {
        "DBInstanceClass": "db.serverless",
        "Engine": "aurora-postgresql",
        "DBParameterGroupName": "mine",
        "PreferredMaintenanceWindow": "tue:03:00-tue:03:30",
    }
    assert topology.writer.maintenance_window == "tue:03:00-tue:03:30"
    assert topology.writer.pending == {"DBInstanceClass": "db.r6g.xlarge"}
    assert topology.member("i2").status == "unknown"  # type: ignore[union-attr]
    assert topology.capacity == Capacity(min_acu=0.5, max_acu=8.0)
    assert not topology.all_available()
    assert (topology.parameter_group, topology.maintenance_window, topology.backup_window) == (
        "ours",
        "sun:04:00-sun:04:30",
        "02:00-02:30",
    )
    assert topology.pending == {"EngineVersion": "15.5", "MasterUserPassword": "****"}
    assert (topology.is_cluster, topology.multi_az) == (True, True)


def test_a_minimum_of_zero_shows_when_it_pauses(plane: ControlPlane, stubs: Stubs) -> None:
    bounds = {"MinCapacity": 0.0, "MaxCapacity": 8.0, "SecondsUntilAutoPause": 600}
    stubs.describe(ServerlessV2ScalingConfiguration=bounds)
    assert plane.topology().capacity == Capacity(min_acu=0, max_acu=8, pause_after_s=600)


def test_an_instance_that_the_cluster_does_not_list_yet_is_a_member(
    plane: ControlPlane, stubs: Stubs
) -> None:
    """Else an instance that is being created, or still deleted, would look as if it were gone."""
    stubs.describe(
        *(instance(name) for name in ("i3", "i2", "i1")),
        DBClusterMembers=CLUSTER["DBClusterMembers"],
    )
    topology = plane.topology()
    assert [(m.id, m.role) for m in topology.members] == [
        ("i1", Role.WRITER),
        ("i2", Role.READER),
        ("i3", Role.READER),
    ]


def test_instances_come_in_pages(plane: ControlPlane, stubs: Stubs) -> None:
    stub = stubs("rds")
    stub.add_response("describe_db_clusters", {"DBClusters": [CLUSTER]}, {**_ours()})
    first = {"DBInstances": [instance("i1")], "Marker": "next"}
    stub.add_response("describe_db_instances", first, {"Filters": ANY})
    second = {"DBInstances": [instance("i2")]}
    stub.add_response("describe_db_instances", second, {"Filters": ANY, "Marker": "next"})
    assert plane.topology().all_available()
    assert plane.reads() == {"DescribeDBClusters": 1, "DescribeDBInstances": 2}


def test_an_instance_in_no_cluster_is_a_cluster_of_one_writer(
    plane: ControlPlane, stubs: Stubs
) -> None:
    stub = stubs("rds")
    stub.add_client_error("describe_db_clusters", "DBClusterNotFoundFault", "not found", 404)
    for _ in range(2):
        stub.add_response(
            "describe_db_instances", {"DBInstances": [LONE]}, {"DBInstanceIdentifier": "c1"}
        )
    topology = plane.topology()
    assert (topology.is_cluster, topology.multi_az, topology.resource_id) == (False, True, "db-ABC")
    assert topology.cluster_endpoint == topology.reader_endpoint == "c1.x"
    assert (topology.parameter_group, topology.backup_window) == ("mine", "02:00-02:30")
    assert topology.tags == {"gameday": "allowed"}
    assert [(m.id, m.role) for m in topology.members] == [("c1", Role.WRITER)]
    assert topology.all_available()
    assert plane.topology() == topology  # and no cluster is looked for any more
    stub.add_response(
        "add_tags_to_resource", {}, {"ResourceName": LONE["DBInstanceArn"], "Tags": ANY}
    )
    plane.set_tags({"a": "b"})


@pytest.mark.parametrize(
    ("second", "says", "code"),
    [
        ("DBInstanceNotFound", "describing cluster c1: no cluster", "DBClusterNotFoundFault"),
        ("AccessDenied", "describing the instances of c1: no instance", "AccessDenied"),
    ],
)
def test_what_is_neither_cluster_nor_instance_is_the_first_error(
    plane: ControlPlane, stubs: Stubs, second: str, says: str, code: str
) -> None:
    stub = stubs("rds")
    for _ in range(2):  # it may come to be, so a cluster is looked for again
        stub.add_client_error("describe_db_clusters", "DBClusterNotFoundFault", "no cluster", 404)
        stub.add_client_error("describe_db_instances", second, "no instance", 404)
        with pytest.raises(ControlPlaneError, match=says) as raised:
            plane.topology()
        assert raised.value.code == code


def test_the_name_of_a_member_leads_to_its_cluster(plane: ControlPlane, stubs: Stubs) -> None:
    stub = stubs("rds")
    stub.add_client_error("describe_db_clusters", "DBClusterNotFoundFault", "not found", 404)
    member = {**LONE, "DBClusterIdentifier": "orders"}
    stub.add_response("describe_db_instances", {"DBInstances": [member]}, {**_named()})
    with pytest.raises(ControlPlaneError, match="instance of cluster orders; name that") as raised:
        plane.topology()
    assert raised.value.code == "DBClusterNotFoundFault"


def test_what_an_instance_is_kept_with_can_be_asked_for_again() -> None:
    """Every kept member is one of CreateDBInstance; what is off takes its particulars with it."""
    request = service_model("rds").operation_model("CreateDBInstance").input_shape
    shown = service_model("rds").shape_for("DBInstance")
    assert request is not None
    assert set(translate._KEPT) <= set(request.members)
    assert set(translate._KEPT.values()) <= set(shown.members)
    described: dict[str, Any] = instance(
        "i2",
        MonitoringInterval=0,
        MonitoringRoleArn="arn:aws:iam::1:role/r",
        PerformanceInsightsEnabled=False,
        PerformanceInsightsKMSKeyId="key",
        PerformanceInsightsRetentionPeriod=7,
        EngineVersion="15.4",
        StorageEncrypted=True,
    )
    off = {"MonitoringInterval": 0, "EnablePerformanceInsights": False}
    asked = {"DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql"}
    assert translate._settings(described) == {**asked, **off}
    described |= {"MonitoringInterval": 5, "PerformanceInsightsEnabled": True}
    assert translate._settings(described) == {
        **asked,
        "MonitoringInterval": 5,
        "MonitoringRoleArn": "arn:aws:iam::1:role/r",
        "EnablePerformanceInsights": True,
        "PerformanceInsightsKMSKeyId": "key",
        "PerformanceInsightsRetentionPeriod": 7,
    }


def test_pending_values_are_such_as_json_has() -> None:
    pending = {
        "ResumeFullAutomationModeTime": datetime(2026, 1, 2, tzinfo=UTC),
        "ProcessorFeatures": [],
        "MultiAZ": False,
    }
    assert translate._pending({"PendingModifiedValues": pending}) == {
        "ResumeFullAutomationModeTime": "2026-01-02T00:00:00+00:00",
        "MultiAZ": False,
    }


def test_custom_endpoints_are_told_without_the_built_in_ones(
    plane: ControlPlane, stubs: Stubs
) -> None:
    stubs("rds").add_response(
        "describe_db_cluster_endpoints",
        {
            "DBClusterEndpoints": [
                {"Endpoint": "c1.cluster-x", "Status": "available", "EndpointType": "WRITER"},
                {
                    "DBClusterEndpointIdentifier": "e1",
                    "Endpoint": "e1.cluster-custom-x",
                    "Status": "available",
                    "EndpointType": "CUSTOM",
                    "CustomEndpointType": "ANY",
                    "StaticMembers": [],
                    "ExcludedMembers": ["i1"],
                },
            ]
        },
        {**_ours()},
    )
    assert plane.custom_endpoints() == (
        CustomEndpoint(
            id="e1",
            address="e1.cluster-custom-x",
            kind="ANY",
            status="available",
            static=(),
            excluded=("i1",),
        ),
    )


def test_the_global_cluster_is_the_one_that_has_this_cluster(
    plane: ControlPlane, stubs: Stubs
) -> None:
    namesake = "arn:aws:rds:us-east-1:123456789012:cluster:c1"
    stub = stubs("rds")
    other = {
        "GlobalClusterIdentifier": "other",
        "GlobalClusterMembers": [{"DBClusterArn": namesake}],
    }
    stub.add_response("describe_global_clusters", {"GlobalClusters": [other], "Marker": "next"}, {})
    ours = {
        "GlobalClusterIdentifier": "w",
        "Status": "failing-over",
        "Endpoint": "w.global-x",
        "GlobalClusterMembers": [{"DBClusterArn": ARN, "IsWriter": True}],
        "FailoverState": {"Status": "failing-over", "ToDbClusterArn": ARN},
    }
    stub.add_response("describe_global_clusters", {"GlobalClusters": [ours]}, {"Marker": "next"})
    found = plane.global_cluster()
    assert found is not None
    assert found.primary == GlobalMember(arn=ARN, region="eu-west-1", is_primary=True)
    assert (found.id, found.failing_over) == ("w", "failing-over")


def _ours() -> dict[str, str]:
    return {"DBClusterIdentifier": "c1"}


def _named() -> dict[str, str]:
    return {"DBInstanceIdentifier": "c1"}
