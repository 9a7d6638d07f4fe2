"""Commands on instances: what is passed on, kept, and refused."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from fix_control_plane import (
    CLUSTER_ARN,
    CREATE_INSTANCE,
    READER,
    ControlPlane,
)

from chaos.testcluster.records import (
    InstanceSpec,
)


def test_failover_passes_the_target_and_shows_the_state(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    answer = boto_rds.failover_db_cluster(
        DBClusterIdentifier=CLUSTER_ARN, TargetDBInstanceIdentifier=READER.upper()
    )
    assert control_plane.cluster.calls == [("failover", READER)]
    assert answer["DBCluster"]["Status"] == "failing-over"


def test_reboot_passes_force_failover_on(control_plane: ControlPlane, boto_rds: Any) -> None:
    boto_rds.reboot_db_instance(DBInstanceIdentifier=READER, ForceFailover=True)
    assert control_plane.cluster.calls == [("reboot", (READER, True))]


def test_what_an_instance_was_created_with_is_shown_and_creates_it_again(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    """Delete and create again gives the same instance: what a fault's recovery relies on."""
    settings = {
        "DBParameterGroupName": "mine",
        "MonitoringInterval": 5,
        "PubliclyAccessible": True,
        "CopyTagsToSnapshot": True,
        "AutoMinorVersionUpgrade": False,
        "PreferredMaintenanceWindow": "sun:05:00-sun:05:30",
        "CACertificateIdentifier": "rds-ca-ecc384-g1",
        "MonitoringRoleArn": "arn:aws:iam::000000000000:role/monitor",
    }
    boto_rds.create_db_instance(
        **CREATE_INSTANCE, PromotionTier=7, AvailabilityZone="eu-west-1b", **settings
    )
    assert control_plane.cluster.calls == [
        (
            "create_instance",
            InstanceSpec(
                id="orders-4",
                availability_zone="eu-west-1b",
                promotion_tier=7,
                tags={"a": "b"},
                settings=settings,
            ),
        )
    ]
    (made,) = boto_rds.describe_db_instances(DBInstanceIdentifier="orders-4")["DBInstances"]
    assert made["DBParameterGroups"][0]["DBParameterGroupName"] == "mine"
    assert {name: made[name] for name in settings if name in made} == {
        name: value for name, value in settings.items() if name != "DBParameterGroupName"
    }
    assert (made["PromotionTier"], made["TagList"]) == (7, [{"Key": "a", "Value": "b"}])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"DBClusterIdentifier": None}, "InvalidParameterCombination"),
        ({"DBClusterIdentifier": "other"}, "DBClusterNotFoundFault"),
        ({"Engine": "aurora-mysql"}, "InvalidParameterCombination"),
        ({"EngineVersion": "11.1"}, "InvalidParameterCombination"),
        ({"DBInstanceClass": "huge"}, "InvalidParameterValue"),
        ({"PromotionTier": 16}, "InvalidParameterValue"),
        ({"AvailabilityZone": "us-east-1a"}, "InvalidParameterValue"),
        ({"MultiAZ": True}, "InvalidParameterCombination"),
        ({"MasterUsername": "boss"}, "InvalidParameterCombination"),
        ({"Iops": 3000}, "InvalidParameterCombination"),
        ({"DBInstanceIdentifier": "4-orders"}, "InvalidParameterValue"),
        ({"DBInstanceIdentifier": "orders--4"}, "InvalidParameterValue"),
        ({"DBInstanceIdentifier": "orders-"}, "InvalidParameterValue"),
        ({"DBInstanceIdentifier": "o" * 64}, "InvalidParameterValue"),
    ],
)
def test_an_instance_that_cannot_be_a_member_is_refused(
    control_plane: ControlPlane, boto_rds: Any, change: dict[str, Any], code: str
) -> None:
    request = {**CREATE_INSTANCE, **change}
    with pytest.raises(ClientError) as refused:
        boto_rds.create_db_instance(**{name: v for name, v in request.items() if v is not None})
    assert refused.value.response["Error"]["Code"] == code
    assert control_plane.cluster.calls == []
