"""The life of a cluster that boto3 makes: created, filled, changed, stopped, started, deleted."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from fix_cluster_life import (
    DATABASE,
    SECRET,
    USER,
    add_instance,
    connect,
    create_cluster,
    event_ids,
    gone,
)
from fix_rds_model import Refused, Served

from chaos.wait import wait_until


def test_a_cluster_is_created_filled_and_deleted_without_a_trace(
    served: Served, refused: Refused
) -> None:
    rds = served.rds
    name = create_cluster(
        served,
        Tags=[{"Key": "gameday", "Value": "allowed"}],
        BackupRetentionPeriod=7,
        VpcSecurityGroupIds=["sg-1"],
        DeletionProtection=True,
    )
    shown = served.cluster(name)
    assert (shown["MasterUsername"], shown["DatabaseName"]) == (USER, DATABASE)
    assert (shown["BackupRetentionPeriod"], shown["DeletionProtection"]) == (7, True)
    assert shown["VpcSecurityGroups"] == [{"VpcSecurityGroupId": "sg-1", "Status": "active"}]
    assert shown["TagList"] == [{"Key": "gameday", "Value": "allowed"}]
    assert served.behind(shown["Endpoint"]) == served.behind(shown["ReaderEndpoint"]) == set()
    refused(
        "DBClusterAlreadyExistsFault",
        rds.create_db_cluster,
        DBClusterIdentifier=name,
        Engine="aurora-postgresql",
        MasterUsername=USER,
        MasterUserPassword=SECRET,
    )

    # Two at once: the first is the writer, and the second waits for it.
    writer, reader = add_instance(served, name, 1), add_instance(served, name, 2)
    served.await_available(name, 2)
    members = {
        m["DBInstanceIdentifier"]: m["IsClusterWriter"]
        for m in served.cluster(name)["DBClusterMembers"]
    }
    assert members == {writer: True, reader: False}
    assert served.behind(shown["Endpoint"]) == {served.address(writer)}
    assert served.behind(shown["ReaderEndpoint"]) == {served.address(reader)}
    with connect(served, writer) as session:
        session.execute("CREATE TABLE kept AS SELECT 1 AS one")
        databases = session.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall()
        assert [d for (d,) in databases] == ["postgres", DATABASE, "template0", "template1"]
        lsn = session.execute("SELECT pg_current_wal_lsn()").fetchone()
    with connect(served, reader) as session:
        wait_until(
            lambda: (
                session.execute("SELECT pg_last_wal_replay_lsn() >= %s", lsn).fetchone() == (True,)
            ),
            "the reader to follow",
            timeout_s=60,
        )
        assert session.execute("SELECT one FROM kept").fetchone() == (1,)

    delete = rds.delete_db_cluster
    protected = refused(
        "InvalidParameterCombination", delete, DBClusterIdentifier=name, SkipFinalSnapshot=True
    )
    assert protected.startswith("Cannot delete protected Cluster")
    rds.modify_db_cluster(DBClusterIdentifier=name, DeletionProtection=False)
    assert served.cluster(name)["DeletionProtection"] is False
    assert "non-deleting" in refused(
        "InvalidDBClusterStateFault", delete, DBClusterIdentifier=name, SkipFinalSnapshot=True
    )
    before = served.estate.region("eu-west-1").cluster(name)
    addresses = {served.address(i) for i in (writer, reader)}
    pids = [i.pid for i in before.snapshot().instances if i.pid is not None]
    assert len(pids) == 2
    for instance in (reader, writer):
        rds.delete_db_instance(DBInstanceIdentifier=instance, SkipFinalSnapshot=True)
    assert "required unless" in refused(
        "InvalidParameterCombination", delete, DBClusterIdentifier=name
    )
    assert "takes no snapshots" in refused(
        "InvalidParameterCombination",
        delete,
        DBClusterIdentifier=name,
        FinalDBSnapshotIdentifier="last",
    )
    assert "cannot specify both" in refused(
        "InvalidParameterCombination",
        delete,
        DBClusterIdentifier=name,
        SkipFinalSnapshot=True,
        FinalDBSnapshotIdentifier="last",
    )
    answer = delete(DBClusterIdentifier=name, SkipFinalSnapshot=True)["DBCluster"]
    assert answer["Status"] == "deleting"
    wait_until(lambda: gone(served, name), "the cluster to go", timeout_s=60)
    wait_until(lambda: not before.core.busy, "its threads to end", timeout_s=60)
    assert event_ids(served, name) == ["0170", "0171"]
    assert not before.core.directory.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    free = served.estate.ground.addresses
    assert addresses <= set(free.next(245))


def test_a_stopped_cluster_keeps_its_data_names_and_addresses(
    served: Served, created: str, refused: Refused
) -> None:
    rds = served.rds
    instances = [add_instance(served, created, n) for n in (1, 2)]
    served.await_available(created, 2)
    with connect(served, instances[0]) as session:
        session.execute("CREATE TABLE kept AS SELECT 1 AS one")
    addresses = [served.address(i) for i in instances]
    endpoints = [served.instance(i)["Endpoint"] for i in instances]
    answer = rds.stop_db_cluster(DBClusterIdentifier=created)["DBCluster"]
    assert answer["Status"] in {"stopping", "stopped"}
    refused("InvalidDBClusterStateFault", rds.stop_db_cluster, DBClusterIdentifier=created)
    await_status(served, created, "stopped")
    for instance, address in zip(instances, addresses, strict=True):
        assert served.instance(instance)["DBInstanceStatus"] == "stopped"
        with pytest.raises(psycopg.OperationalError, match="refused"):
            connect(served, instance)
        assert served.behind(served.instance(instance)["Endpoint"]["Address"]) == {address}
    for operation, parameters in (
        (rds.failover_db_cluster, {"DBClusterIdentifier": created}),
        (rds.modify_db_cluster, {"DBClusterIdentifier": created, "CopyTagsToSnapshot": True}),
        (rds.delete_db_instance, {"DBInstanceIdentifier": instances[1]}),
    ):
        refused("InvalidDBClusterStateFault", operation, **parameters)
    refused("InvalidDBInstanceState", rds.reboot_db_instance, DBInstanceIdentifier=instances[0])
    answer = rds.start_db_cluster(DBClusterIdentifier=created)["DBCluster"]
    assert answer["Status"] in {"starting", "available"}
    served.await_available(created, 2)
    refused("InvalidDBClusterStateFault", rds.start_db_cluster, DBClusterIdentifier=created)
    assert [served.instance(i)["Endpoint"] for i in instances] == endpoints
    for instance in instances:
        with connect(served, instance) as session:
            assert session.execute("SELECT one FROM kept").fetchone() == (1,)
    assert event_ids(served, created) == ["0170", "0150", "0151"]
    assert event_ids(served, instances[0], "db-instance")[-2:] == ["0087", "0088"]


def await_status(served: Served, cluster: str, status: str) -> None:
    wait_until(
        lambda: served.cluster(cluster)["Status"] == status,
        f"{cluster} to be {status}",
        timeout_s=60,
    )


def test_another_password_another_port_another_name(
    served: Served, created: str, refused: Refused
) -> None:
    rds = served.rds
    writer = add_instance(served, created, 1)
    served.await_available(created, 1)
    before = served.cluster(created)

    waits = rds.modify_db_cluster(
        DBClusterIdentifier=created,
        MasterUserPassword="second-secret",
        NewDBClusterIdentifier=f"{created}-renamed",
    )["DBCluster"]
    assert waits["Status"] == "available"
    assert waits["PendingModifiedValues"] == {
        "DBClusterIdentifier": f"{created}-renamed",
        "MasterUserPassword": "****",
    }
    connect(served, writer).close()

    applied = rds.modify_db_cluster(DBClusterIdentifier=created, Port=6432, ApplyImmediately=True)
    assert applied["DBCluster"]["Status"] in {"renaming", "available"}
    new = f"{created}-renamed"
    wait_until(lambda: gone(served, created), "the old name to go", timeout_s=60)
    served.await_available(new, 1)
    after = served.cluster(new)
    assert "PendingModifiedValues" not in after
    assert after["Port"] == served.instance(writer)["Endpoint"]["Port"] == 6432
    assert after["DbClusterResourceId"] == before["DbClusterResourceId"]
    assert after["Endpoint"].startswith(f"{new}.cluster-")
    assert served.behind(after["Endpoint"]) == {served.address(writer)}
    assert served.behind(before["Endpoint"]) == set()
    assert served.instance(writer)["Endpoint"]["Address"].startswith(writer)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(served, writer)
    connect(served, writer, "second-secret").close()
    assert event_ids(served, new)[-1] == "0172"
    assert event_ids(served, created)[-1] == "0016"
    other = create_cluster(served)
    with pytest.raises(rds.exceptions.DBClusterAlreadyExistsFault):
        rds.modify_db_cluster(
            DBClusterIdentifier=other, NewDBClusterIdentifier=new, ApplyImmediately=True
        )


def test_a_paused_instance_wakes_for_a_stop_and_for_another_port(served: Served) -> None:
    rds = served.rds
    name = create_cluster(
        served, ServerlessV2ScalingConfiguration={"MinCapacity": 0, "MaxCapacity": 1}
    )
    writer = add_instance(served, name, 1)
    served.await_available(name, 1)
    member = served.estate.cluster_of(writer).core.members[writer]
    wait_until(lambda: member.paused, "the instance to pause", timeout_s=60)
    assert served.instance(writer)["DBInstanceStatus"] == "available"
    rds.stop_db_cluster(DBClusterIdentifier=name)
    await_status(served, name, "stopped")
    assert not member.paused
    rds.start_db_cluster(DBClusterIdentifier=name)
    served.await_available(name, 1)
    connect(served, writer).close()
    rds.modify_db_cluster(DBClusterIdentifier=name, Port=7432)
    served.await_available(name, 1)
    assert served.instance(writer)["Endpoint"]["Port"] == 7432
    connect(served, writer).close()
