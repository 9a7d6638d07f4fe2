"""What guards and the doctor read, request by request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.stub import ANY
from fix_aws import ARN, OF_CLUSTER, Stubs, instance
from fix_rds import member, topology

from chaos.aws.rds import ControlPlane
from chaos.model.account import Alarm, Caller, Deployment, SafetyLever
from chaos.model.topology import Role

BEFORE = topology(arn=ARN, members=(member("i1", Role.WRITER), member("i2")))


def test_who_the_caller_is(plane: ControlPlane, stubs: Stubs) -> None:
    arn = "arn:aws:sts::123456789012:assumed-role/r/s"
    stubs("sts").add_response(
        "get_caller_identity", {"UserId": "x", "Account": "123456789012", "Arn": arn}, {}
    )
    assert plane.account.caller() == Caller(account="123456789012", arn=arn)


def test_maintenance_is_of_the_cluster_and_its_members(plane: ControlPlane, stubs: Stubs) -> None:
    soon, later = (datetime(2026, 12, day, tzinfo=UTC) for day in (1, 2))
    stub = stubs("rds")
    stub.add_response(
        "describe_pending_maintenance_actions",
        {
            "PendingMaintenanceActions": [
                {
                    "ResourceIdentifier": ARN,
                    "PendingMaintenanceActionDetails": [
                        {"Action": "system-update", "Description": "New patch"},
                        {
                            "Action": "os-upgrade",
                            "CurrentApplyDate": later,
                            "ForcedApplyDate": soon,
                        },
                    ],
                }
            ]
        },
        {"Filters": [{"Name": "db-cluster-id", "Values": [ARN]}]},
    )
    members = {"Filters": [{"Name": "db-instance-id", "Values": ["i1", "i2"]}]}
    stub.add_response(
        "describe_pending_maintenance_actions",
        {"PendingMaintenanceActions": [], "Marker": "next"},
        members,
    )
    stub.add_response(
        "describe_pending_maintenance_actions",
        {
            "PendingMaintenanceActions": [
                {
                    "ResourceIdentifier": "arn:i2",
                    "PendingMaintenanceActionDetails": [
                        {"Action": "ca-certificate-rotation", "AutoAppliedAfterDate": later}
                    ],
                }
            ]
        },
        {**members, "Marker": "next"},
    )
    found = plane.account.maintenance(BEFORE)
    assert [(f.resource_arn, f.action, f.description, f.due_at) for f in found] == [
        (ARN, "system-update", "New patch", None),
        (ARN, "os-upgrade", "", soon),
        ("arn:i2", "ca-certificate-rotation", "", later),
    ]


def test_maintenance_of_a_lone_instance_is_asked_of_no_cluster(
    plane: ControlPlane, stubs: Stubs
) -> None:
    stubs("rds").add_response(
        "describe_pending_maintenance_actions",
        {"PendingMaintenanceActions": []},
        {"Filters": [{"Name": "db-instance-id", "Values": ["i1"]}]},
    )
    lone = topology(members=(member("i1", Role.WRITER),), is_cluster=False)
    assert plane.account.maintenance(lone) == ()


def test_deployments_are_those_that_the_cluster_or_a_member_is_part_of(
    plane: ControlPlane, stubs: Stubs
) -> None:
    def deployment(number: int, **fields: Any) -> dict[str, Any]:
        return {
            "BlueGreenDeploymentIdentifier": f"bgd-{number}",
            "BlueGreenDeploymentName": "upgrade",
            "Source": "arn:a",
            "Target": "arn:b",
            "Status": "AVAILABLE",
            **fields,
        }

    db = "arn:aws:rds:eu-west-1:123456789012:db"
    renamed = [{"SourceMember": f"{db}:i2-old1", "TargetMember": f"{db}:i2"}]
    stub = stubs("rds")
    stub.add_response(
        "describe_blue_green_deployments",
        {
            "BlueGreenDeployments": [deployment(1), deployment(2, Source=ARN)],
            "Marker": "next",
        },
        {},
    )
    stub.add_response(
        "describe_blue_green_deployments",
        {
            "BlueGreenDeployments": [
                deployment(3, Target=ARN, Status="SWITCHOVER_COMPLETED"),
                deployment(4, SwitchoverDetails=renamed),
            ]
        },
        {"Marker": "next"},
    )
    found = plane.account.deployments(BEFORE)
    assert [d.id for d in found] == ["bgd-2", "bgd-3", "bgd-4"]
    assert found[1] == Deployment(
        id="bgd-3",
        name="upgrade",
        source_arn="arn:a",
        target_arn=ARN,
        status="SWITCHOVER_COMPLETED",
    )


KINDS = {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}


def test_alarms_come_by_name_and_by_how_names_begin(plane: ControlPlane, stubs: Stubs) -> None:
    stub = stubs("cloudwatch")
    metric = {"AlarmName": "lag", "StateValue": "OK", "StateReason": "below"}
    composite = {"AlarmName": "team-all", "StateValue": "ALARM", "StateReason": "one is"}
    stub.add_response(
        "describe_alarms",
        {"MetricAlarms": [metric], "CompositeAlarms": []},
        {**KINDS, "AlarmNames": ["lag", "nowhere"]},
    )
    prefix = {**KINDS, "AlarmNamePrefix": "team-"}
    stub.add_response("describe_alarms", {"CompositeAlarms": [composite], "NextToken": "n"}, prefix)
    stub.add_response("describe_alarms", {"MetricAlarms": []}, {**prefix, "NextToken": "n"})
    assert plane.account.alarms(["lag", "nowhere"], ["team-"]) == (
        Alarm(name="lag", state="OK", reason="below"),
        Alarm(name="team-all", state="ALARM", reason="one is"),
    )
    assert plane.reads() == {"DescribeAlarms": 3}


def test_many_names_are_asked_for_by_the_hundred(plane: ControlPlane, stubs: Stubs) -> None:
    names = [f"a{number}" for number in range(150)]
    stub = stubs("cloudwatch")
    for part in (names[:100], names[100:]):
        found = [{"AlarmName": part[0], "StateValue": "OK"}]
        stub.add_response("describe_alarms", {"MetricAlarms": found}, {**KINDS, "AlarmNames": part})
    assert plane.alarm_states(names) == {"a0": "OK", "a100": "OK"}


def test_the_safety_lever_is_the_region_s_default(plane: ControlPlane, stubs: Stubs) -> None:
    state = {"status": "engaged", "reason": "incident"}
    stubs("fis").add_response(
        "get_safety_lever", {"safetyLever": {"state": state}}, {"id": "default"}
    )
    lever = plane.account.safety_lever()
    assert lever == SafetyLever(status="engaged", reason="incident")
    assert not lever.is_disengaged


def test_cluster_parameters_are_those_that_have_a_value(plane: ControlPlane, stubs: Stubs) -> None:
    stub = stubs("rds")
    group = {"DBClusterParameterGroupName": "ours"}
    first = [{"ParameterName": "rds.force_ssl", "ParameterValue": "1"}]
    second = [{"ParameterName": "a"}, {"ParameterName": "b", "ParameterValue": ""}]
    stub.add_response("describe_db_cluster_parameters", {"Parameters": first, "Marker": "n"}, group)
    stub.add_response(
        "describe_db_cluster_parameters", {"Parameters": second}, {**group, "Marker": "n"}
    )
    assert plane.account.cluster_parameters("ours") == {"rds.force_ssl": "1", "b": ""}


def test_capacity_is_the_newest_datapoint_of_each_serverless_instance(
    plane: ControlPlane, stubs: Stubs
) -> None:
    stubs("rds").add_response(
        "describe_db_instances",
        {
            "DBInstances": [
                instance("i1", DBInstanceClass="db.serverless"),
                instance("i2"),
                instance("i3", DBInstanceClass="db.serverless"),
            ]
        },
        OF_CLUSTER,
    )

    def query(number: int, name: str) -> dict[str, Any]:
        metric = {
            "Namespace": "AWS/RDS",
            "MetricName": "ServerlessDatabaseCapacity",
            "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": name}],
        }
        return {
            "Id": f"m{number}",
            "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"},
        }

    now = datetime(2026, 12, 1, 12, tzinfo=UTC)
    stubs("cloudwatch").add_response(
        "get_metric_data",
        {
            "MetricDataResults": [
                {"Id": "m0", "Timestamps": [now, now - timedelta(minutes=1)], "Values": [4.5, 2.0]},
                {"Id": "m1", "Timestamps": [], "Values": []},
            ]
        },
        {
            "MetricDataQueries": [query(0, "i1"), query(1, "i3")],
            "StartTime": ANY,
            "EndTime": ANY,
            "ScanBy": "TimestampDescending",
        },
    )
    assert plane.acu_now() == {"i1": 4.5}


def test_without_serverless_instances_no_metric_is_asked_for(
    plane: ControlPlane, stubs: Stubs
) -> None:
    stubs("rds").add_response(
        "describe_db_instances", {"DBInstances": [instance("i1")]}, OF_CLUSTER
    )
    assert plane.acu_now() == {}
    assert plane.reads() == {"DescribeDBInstances": 1}
