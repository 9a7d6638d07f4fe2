"""What ModifyDBInstance changes of a real cluster's member, and what only a cluster can be asked."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fix_cluster_life import add_instance, connect, create_cluster, event_ids
from fix_rds_model import Refused, Served

from chaos.testcluster.aurora import instances
from chaos.wait import wait_until

STARTED = "SELECT pg_postmaster_start_time()"


@pytest.fixture(scope="module")
def name(served: Served) -> str:
    """A cluster of a writer, `NAME-1`, and a reader, `NAME-2`; each test leaves it available."""
    name = create_cluster(served)
    for number in (1, 2):
        add_instance(served, name, number)
    served.await_available(name, 2)
    return name


def started(served: Served, instance: str) -> Any:
    with connect(served, instance) as session:
        return session.execute(STARTED).fetchone()


def test_a_promotion_tier_and_settings_change_at_once(served: Served, name: str) -> None:
    reader = f"{name}-2"
    before = started(served, reader)
    answer = served.rds.modify_db_instance(
        DBInstanceIdentifier=reader,
        PromotionTier=7,
        MonitoringInterval=5,
        AutoMinorVersionUpgrade=False,
    )["DBInstance"]
    assert answer["DBInstanceStatus"] == "available"
    shown = served.instance(reader)
    assert (shown["PromotionTier"], shown["MonitoringInterval"]) == (7, 5)
    assert shown["AutoMinorVersionUpgrade"] is False
    assert "PendingModifiedValues" not in shown or shown["PendingModifiedValues"] == {}
    (member,) = [
        m for m in served.cluster(name)["DBClusterMembers"] if m["DBInstanceIdentifier"] == reader
    ]
    assert member["PromotionTier"] == 7
    assert started(served, reader) == before


def test_another_class_is_pending_until_it_is_applied_by_a_restart(
    served: Served, name: str
) -> None:
    reader = f"{name}-2"
    before = started(served, reader)
    waits = served.rds.modify_db_instance(
        DBInstanceIdentifier=reader, DBInstanceClass="db.r6g.large"
    )["DBInstance"]
    assert waits["DBInstanceStatus"] == "available"
    assert waits["DBInstanceClass"] == "db.serverless"
    assert waits["PendingModifiedValues"] == {"DBInstanceClass": "db.r6g.large"}
    assert started(served, reader) == before
    known = len(event_ids(served, reader, "db-instance"))

    answer = served.rds.modify_db_instance(
        DBInstanceIdentifier=reader, PromotionTier=1, ApplyImmediately=True
    )["DBInstance"]
    assert answer["DBInstanceStatus"] in {"modifying", "available"}
    served.await_available(name, 2)
    after = served.instance(reader)
    assert after["DBInstanceClass"] == "db.r6g.large"
    assert after["PendingModifiedValues"] == {}
    assert started(served, reader) > before
    assert event_ids(served, reader, "db-instance")[known:] == ["0012", "0004", "0006", "0014"]


def test_a_renamed_instance_has_another_endpoint_and_is_the_same(
    served: Served, name: str, refused: Refused
) -> None:
    writer, other = f"{name}-1", f"{name}-first"
    before = served.instance(writer)
    address = served.address(writer)
    assert refused(
        "DBInstanceAlreadyExists",
        served.rds.modify_db_instance,
        DBInstanceIdentifier=writer,
        NewDBInstanceIdentifier=f"{name}-2",
        ApplyImmediately=True,
    )
    answer = served.rds.modify_db_instance(
        DBInstanceIdentifier=writer, NewDBInstanceIdentifier=other.upper(), ApplyImmediately=True
    )["DBInstance"]
    assert answer["DBInstanceStatus"] in {"renaming", "available"}
    wait_until(
        lambda: other in {m["DBInstanceIdentifier"] for m in _members(served, name)},
        "the new name",
        timeout_s=60,
    )
    served.await_available(name, 2)
    after = served.instance(other)
    assert after["DbiResourceId"] == before["DbiResourceId"]
    assert after["Endpoint"]["Address"].startswith(f"{other}.")
    assert served.behind(after["Endpoint"]["Address"]) == {address}
    assert served.behind(before["Endpoint"]["Address"]) == set()
    assert served.behind(served.cluster(name)["Endpoint"]) == {address}
    with connect(served, other) as session:
        identity = session.execute("SELECT aurora_db_instance_identifier()").fetchone()
        assert identity == (other,)
        session.execute("CREATE TABLE renamed ()")
    with pytest.raises(served.rds.exceptions.DBInstanceNotFoundFault):
        served.instance(writer)
    with connect(served, f"{name}-2") as session:
        wait_until(
            lambda: (
                session.execute(
                    "SELECT count(*) FROM aurora_replica_status() WHERE server_id = %s", [other]
                ).fetchone()
                == (1,)
            ),
            "the reader to know the new name",
            timeout_s=60,
        )
    back = served.rds.modify_db_instance
    back(DBInstanceIdentifier=other, NewDBInstanceIdentifier=writer, ApplyImmediately=True)
    wait_until(
        lambda: writer in {m["DBInstanceIdentifier"] for m in _members(served, name)},
        "the old name",
        timeout_s=60,
    )
    served.await_available(name, 2)


def test_an_instance_that_is_renamed_has_both_names_and_is_left_alone(
    served: Served, name: str, refused: Refused
) -> None:
    reader, other = f"{name}-2", f"{name}-other"
    core = served.estate.region("eu-west-1").cluster(name).core
    rename = {"DBInstanceIdentifier": reader, "NewDBInstanceIdentifier": other}
    end = core.pacer.fix("modify", 5.0)
    served.rds.modify_db_instance(**rename, ApplyImmediately=True)
    for taken in (reader, other):
        refused(
            "DBInstanceAlreadyExists",
            served.rds.create_db_instance,
            DBInstanceIdentifier=taken,
            DBClusterIdentifier=name,
            DBInstanceClass="db.serverless",
            Engine="aurora-postgresql",
        )
    refused("InvalidDBInstanceState", served.rds.delete_db_instance, DBInstanceIdentifier=reader)
    end()
    wait_until(
        lambda: other in {m["DBInstanceIdentifier"] for m in _members(served, name)},
        "the new name",
        timeout_s=60,
    )
    served.await_available(name, 2)
    back = {"DBInstanceIdentifier": other, "NewDBInstanceIdentifier": reader}
    served.rds.modify_db_instance(**back, ApplyImmediately=True)
    wait_until(
        lambda: reader in {m["DBInstanceIdentifier"] for m in _members(served, name)},
        "the old name",
        timeout_s=60,
    )
    served.await_available(name, 2)


def _members(served: Served, cluster: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.cluster(cluster)["DBClusterMembers"]
    return found


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"BackupRetentionPeriod": 3}, "InvalidParameterCombination", "member of a cluster"),
        ({"EngineVersion": "99.1"}, "InvalidParameterCombination", "ModifyDbCluster API"),
        ({"AllocatedStorage": 9}, "InvalidParameterCombination", "Storage grows"),
        ({"MultiAZ": True}, "InvalidParameterCombination", "not available for engine"),
        ({"Iops": 3000}, "InvalidParameterCombination", "does not offer Iops"),
        ({"PromotionTier": 16}, "InvalidParameterValue", "promotion tier"),
        ({"DBInstanceClass": "large"}, "InvalidParameterValue", "Invalid DB Instance class"),
        ({"NewDBInstanceIdentifier": "1st"}, "InvalidParameterValue", "not a valid identifier"),
        ({"DBParameterGroupName": "none"}, "DBParameterGroupNotFound", "none"),
    ],
)
def test_a_change_that_no_member_can_have_is_refused(
    served: Served, name: str, refused: Refused, change: dict[str, Any], code: str, words: str
) -> None:
    instance = f"{name}-2"
    before = served.instance(instance)
    message = refused(code, served.rds.modify_db_instance, DBInstanceIdentifier=instance, **change)
    assert words in message
    assert served.instance(instance) == before


def test_a_member_cannot_be_stopped_started_or_promoted_by_itself(
    served: Served, name: str, refused: Refused
) -> None:
    rds = served.rds
    for operation in (rds.stop_db_instance, rds.start_db_instance):
        message = refused(
            "InvalidParameterCombination", operation, DBInstanceIdentifier=f"{name}-2"
        )
        assert message == (
            "aurora-postgresql DB instances are not eligible for stopping and starting."
        )
        refused("DBInstanceNotFound", operation, DBInstanceIdentifier="nobody")
    refused("InvalidDBInstanceState", rds.promote_read_replica, DBInstanceIdentifier=f"{name}-2")


def test_the_server_s_log_is_listed_and_read(served: Served, name: str, refused: Refused) -> None:
    rds, writer = served.rds, f"{name}-1"
    with connect(served, writer) as session, pytest.raises(psycopg.errors.UndefinedTable):
        session.execute("SELECT * FROM nowhere_to_be_found")
    (log,) = rds.describe_db_log_files(DBInstanceIdentifier=writer)["DescribeDBLogFiles"]
    assert log["Size"] > 0
    where = {"DBInstanceIdentifier": writer, "LogFileName": log["LogFileName"]}
    whole = "".join(
        page["LogFileData"]
        for page in rds.get_paginator("download_db_log_file_portion").paginate(
            **where, PaginationConfig={"StartingToken": "0"}, NumberOfLines=2
        )
    )
    assert 'relation "nowhere_to_be_found" does not exist' in whole
    end = rds.download_db_log_file_portion(**where)
    assert end["LogFileData"].startswith(whole)
    assert end["AdditionalDataPending"] is False
    last = rds.download_db_log_file_portion(**where, NumberOfLines=1)["LogFileData"]
    assert len(last.splitlines()) == 1
    assert (
        rds.describe_db_log_files(DBInstanceIdentifier=writer, FilenameContains="slow")[
            "DescribeDBLogFiles"
        ]
        == []
    )
    refused(
        "DBLogFileNotFoundFault",
        rds.download_db_log_file_portion,
        DBInstanceIdentifier=writer,
        LogFileName="other",
    )


def test_a_cluster_has_at_most_fifteen_readers(
    served: Served, name: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert instances.READERS_MAX == 15
    monkeypatch.setattr(instances, "READERS_MAX", 1)
    with pytest.raises(served.rds.exceptions.InstanceQuotaExceededFault, match="1 readers"):
        add_instance(served, name, 3)
