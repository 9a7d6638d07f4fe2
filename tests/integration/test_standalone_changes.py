"""Stand-alone instances as they change: Multi-AZ, class, password, replicas, deletion; and refusals."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fix_control_plane import unique_id
from fix_rds_model import Refused, Served
from fix_standalone import SECRET, Instance, create
from psycopg import errors

from chaos.testcluster.disturbances.storage import ReplicationLag
from chaos.testcluster.records import ApiError
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(30)


@pytest.fixture(scope="module")
def one(served: Served) -> Instance:
    """An instance that tests share; each leaves it available, with the same password."""
    return create(served, "one")


def replica_of(source: Instance, **fields: Any) -> Instance:
    name = unique_id("replica")
    source.served.rds.create_db_instance_read_replica(
        DBInstanceIdentifier=name, SourceDBInstanceIdentifier=source.name, **fields
    )
    replica = Instance(source.served, name)
    replica.await_status()
    return replica


def gone(instance: Instance) -> None:
    def deleted() -> bool:
        found = instance.served.rds.describe_db_instances()["DBInstances"]
        return instance.name not in {i["DBInstanceIdentifier"] for i in found}

    wait_until(deleted, f"{instance.name} to be gone", timeout_s=60)


def test_an_instance_becomes_multi_az_and_single_again(single: Instance) -> None:
    rds = single.served.rds
    single.run("CREATE TABLE kept AS SELECT 42 AS answer")
    rds.modify_db_instance(DBInstanceIdentifier=single.name, MultiAZ=True)
    assert single.shown["PendingModifiedValues"] == {"MultiAZ": True}
    assert single.shown["MultiAZ"] is False
    # What is pending is done with the next request that has ApplyImmediately.
    rds.modify_db_instance(DBInstanceIdentifier=single.name, ApplyImmediately=True)
    single.await_event("0025")
    single.await_status()
    assert single.shown["MultiAZ"] is True
    assert single.shown["PendingModifiedValues"] == {}
    single.await_("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1, "sync")
    address = single.address
    rds.reboot_db_instance(DBInstanceIdentifier=single.name, ForceFailover=True)
    single.await_event("0049")
    single.await_status()
    assert single.address != address
    assert single.sql("SELECT answer FROM kept") == 42
    rds.modify_db_instance(DBInstanceIdentifier=single.name, MultiAZ=False, ApplyImmediately=True)
    single.await_event("0029")
    single.await_status()
    assert "SecondaryAvailabilityZone" not in single.shown
    single.run("INSERT INTO kept VALUES (43)")
    assert single.sql("SHOW synchronous_standby_names") == ""
    changes = [n for n in single.events() if n in {"0024", "0025", "0029", "0030"}]
    assert changes == ["0024", "0025", "0030", "0029"]


def test_a_class_restarts_it_and_a_password_takes_effect_at_once(single: Instance) -> None:
    rds = single.served.rds
    before = single.sql("SHOW max_connections")
    rds.modify_db_instance(
        DBInstanceIdentifier=single.name, DBInstanceClass="db.r6g.large", ApplyImmediately=True
    )
    single.await_event("0014")
    single.await_status()
    assert single.shown["DBInstanceClass"] == "db.r6g.large"
    assert int(single.sql("SHOW max_connections")) > int(before)
    rds.modify_db_instance(DBInstanceIdentifier=single.name, MasterUserPassword="another-one")
    single.await_event("0016")
    single.connect(password="another-one").close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        single.connect()


def test_a_parameter_group_of_its_family_reaches_postgresql(
    one: Instance, refused: Refused
) -> None:
    rds = one.served.rds
    family = f"postgres{one.shown['EngineVersion'].partition('.')[0]}"
    name = unique_id("group")
    rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily=family, Description="x"
    )
    rds.modify_db_parameter_group(
        DBParameterGroupName=name,
        Parameters=[
            {
                "ParameterName": "statement_timeout",
                "ParameterValue": "1234000",
                "ApplyMethod": "immediate",
            }
        ],
    )
    rds.modify_db_instance(DBInstanceIdentifier=one.name, DBParameterGroupName=name)
    (group,) = one.shown["DBParameterGroups"]
    assert group == {"DBParameterGroupName": name, "ParameterApplyStatus": "pending-reboot"}
    rds.reboot_db_instance(DBInstanceIdentifier=one.name)
    one.await_status()
    assert one.sql("SHOW statement_timeout") == "1234s"
    assert one.shown["DBParameterGroups"][0]["ParameterApplyStatus"] == "in-sync"
    refused(
        "InvalidDBParameterGroupState", rds.delete_db_parameter_group, DBParameterGroupName=name
    )
    refused(
        "InvalidParameterCombination",
        rds.modify_db_instance,
        DBInstanceIdentifier=one.name,
        DBParameterGroupName=f"default.{family.replace('postgres', 'aurora-postgresql')}",
    )


def test_a_replica_follows_reads_only_and_can_be_promoted(one: Instance, refused: Refused) -> None:
    rds = one.served.rds
    one.run("CREATE TABLE sold AS SELECT 1 AS n")
    replica = replica_of(one, DBInstanceClass="db.t4g.micro")
    assert one.shown["ReadReplicaDBInstanceIdentifiers"] == [replica.name]
    assert replica.shown["ReadReplicaSourceDBInstanceIdentifier"] == one.name
    (info,) = replica.shown["StatusInfos"]
    assert (info["StatusType"], info["Status"]) == ("read replication", "replicating")
    one.run("INSERT INTO sold VALUES (2)")
    replica.await_("SELECT count(*) FROM sold", 2, "the replica to have what was written")
    with pytest.raises(errors.ReadOnlySqlTransaction):
        replica.run("INSERT INTO sold VALUES (3)")
    refused("InvalidDBInstanceState", rds.stop_db_instance, DBInstanceIdentifier=one.name)
    refused("InvalidDBInstanceState", rds.stop_db_instance, DBInstanceIdentifier=replica.name)
    refused("InvalidDBInstanceState", rds.promote_read_replica, DBInstanceIdentifier=one.name)
    rds.promote_read_replica(DBInstanceIdentifier=replica.name)
    replica.await_event("0057")
    replica.await_status()
    replica.run("INSERT INTO sold VALUES (4)")
    assert one.shown["ReadReplicaDBInstanceIdentifiers"] == []
    assert "ReadReplicaSourceDBInstanceIdentifier" not in replica.shown
    one.run("INSERT INTO sold VALUES (5)")
    assert replica.sql("SELECT array_agg(n ORDER BY n) FROM sold") == [1, 2, 4]
    rds.delete_db_instance(DBInstanceIdentifier=replica.name, SkipFinalSnapshot=True)
    gone(replica)


def test_a_replica_lags_for_real(one: Instance) -> None:
    one.run("CREATE TABLE lagging AS SELECT 1 AS n")
    replica = replica_of(one)
    disturbances = one.served.estate.disturbances
    with pytest.raises(ApiError, match="is the writer"):
        disturbances.begin(ReplicationLag(instance=one.name, lag_s=3600))
    lags = disturbances.begin(ReplicationLag(instance=replica.name, lag_s=3600))
    replica.await_("SHOW recovery_min_apply_delay", "1h", "the delay to be in force")
    one.run("INSERT INTO lagging VALUES (2)")
    lag = "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"
    replica.await_(lag, True, "the replica to lag")
    assert replica.sql("SELECT count(*) FROM lagging") == 1
    disturbances.end(lags.id)
    replica.await_("SELECT count(*) FROM lagging", 2, "the replica to catch up")
    one.served.rds.delete_db_instance(DBInstanceIdentifier=replica.name)
    gone(replica)


def test_replicas_outlive_a_failover_and_the_deletion_of_their_source(served: Served) -> None:
    source = create(served, unique_id("source"), MultiAZ=True)
    source.run("CREATE TABLE sold AS SELECT 1 AS n")
    replica = replica_of(source)
    sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
    source.await_(sync, 1, "the standby alone to be synchronous")
    served.rds.reboot_db_instance(DBInstanceIdentifier=source.name, ForceFailover=True)
    source.await_event("0049")
    source.await_status()
    source.run("INSERT INTO sold VALUES (2)")
    replica.await_("SELECT count(*) FROM sold", 2, "the replica to follow the new active node")
    served.rds.reboot_db_instance(DBInstanceIdentifier=replica.name)  # It is busy just now.
    served.rds.delete_db_instance(DBInstanceIdentifier=source.name, SkipFinalSnapshot=True)
    gone(source)
    replica.await_event("0057")
    replica.await_status()
    replica.run("INSERT INTO sold VALUES (3)")
    served.rds.delete_db_instance(DBInstanceIdentifier=replica.name, SkipFinalSnapshot=True)
    gone(replica)
    assert source.events()[-1] == "0003"


def test_tags_arns_and_filters(one: Instance) -> None:
    rds, arn = one.served.rds, one.shown["DBInstanceArn"]
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "a", "Value": "1"}])
    assert rds.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "a", "Value": "1"}]
    found = rds.describe_db_instances(DBInstanceIdentifier=arn)["DBInstances"]
    assert [i["DBInstanceIdentifier"] for i in found] == [one.name]
    for name, value in (("engine", "postgres"), ("db-instance-id", arn)):
        filters = [{"Name": name, "Values": [value]}]
        listed = rds.describe_db_instances(Filters=filters)["DBInstances"]
        assert one.name in {i["DBInstanceIdentifier"] for i in listed}


def test_what_is_refused(one: Instance, refused: Refused) -> None:
    rds = one.served.rds
    good = {
        "DBInstanceIdentifier": "new",
        "Engine": "postgres",
        "DBInstanceClass": "db.t4g.medium",
        "AllocatedStorage": 20,
        "MasterUsername": "boss",
        "MasterUserPassword": SECRET,
    }

    def create_refused(code: str, **changed: Any) -> str:
        request = {name: v for name, v in {**good, **changed}.items() if v is not None}
        return refused(code, rds.create_db_instance, **request)

    create_refused("DBInstanceAlreadyExists", DBInstanceIdentifier=one.name.upper())
    create_refused("InvalidParameterValue", DBInstanceIdentifier="1st")
    create_refused("InvalidParameterValue", DBInstanceClass="db.serverless")
    create_refused("InvalidParameterValue", MasterUserPassword="short")
    create_refused("InvalidParameterValue", MasterUsername="rdsadmin")
    create_refused("InvalidParameterValue", AllocatedStorage=5)
    create_refused("InvalidParameterValue", AvailabilityZone="mars-1a")
    create_refused("MissingParameter", AllocatedStorage=None)
    create_refused("InvalidParameterCombination", EngineVersion="9.6")
    create_refused("InvalidParameterCombination", MultiAZ=True, AvailabilityZone="eu-west-1a")
    create_refused("DBParameterGroupNotFound", DBParameterGroupName="none")
    assert "KmsKeyId" in create_refused("InvalidParameterCombination", KmsKeyId="key")
    refused(
        "DBInstanceNotFound",
        rds.create_db_instance_read_replica,
        DBInstanceIdentifier="new",
        SourceDBInstanceIdentifier="nobody",
    )
    delete = rds.delete_db_instance
    refused("InvalidParameterCombination", delete, DBInstanceIdentifier=one.name)
    refused("DBInstanceNotFound", delete, DBInstanceIdentifier="new", SkipFinalSnapshot=True)
    rds.modify_db_instance(DBInstanceIdentifier=one.name, DeletionProtection=True)
    message = refused(
        "InvalidParameterCombination",
        delete,
        DBInstanceIdentifier=one.name,
        SkipFinalSnapshot=True,
    )
    assert "protected" in message
    rds.modify_db_instance(DBInstanceIdentifier=one.name, DeletionProtection=False)
