"""What CreateDBCluster and ModifyDBCluster take and refuse, and in which words."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fix_cluster_life import add_instance, connect, create_cluster
from fix_rds_model import Refused, Served

from chaos.wait import wait_until

CREATE = {
    "DBClusterIdentifier": "never",
    "Engine": "aurora-postgresql",
    "MasterUsername": "boss",
    "MasterUserPassword": "long enough?".replace(" ", "-"),
}
COMBINATION, VALUE = "InvalidParameterCombination", "InvalidParameterValue"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"Engine": "aurora-mysql"}, COMBINATION, "not of aurora-mysql"),
        ({"Engine": "postgres"}, COMBINATION, "not of postgres"),
        ({"EngineMode": "serverless"}, COMBINATION, "engine mode serverless"),
        ({"EngineVersion": "9.6.1"}, COMBINATION, "Cannot find version 9.6.1"),
        ({"DBClusterIdentifier": "2nd"}, VALUE, "not a valid identifier"),
        ({"DBClusterIdentifier": "x" * 64}, VALUE, "not a valid identifier"),
        ({"MasterUsername": None}, VALUE, "MasterUsername must be provided"),
        ({"MasterUsername": "1boss"}, VALUE, "Invalid master user name"),
        ({"MasterUsername": "rdsadmin"}, VALUE, "rdsadmin cannot be used"),
        ({"MasterUsername": "admin"}, VALUE, "reserved word"),
        ({"MasterUserPassword": None}, VALUE, "MasterUserPassword must be provided"),
        ({"MasterUserPassword": "short"}, VALUE, "shorter than 8"),
        ({"MasterUserPassword": "x" * 100}, VALUE, "longer than 99"),
        ({"MasterUserPassword": "with@sign"}, VALUE, "printable ASCII"),
        ({"MasterUserPassword": "with space"}, VALUE, "printable ASCII"),
        ({"ManageMasterUserPassword": True}, COMBINATION, "does not offer ManageMaster"),
        ({"DatabaseName": "1st"}, VALUE, "DatabaseName must begin with a letter"),
        ({"DatabaseName": "template1"}, VALUE, "reserved word"),
        ({"Port": 80}, VALUE, "Invalid database port 80"),
        ({"BackupRetentionPeriod": 36}, VALUE, "Must be between 1 and 35"),
        ({"PreferredBackupWindow": "night"}, VALUE, "PreferredBackupWindow"),
        ({"PreferredMaintenanceWindow": "mon:3-mon:4"}, VALUE, "PreferredMaintenanceWindow"),
        ({"AvailabilityZones": ["us-east-1a"]}, VALUE, "eu-west-1a, eu-west-1b, eu-west-1c"),
        ({"DBClusterInstanceClass": "db.r6g.large"}, COMBINATION, "isn't supported for DB engine"),
        ({"EnableHttpEndpoint": True}, COMBINATION, "does not offer EnableHttpEndpoint"),
        ({"Tags": [{"Key": "aws:x", "Value": "y"}]}, VALUE, "cannot be a tag's key"),
        ({"DBClusterParameterGroupName": "nowhere"}, "DBClusterParameterGroupNotFound", "nowhere"),
        (
            {"ServerlessV2ScalingConfiguration": {"MinCapacity": 1}},
            COMBINATION,
            "set both MinCapacity and MaxCapacity",
        ),
        (
            {"ServerlessV2ScalingConfiguration": {"MinCapacity": 9, "MaxCapacity": 4}},
            VALUE,
            "greater than MaxCapacity",
        ),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_and_leaves_nothing(
    served: Served, refused: Refused, change: dict[str, Any], code: str, words: str
) -> None:
    request = {name: value for name, value in {**CREATE, **change}.items() if value is not None}
    assert words in refused(code, served.rds.create_db_cluster, **request)
    assert served.rds.describe_db_clusters()["DBClusters"] == []
    assert [p for p in served.estate.ground.directory.iterdir() if p.name.endswith("never")] == []


def test_what_may_be_asked_of_a_cluster_without_instances(served: Served, refused: Refused) -> None:
    """In one test, for the cluster has to be away when the others look for leftovers."""
    rds = served.rds
    name = create_cluster(
        served,
        EngineVersion=served.estate.ground.binaries.version.partition(".")[0],
        AvailabilityZones=["eu-west-1a"],
        EnableHttpEndpoint=False,
        ServerlessV2ScalingConfiguration={},
        EnableCloudwatchLogsExports=["postgresql"],
    )
    shown = served.cluster(name)
    assert "ServerlessV2ScalingConfiguration" not in shown
    assert shown["EnabledCloudwatchLogsExports"] == ["postgresql"]
    assert "Set the Serverless v2 scaling configuration" in refused(
        COMBINATION,
        rds.create_db_instance,
        DBInstanceIdentifier="never",
        DBClusterIdentifier=name,
        DBInstanceClass="db.serverless",
        Engine="aurora-postgresql",
    )
    for change, code, words in (
        ({}, COMBINATION, "No modifications were requested"),
        ({"EngineVersion": "99.1"}, COMBINATION, "Cannot upgrade aurora-postgresql"),
        ({"NewDBClusterIdentifier": "-"}, VALUE, "not a valid identifier"),
        ({"MasterUserPassword": "short"}, VALUE, "shorter than 8"),
        ({"BackupRetentionPeriod": 0}, VALUE, "Must be between 1 and 35"),
        ({"RotateMasterUserPassword": True}, COMBINATION, "does not offer Rotate"),
        ({"Iops": 1000}, COMBINATION, "isn't supported for DB engine"),
    ):
        assert words in refused(code, rds.modify_db_cluster, DBClusterIdentifier=name, **change)
    changed = rds.modify_db_cluster(
        DBClusterIdentifier=name,
        CopyTagsToSnapshot=True,
        BackupRetentionPeriod=35,
        CloudwatchLogsExportConfiguration={
            "EnableLogTypes": ["instance"],
            "DisableLogTypes": ["postgresql"],
        },
    )["DBCluster"]
    assert (changed["Status"], changed["CopyTagsToSnapshot"]) == ("available", True)
    assert changed["BackupRetentionPeriod"] == 35
    assert changed["EnabledCloudwatchLogsExports"] == ["instance"]
    for operation in (
        rds.reboot_db_cluster,
        rds.promote_read_replica_db_cluster,
        rds.modify_current_db_cluster_capacity,
        lambda **named: rds.backtrack_db_cluster(BacktrackTo="2026-11-21T00:00:00Z", **named),
        rds.failover_db_cluster,
    ):
        refused("InvalidDBClusterStateFault", operation, DBClusterIdentifier=name)
        refused("DBClusterNotFoundFault", operation, DBClusterIdentifier="nobody")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    rds.get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )


def test_a_password_changed_without_instances_is_the_first_writer_s(served: Served) -> None:
    name = create_cluster(served, DatabaseName="postgres")
    served.rds.modify_db_cluster(
        DBClusterIdentifier=name, MasterUserPassword="second-secret", ApplyImmediately=True
    )
    served.await_available(name, 0)
    writer = add_instance(served, name, 1)
    served.rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=writer, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(served, writer, dbname="postgres")
    with connect(served, writer, "second-secret", dbname="postgres") as session:
        assert session.execute("SELECT to_regrole('gameday_admin')").fetchone() == (None,)
        assert session.execute(
            "SELECT datname FROM pg_database WHERE NOT datistemplate"
        ).fetchall() == [("postgres",)]
        session.execute("CREATE TABLE kept ()")

    # Also where it is changed while the data lie without an instance.
    served.rds.delete_db_instance(DBInstanceIdentifier=writer)
    served.rds.get_waiter("db_instance_deleted").wait(
        DBInstanceIdentifier=writer, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    served.rds.modify_db_cluster(
        DBClusterIdentifier=name, MasterUserPassword="third-secret", ApplyImmediately=True
    )
    served.await_available(name, 0)
    again = add_instance(served, name, 2)
    served.await_available(name, 1)
    with connect(served, again, "third-secret", dbname="postgres") as session:
        assert session.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)
    served.rds.delete_db_instance(DBInstanceIdentifier=again)
    served.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    wait_until(
        lambda: served.rds.describe_db_clusters()["DBClusters"] == [],
        "the cluster to go with its last instance",
        timeout_s=60,
    )
