"""Parameter groups through boto3, down to what PostgreSQL does and `SHOW` tells."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from fix_rds_model import Refused, Served
from fix_testcluster import PASSWORD

from chaos.testcluster.parameters.offered import PARAMETERS
from chaos.wait import wait_until

Parameter = dict[str, str]


@pytest.fixture(scope="module")
def orders(served: Served) -> Served:
    """A writer and a reader: orders-instance-1 and -2."""
    served.start_cluster(id="orders", readers=1)
    return served


@pytest.fixture(scope="module")
def family(served: Served) -> str:
    version: str = served.estate.ground.binaries.version
    return f"aurora-postgresql{version.partition('.')[0]}"


def parameter(name: str, value: str, method: str = "immediate") -> Parameter:
    return {"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}


def connected(served: Served, instance: str, **options: Any) -> psycopg.Connection[Any]:
    record = served.estate.cluster_of(instance).snapshot()
    return psycopg.connect(
        host=served.address(instance),
        port=record.port,
        user=record.user,
        password=PASSWORD,
        dbname=record.database,
        connect_timeout=10,
        **options,
    )


def shown(served: Served, instance: str, name: str, **options: Any) -> str:
    with connected(served, instance, **options) as session:
        row = session.execute(f"SHOW {name}").fetchone()
    value: str = row[0]  # type: ignore[index]
    return value


def instance_status(served: Served, instance: str) -> tuple[str, str]:
    (group,) = served.instance(instance)["DBParameterGroups"]
    return group["DBParameterGroupName"], group["ParameterApplyStatus"]


def cluster_status(served: Served) -> dict[str, str]:
    members = served.cluster("orders")["DBClusterMembers"]
    return {m["DBInstanceIdentifier"]: m["DBClusterParameterGroupStatus"] for m in members}


def reboot(served: Served, instance: str) -> None:
    served.rds.reboot_db_instance(DBInstanceIdentifier=instance)
    served.await_available("orders", 2)


def test_a_cluster_group_is_taken_over_at_a_reboot_and_then_at_once(
    orders: Served, family: str
) -> None:
    rds = orders.rds
    made = rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="Ours",
        DBParameterGroupFamily=family,
        Description="ours",
        Tags=[{"Key": "team", "Value": "data"}],
    )["DBClusterParameterGroup"]
    arn = made["DBClusterParameterGroupArn"]
    assert arn.endswith(":cluster-pg:ours")
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "new", "Value": "1"}])
    rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["team"])
    assert rds.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "new", "Value": "1"}]
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="ours", Parameters=[parameter("statement_timeout", "1234000")]
    )
    rds.modify_db_cluster(
        DBClusterIdentifier="orders", DBClusterParameterGroupName="ours", ApplyImmediately=True
    )
    orders.await_available("orders", 2)
    assert orders.cluster("orders")["DBClusterParameterGroup"] == "ours"
    assert set(cluster_status(orders).values()) == {"pending-reboot"}
    assert shown(orders, "orders-instance-1", "statement_timeout") == "0"
    reboot(orders, "orders-instance-2")
    assert shown(orders, "orders-instance-2", "statement_timeout") == "1234s"
    assert cluster_status(orders) == {
        "orders-instance-1": "pending-reboot",
        "orders-instance-2": "in-sync",
    }
    # What is changed in a group that is in use takes effect at once, and only that.
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="ours",
        Parameters=[
            parameter("timezone", "Europe/Berlin"),
            parameter("lock_timeout", "77000", "pending-reboot"),
        ],
    )
    wait_until(
        lambda: shown(orders, "orders-instance-1", "timezone") == "Europe/Berlin",
        "the writer to take the time zone over",
        timeout_s=60,
    )
    assert shown(orders, "orders-instance-1", "statement_timeout") == "0"
    assert shown(orders, "orders-instance-1", "lock_timeout") == "0"
    reboot(orders, "orders-instance-1")
    assert shown(orders, "orders-instance-1", "lock_timeout") == "77s"
    assert shown(orders, "orders-instance-1", "statement_timeout") == "1234s"
    rds.reset_db_cluster_parameter_group(
        DBClusterParameterGroupName="ours", ResetAllParameters=True
    )
    wait_until(
        lambda: (
            shown(orders, "orders-instance-1", "statement_timeout") == "0"
            and set(cluster_status(orders).values()) == {"in-sync"}
        ),
        "the defaults to be back",
        timeout_s=60,
    )


def test_forced_tls_refuses_plaintext_until_it_is_reset(orders: Served, family: str) -> None:
    rds = orders.rds
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="secure", DBParameterGroupFamily=family, Description="secure"
    )
    rds.modify_db_cluster(
        DBClusterIdentifier="orders", DBClusterParameterGroupName="secure", ApplyImmediately=True
    )
    orders.await_available("orders", 2)
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="secure", Parameters=[parameter("rds.force_ssl", "1")]
    )

    def is_refused() -> bool:
        try:
            connected(orders, "orders-instance-1", sslmode="disable").close()
        except psycopg.OperationalError as error:
            return "no pg_hba.conf entry" in str(error)
        return False

    wait_until(is_refused, "plaintext to be refused", timeout_s=60)
    assert shown(orders, "orders-instance-1", "rds.force_ssl", sslmode="require") == "1"
    rds.reset_db_cluster_parameter_group(
        DBClusterParameterGroupName="secure",
        Parameters=[{"ParameterName": "rds.force_ssl", "ApplyMethod": "immediate"}],
    )
    wait_until(lambda: not is_refused(), "plaintext to be let in", timeout_s=60)


def test_an_instance_group_goes_over_the_cluster_s_and_limits_connections(
    orders: Served, family: str, refused: Refused
) -> None:
    rds = orders.rds
    rds.create_db_parameter_group(
        DBParameterGroupName="few", DBParameterGroupFamily=family, Description="few"
    )
    rds.modify_db_parameter_group(
        DBParameterGroupName="few",
        Parameters=[
            parameter("max_connections", "40", "pending-reboot"),
            parameter("statement_timeout", "99000"),
        ],
    )
    rds.modify_db_instance(DBInstanceIdentifier="orders-instance-1", DBParameterGroupName="few")
    orders.await_available("orders", 2)
    assert instance_status(orders, "orders-instance-1") == ("few", "pending-reboot")
    reboot(orders, "orders-instance-1")
    assert instance_status(orders, "orders-instance-1") == ("few", "in-sync")
    assert shown(orders, "orders-instance-1", "max_connections") == "40"
    assert shown(orders, "orders-instance-1", "statement_timeout") == "99s"
    assert shown(orders, "orders-instance-2", "statement_timeout") == "0"
    with ExitStack() as stack:
        for _ in range(40):
            try:
                stack.enter_context(connected(orders, "orders-instance-1"))
            except psycopg.OperationalError as error:
                assert re.search("remaining connection slots|too many", str(error))  # noqa: PT017
                break
        else:
            pytest.fail("40 sessions beside the control plane's own were let in")
    message = refused(
        "InvalidDBParameterGroupState", rds.delete_db_parameter_group, DBParameterGroupName="few"
    )
    assert "orders-instance-1" in message
    rds.modify_db_parameter_group(
        DBParameterGroupName="few",
        Parameters=[parameter("max_connections", "600", "pending-reboot")],
    )
    assert instance_status(orders, "orders-instance-1") == ("few", "pending-reboot")
    # The reader replays what the writer writes, although it had room for less.
    reboot(orders, "orders-instance-1")
    assert shown(orders, "orders-instance-1", "max_connections") == "600"
    with connected(orders, "orders-instance-1", autocommit=True) as session:
        session.execute("CREATE TABLE after_all (n int)")

    def replayed() -> bool:
        with connected(orders, "orders-instance-2") as reader:
            row = reader.execute("SELECT to_regclass('after_all') IS NOT NULL").fetchone()
        return row == (True,)

    wait_until(replayed, "the reader to replay", timeout_s=60, errors=(psycopg.OperationalError,))
    # A new instance is made with the group that it names.
    rds.modify_db_instance(
        DBInstanceIdentifier="orders-instance-1", DBParameterGroupName=f"default.{family}"
    )
    orders.await_available("orders", 2)
    reboot(orders, "orders-instance-1")
    rds.delete_db_parameter_group(DBParameterGroupName="few")
    refused(
        "DBParameterGroupNotFound",
        rds.create_db_instance,
        DBInstanceIdentifier="third",
        DBClusterIdentifier="orders",
        DBInstanceClass="db.serverless",
        Engine="aurora-postgresql",
        DBParameterGroupName="few",
    )


def test_parameters_are_described_by_source_name_and_page(orders: Served, family: str) -> None:
    rds = orders.rds
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="listed", DBParameterGroupFamily=family, Description="listed"
    )
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="listed",
        Parameters=[parameter("max_connections", "50", "pending-reboot")],
    )

    def described(**wanted: Any) -> list[dict[str, Any]]:
        pages = rds.get_paginator("describe_db_cluster_parameters").paginate(
            DBClusterParameterGroupName="listed", PaginationConfig={"PageSize": 20}, **wanted
        )
        return [p for page in pages for p in page["Parameters"]]

    assert {p["ParameterName"] for p in described()} == set(PARAMETERS)
    (own,) = described(Source="user")
    assert (own["ParameterName"], own["ParameterValue"]) == ("max_connections", "50")
    assert (own["ApplyType"], own["ApplyMethod"]) == ("static", "pending-reboot")
    assert own["AllowedValues"] == "6-8388607"
    (named,) = described(Filters=[{"Name": "parameter-name", "Values": ["timezone"]}])
    assert (named["ParameterValue"], named["Source"]) == ("UTC", "system")
    defaults = rds.describe_engine_default_cluster_parameters(DBParameterGroupFamily=family)
    assert defaults["EngineDefaults"]["DBParameterGroupFamily"] == family
    levels = rds.describe_engine_default_parameters(DBParameterGroupFamily=family)
    names = {p["ParameterName"] for p in levels["EngineDefaults"]["Parameters"]}
    assert "rds.force_ssl" not in names
    assert "max_connections" in names
    in_group = rds.describe_db_parameters(DBParameterGroupName=f"default.{family}")["Parameters"]
    assert {p["ParameterName"] for p in in_group} == names


def test_groups_are_copied_listed_and_deleted_and_what_is_refused(
    orders: Served, family: str, refused: Refused
) -> None:
    rds = orders.rds
    rds.create_db_parameter_group(
        DBParameterGroupName="first", DBParameterGroupFamily=family, Description="first"
    )
    rds.modify_db_parameter_group(
        DBParameterGroupName="first", Parameters=[parameter("work_mem", "64")]
    )
    copied = rds.copy_db_parameter_group(
        SourceDBParameterGroupIdentifier="first",
        TargetDBParameterGroupIdentifier="second",
        TargetDBParameterGroupDescription="second",
    )["DBParameterGroup"]
    values = rds.describe_db_parameters(DBParameterGroupName="second", Source="user")
    assert [p["ParameterValue"] for p in values["Parameters"]] == ["64"]
    found = rds.describe_db_parameter_groups()["DBParameterGroups"]
    names = {g["DBParameterGroupName"] for g in found}
    assert {"first", "second", f"default.{family}"} <= names
    by_arn = rds.describe_db_parameter_groups(DBParameterGroupName=copied["DBParameterGroupArn"])
    assert by_arn["DBParameterGroups"] == [copied]
    for name in ("first", "second"):
        rds.delete_db_parameter_group(DBParameterGroupName=name)
    refused("DBParameterGroupNotFound", rds.delete_db_parameter_group, DBParameterGroupName="first")
    fields = {"DBParameterGroupFamily": family, "Description": "x"}
    create = rds.create_db_parameter_group
    refused("InvalidParameterValue", create, DBParameterGroupName="a_b", **fields)
    refused(
        "InvalidParameterValue",
        create,
        DBParameterGroupName="new",
        **{**fields, "DBParameterGroupFamily": "mysql8.0"},
    )
    modify = rds.modify_db_cluster_parameter_group
    refused(
        "InvalidDBParameterGroupState",
        modify,
        DBClusterParameterGroupName=f"default.{family}",
        Parameters=[parameter("work_mem", "64")],
    )
    create_cluster_group = rds.create_db_cluster_parameter_group
    create_cluster_group(DBClusterParameterGroupName="late", **fields)
    refused(
        "DBParameterGroupAlreadyExists",
        create_cluster_group,
        DBClusterParameterGroupName="LATE",
        **fields,
    )
    message = refused(
        "InvalidParameterCombination",
        modify,
        DBClusterParameterGroupName="late",
        Parameters=[parameter("max_connections", "50", "immediate")],
    )
    assert message == "cannot use immediate apply method for static parameter"
    message = refused(
        "InvalidParameterValue",
        modify,
        DBClusterParameterGroupName="late",
        Parameters=[parameter("shared_buffers", "50", "pending-reboot")],
    )
    assert message.startswith("Could not find parameter with name: shared_buffers.")
